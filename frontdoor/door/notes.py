"""What the keeper is told of a door, so that the next door process knows what this one knew."""

from dataclasses import asdict, dataclass, field
from typing import Any

from frontdoor.policy.history import History, Past
from frontdoor.traffic.gate import Maintenance


class Unreadable(Exception):  # noqa: N818 - it says what the note is
    """A note that no frontdoor which this one knows has made."""


@dataclass(slots=True)
class DrainNote:
    """How far a drain has come. Times are of the monotonic clock, which is one for all processes of this machine."""

    begins: float | None
    """When the first stream is closed; None: never."""
    deadline: float | None
    """When the last one is."""
    closed: int
    """Streams that had to be closed so far."""
    swap: int | None = None
    """The number of the swap that waits for its end."""
    notified: bool = False
    """Its processes were told."""
    at_once: bool = False
    """Somebody wants it over: it waits for nothing."""


@dataclass(slots=True)
class TrialNote:
    """A candidate that is being watched. Times in it are of the monotonic clock."""

    walk: dict[str, Any] | None
    """The canary's way up; None: it has been switched to."""
    probation: dict[str, Any] | None
    """What it is measured against, and until when."""
    at_first: list[list[int]] = field(default_factory=list)
    """What it and the generation beside it had seen when the canary began."""


@dataclass(slots=True)
class GenerationNote:
    """One generation that has not ended."""

    version: str
    number: int
    state: str
    since: float
    total: int
    up_bytes: int
    down_bytes: int
    open: int = 0
    """Streams on it when this was noted."""
    drain: DrainNote | None = None
    """If it drains."""
    conduct: dict[str, Any] | None = None
    """How it has treated its streams."""
    problem: str = ""
    """Why it is not what serves, if it was found wanting."""


@dataclass(slots=True)
class PastNote:
    """What served before: where a rollback leads."""

    version: str
    number: int | None

    @classmethod
    def of(cls, past: Past | None) -> "PastNote | None":
        """As it is kept."""
        return cls(past.version, past.number) if past is not None else None

    def past(self) -> Past:
        """What it says."""
        return Past(self.version, self.number)


@dataclass(slots=True)
class HistoryNote:
    """Where a rollback leads."""

    previous: PastNote | None = None
    earlier: str | None = None

    @classmethod
    def of(cls, history: History) -> "HistoryNote":
        """As it is kept."""
        return cls(PastNote.of(history.previous), history.earlier)

    def history(self) -> History:
        """What it says."""
        return History(self.previous.past() if self.previous is not None else None, self.earlier)


@dataclass(slots=True)
class SwapNote:
    """The last swap, and what was certain of it."""

    number: int
    switched: bool
    message: str
    outcomes: dict[str, dict[str, Any] | None]
    """Milestone → the line that those who asked for it were told; None: it was not certain yet."""
    old: str | None = None
    """The generation that drains because of it."""
    target: str = ""
    """The generation that it went to."""
    trial: TrialNote | None = None
    """If its candidate is being watched."""
    before: HistoryNote | None = None
    """Where a rollback led before the switch."""


@dataclass(slots=True)
class DoorNote:
    """One door."""

    next_generation: int = 1
    next_swap: int = 1
    active: int | None = None
    generations: list[GenerationNote] = field(default_factory=list)
    swap: SwapNote | None = None
    previous: PastNote | None = None
    earlier: str | None = None
    paused: bool = False
    paused_until: float | None = None
    """When it resumes by itself, of the monotonic clock; None: it does not."""
    maintenance: Maintenance | None = None

    def encode(self) -> dict[str, Any]:
        """As JSON's values."""
        return asdict(self)

    @classmethod
    def decode(cls, data: dict[str, Any]) -> "DoorNote":
        """From JSON's values. Raises Unreadable when they are something else."""
        try:
            swap, previous, maintenance = data["swap"], data.get("previous"), data.get("maintenance")
            return cls(
                next_generation=data["next_generation"],
                next_swap=data["next_swap"],
                active=data["active"],
                generations=[_generation(generation) for generation in data["generations"]],
                swap=_swap(swap) if swap is not None else None,
                previous=PastNote(**previous) if previous is not None else None,
                earlier=data.get("earlier"),
                paused=data.get("paused", False),
                paused_until=data.get("paused_until"),
                maintenance=Maintenance(**maintenance) if maintenance is not None else None,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None


def _generation(data: dict[str, Any]) -> GenerationNote:
    note = GenerationNote(**data)
    if data.get("drain") is not None:
        note.drain = DrainNote(**data["drain"])
    return note


def _swap(data: dict[str, Any]) -> SwapNote:
    note = SwapNote(**data)
    if data.get("trial") is not None:
        note.trial = TrialNote(**data["trial"])
    if (before := data.get("before")) is not None:
        previous = PastNote(**before["previous"]) if before["previous"] is not None else None
        note.before = HistoryNote(previous, before["earlier"])
    return note
