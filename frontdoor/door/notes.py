"""What the keeper is told of a door, so that the next door process knows what this one knew."""

from dataclasses import asdict, dataclass, field
from typing import Any


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


@dataclass(slots=True)
class SwapNote:
    """The last swap, and what was certain of it."""

    number: int
    switched: bool
    message: str
    outcomes: dict[str, dict[str, Any] | None]
    """Milestone → the line that those who asked for it were told; None: it was not certain yet."""


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
        """From JSON's values. Raises KeyError, TypeError when they are something else."""
        swap, previous = data["swap"], data.get("previous")
        return cls(
            next_generation=data["next_generation"],
            next_swap=data["next_swap"],
            active=data["active"],
            generations=[GenerationNote(**generation) for generation in data["generations"]],
            swap=SwapNote(**swap) if swap is not None else None,
            previous=PastNote(**previous) if previous is not None else None,
            earlier=data.get("earlier"),
            paused=data.get("paused", False),
        )
