"""Values over time, in steps: what a sparkline shows, and what an estimate is made from."""

from __future__ import annotations

from collections import deque
from itertools import groupby, islice, pairwise

STEP = 2.0
"""Seconds of a step: frontdoor keeps its past in samples of two seconds."""

STEPS = 450
"""Steps that are kept: a quarter of an hour, as frontdoor itself does."""


class Series:
    """A value over time. Where none was told, it is as it was before."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=STEPS)
        """The last value in each step."""
        self._highest: deque[float] = deque(maxlen=STEPS)
        """The highest one in each: what has gone within two seconds was there all the same."""
        self._step = 0
        """The number of the last of them, since the epoch."""

    def __repr__(self) -> str:
        return f"<Series of {len(self._values)} steps>"

    def put(self, time: float, value: float) -> None:
        """At that time, in seconds since the epoch, it was `value`. If the clock was set back, all begins anew."""
        step = int(time // STEP)
        if not self._values or step < self._step or step - self._step > STEPS:
            self._values.clear()
            self._highest.clear()
            self._values.append(value)
            self._highest.append(value)
        elif step == self._step:
            self._values[-1] = value
            self._highest[-1] = max(self._highest[-1], value)
        else:
            held = [self._values[-1]] * (step - self._step - 1)
            self._values.extend([*held, value])
            self._highest.extend([*held, value])
        self._step = step

    @property
    def last(self) -> float:
        """The last value; 0 if there is none."""
        return self._values[-1] if self._values else 0.0

    def levels(self, count: int, per: int = 1) -> list[float]:
        """Return the highest value in each of the last `count` groups of `per` steps, the newest last."""
        return [max(values) for values in self._groups(self._highest, per, count)][-count:] if count > 0 else []

    def rates(self, count: int, per: int = 1) -> list[float]:
        """Return by how much it grew in a second in each of the last `count` groups of steps that are over."""
        ends = [values[-1] for values in self._groups(self._values, per, count + 2)][:-1]  # the last group is not over
        grown = [max(0.0, after - before) / (per * STEP) for before, after in pairwise(ends)]
        return grown[-count:] if count > 0 else []

    def shrinks(self, within: int) -> float:
        """Return by how much it shrinks in a second since its highest value in the last `within` steps; at least 0."""
        last = list(self._values)[-within:]
        if not last:
            return 0.0
        highest = max(range(len(last)), key=lambda at: (last[at], at))
        seconds = (len(last) - 1 - highest) * STEP
        return (last[highest] - last[-1]) / seconds if seconds else 0.0

    def _groups(self, values: deque[float], per: int, count: int) -> list[list[float]]:
        """Values in groups of steps, at least the last `count` groups of those that there are.

        A step is always in the same group: else all of a sparkline would flicker.
        """
        last = list(islice(values, max(0, len(values) - (count + 1) * per), None))
        numbered = enumerate(last, self._step - len(last) + 1)
        return [[value for _, value in group] for _, group in groupby(numbered, key=lambda each: each[0] // per)]
