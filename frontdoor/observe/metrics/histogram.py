"""A histogram: how many of what was observed were how large. It only counts."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts by bounds: each observation at the first bound that it does not exceed."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: rising. What is beyond them all is counted as well."""
        self.bounds = bounds
        self.sum = 0.0
        """Of all observations."""
        self._counts = [0] * (len(bounds) + 1)

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, {self.sum:g} in all>"

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    @property
    def cumulative(self) -> list[int]:
        """For each bound, how many did not exceed it; and at the end how many there were."""
        return list(accumulate(self._counts))

    def add(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
