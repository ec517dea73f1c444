"""Figures: what the metrics say beside what ``status --json`` says."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frontdoor.observe.metrics.histogram import Histogram
from frontdoor.observe.metrics.meters import Meters
from frontdoor.observe.metrics.process import Usage
from frontdoor.policy.conduct import Conduct

Place = tuple[str, str]
"""A generation: the door's name, and its id."""

AGES = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""Seconds that streams have been open."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How long the open streams of one generation have been open."""

    cumulative: list[int]
    """For each bound of ``AGES``, how many are no older; and at the end how many there are."""
    sum: float
    """Seconds, of all of them together."""

    @classmethod
    def of(cls, starts: Sequence[float], now: float) -> "Ages":
        """``starts``: when they were begun, in order; ``now``: of the same clock."""
        there = len(starts)
        return cls([*(there - bisect_left(starts, now - age) for age in AGES), there], there * now - sum(starts))


@dataclass(frozen=True, slots=True)
class Figures:
    """All of that."""

    usage: Usage
    meters: Meters
    lag: Histogram
    ages: Mapping[Place, Ages]
    """Of those generations that run."""
    conduct: Mapping[Place, Conduct]
    """Of all generations that the status has."""
    access_log_dropped: Mapping[str, int]
    """Lines of the doors' access logs that were lost, by the name of the door."""
