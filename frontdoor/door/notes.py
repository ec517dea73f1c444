"""What the keeper is told of a door, so that the next door process knows what this one knew."""

from dataclasses import asdict, dataclass, field
from typing import Any


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


@dataclass(slots=True)
class PastNote:
    """What served before: where a rollback leads."""

    version: str
    number: int | None


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

    def encode(self) -> dict[str, Any]:
        """As JSON's values."""
        return asdict(self)

    @classmethod
    def decode(cls, data: dict[str, Any]) -> "DoorNote":
        """From JSON's values. Raises Unreadable when they are something else."""
        try:
            swap, previous = data["swap"], data.get("previous")
            return cls(
                next_generation=data["next_generation"],
                next_swap=data["next_swap"],
                active=data["active"],
                generations=[_generation(generation) for generation in data["generations"]],
                swap=SwapNote(**swap) if swap is not None else None,
                previous=PastNote(**previous) if previous is not None else None,
                earlier=data.get("earlier"),
                paused=data.get("paused", False),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None


def _generation(data: dict[str, Any]) -> GenerationNote:
    note = GenerationNote(**data)
    if data.get("drain") is not None:
        note.drain = DrainNote(**data["drain"])
    return note
