"""The life of a generation, as a table."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from frontdoor.policy.conduct import Conduct


class State(enum.StrEnum):
    """Where a generation is in its life. The words are those of ``status``."""

    STARTING = "starting"
    READY = "ready"
    ACTIVE = "active"
    DRAINING = "draining"
    WARM = "warm"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Happening(enum.StrEnum):
    """What can happen to a generation."""

    PROVED_READY = "ready check holds"
    FAILED = "not ready, or exited"
    TRIED = "begins as a canary"
    WITHDRAWN = "canary withdrawn"
    SWITCHED_TO = "switch"
    REPLACED = "switch to another"
    EMPTIED = "last stream ended"
    KEPT_WARM = "last stream ended, kept for a rollback"
    COOLED = "keep_warm over, or room needed"
    ABANDONED = "swap aborted"
    STOPPED = "frontdoor stops"
    GONE = "processes gone"


TABLE: dict[tuple[State, Happening], State] = {
    (State.STARTING, Happening.PROVED_READY): State.READY,
    (State.STARTING, Happening.FAILED): State.FAILED,
    (State.STARTING, Happening.ABANDONED): State.STOPPING,
    (State.STARTING, Happening.STOPPED): State.STOPPING,
    (State.READY, Happening.TRIED): State.READY,
    (State.READY, Happening.WITHDRAWN): State.DRAINING,
    (State.READY, Happening.SWITCHED_TO): State.ACTIVE,
    (State.READY, Happening.FAILED): State.FAILED,
    (State.READY, Happening.ABANDONED): State.STOPPING,
    (State.READY, Happening.STOPPED): State.STOPPING,
    (State.ACTIVE, Happening.REPLACED): State.DRAINING,
    (State.ACTIVE, Happening.STOPPED): State.STOPPING,
    (State.DRAINING, Happening.EMPTIED): State.STOPPING,
    (State.DRAINING, Happening.KEPT_WARM): State.WARM,
    (State.DRAINING, Happening.TRIED): State.READY,
    (State.DRAINING, Happening.SWITCHED_TO): State.ACTIVE,
    (State.DRAINING, Happening.STOPPED): State.STOPPING,
    (State.WARM, Happening.TRIED): State.READY,
    (State.WARM, Happening.SWITCHED_TO): State.ACTIVE,
    (State.WARM, Happening.COOLED): State.STOPPING,
    (State.WARM, Happening.STOPPED): State.STOPPING,
    (State.STOPPING, Happening.GONE): State.STOPPED,
    (State.STOPPING, Happening.FAILED): State.FAILED,
}
"""What is not in the table cannot happen: it raises, and a test finds it."""

ENDED = frozenset({State.STOPPED, State.FAILED})


class Impossible(Exception):  # noqa: N818 - it says what it is: a happening that the table does not know
    """A happening in a state where there is no such thing."""


def step(state: State, happening: Happening) -> State:
    """The state that follows. Raises Impossible."""
    try:
        return TABLE[state, happening]
    except KeyError:
        raise Impossible(f"{happening!r} while {state}") from None


def _never() -> bool:
    return False


def _always() -> bool:
    return True


def _nothing() -> None:
    return None


@dataclass(eq=False, slots=True)
class Seat:
    """One process of a generation as streams see it: where to dial, and how many are on it."""

    generation: "Generation"
    process: int
    address: str
    """The path of its Unix socket."""
    up: bool = False
    """It may be given streams."""
    open: int = 0
    proxy_protocol: str = "off"
    """How its process is told the client's address, in front of the first byte: "v1", "v2"."""
    answers: Callable[[], bool] = _always
    """Whether somebody listens there now, where nobody would have reported that nobody does."""
    missed: Callable[[], None] = _nothing
    """Told when nobody listened there."""
    gone: Callable[[], bool] = _never
    """Whether its process is dead already, though nobody has reported it yet."""
    born: float = 0.0
    """When its process was started, of the monotonic clock: what is older was with one that is dead. 0: not known."""


@dataclass(eq=False, slots=True)
class Generation:
    """One start of a version: its state and its counts."""

    version: str
    number: int
    since: float
    """When it came into its state: seconds since the epoch."""
    state: State = State.STARTING
    problem: str = ""
    """Why it failed."""
    seats: list[Seat] = field(default_factory=list)
    open: int = 0
    """Leases that have not been released."""
    total: int = 0
    up_bytes: int = 0
    """Of streams that have ended; the relay knows the rest."""
    down_bytes: int = 0
    conduct: Conduct = field(default_factory=Conduct)
    """How it treats its streams."""

    @property
    def id(self) -> str:
        """The name that users see: ``v1#7``."""
        return f"{self.version}#{self.number}"

    @property
    def able(self) -> bool:
        """At least one of its processes would take a stream at this instant."""
        return any(seat.up and not seat.gone() and seat.answers() for seat in self.seats)

    def __repr__(self) -> str:
        return f"<Generation {self.id} {self.state}, {self.open} open>"

    def happen_unless_late(self, happening: Happening, now: float) -> None:
        """Go on, or stay where something else that ends it was there first."""
        if (self.state, happening) in TABLE:
            self.happen(happening, now)

    def happen(self, happening: Happening, now: float) -> State:
        """Go on to the state that follows. Raises Impossible, and changes nothing."""
        if happening in (Happening.EMPTIED, Happening.KEPT_WARM) and self.open:
            raise Impossible(f"{happening!r} while {self.open} streams are open on {self.id}")
        self.state = step(self.state, happening)
        self.since = now
        return self.state
