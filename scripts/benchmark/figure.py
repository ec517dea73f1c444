"""What is measured: a figure, the case that measures some of them, and the scale of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from benchmark.target import Target

GB = 1_000_000_000


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    seconds: float  # of one load
    bulk: int  # bytes of a bulk transfer
    idle: tuple[int, ...]  # idle streams
    open: tuple[int, ...]  # open streams of which few are busy


FULL = Scale(rounds=5, seconds=2, bulk=1 << 30, idle=(4000, 9000), open=(10, 100, 1000, 8000))
QUICK = Scale(rounds=1, seconds=0.6, bulk=1 << 28, idle=(4000,), open=(10, 100, 1000))
SMOKE = Scale(rounds=1, seconds=0.1, bulk=1 << 24, idle=(100,), open=(10, 100))


@dataclass(frozen=True)
class Figure:
    """One thing that is measured of every target. The wanted limits are of the ratio frontdoor / peer, of medians."""

    key: str  # such as keepalive.50.rate; unique
    title: str  # for people
    unit: str  # req/s, µs, s/GB, B, …
    more_is_better: bool
    wanted: Mapping[str, float] = field(default_factory=dict)
    """Peer → limit of the ratio: at least that where more is better, else at most."""
    ceiling: float | None = None
    """An absolute limit, in `unit`, for frontdoor itself: at most that, or at least where more is better."""


class Case(Protocol):
    """Something that is done to a target, and the figures that come of it."""

    @property
    def name(self) -> str:
        """What `--only` takes."""

    @property
    def figures(self) -> Sequence[Figure]:
        """All that `measure` can measure."""

    @property
    def own(self) -> bool:
        """Whether it is for frontdoor alone: peers have no such thing (a swap)."""

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Figure's key → value. A key that is missing: that could not be measured of this target.

        Raises MeasureError, or OSError, when the load failed.
        """


@runtime_checkable
class Fresh(Protocol):
    """A case that may want each target anew: what was done to a process before would show in its figures."""

    @property
    def fresh(self) -> bool:
        """Whether it does."""


class MeasureError(Exception):
    """What was measured is not what was meant: answers were wrong or missing."""
