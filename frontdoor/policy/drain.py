"""The pace of a drain: when which share of the old streams has to be closed.

Streams are left alone until the last part of the time, ``close_over``; in that they are closed evenly, so that their
clients do not all reconnect in one instant. Streams that end by themselves make the closing slower, never faster.
"""

import math


class Drain:
    """The closing of one generation's streams, evenly between two points in time."""

    def __init__(self, now: float, timeout: float, close_over: float) -> None:
        """All times in seconds; a ``timeout`` of infinity closes nothing, ever."""
        self.deadline = now + timeout
        self.begins = self.deadline - min(close_over, timeout) if math.isfinite(timeout) else math.inf
        self.closed = 0
        """Streams that were closed by this drain."""
        self._at_first: int | None = None

    @classmethod
    def resumed(cls, now: float, begins: float, deadline: float, closed: int) -> "Drain":
        """One that was begun by a process that has died; times as those of ``now``.

        How many streams there were when the closing began is not known any more: what is left now is closed evenly over
        what is left of the time.
        """
        drain = cls(now, deadline - now, max(0.0, deadline - max(begins, now)))
        drain.closed = closed
        return drain

    def __repr__(self) -> str:
        return f"<Drain from {self.begins:.1f} to {self.deadline:.1f}, {self.closed} closed>"

    def due(self, now: float, open_: int) -> int:
        """How many of the ``open_`` streams have to be closed now; call it again at ``next_at``."""
        if now < self.begins:
            return 0
        if now >= self.deadline:
            return open_
        if self._at_first is None:
            self._at_first = open_
        share_left = (self.deadline - now) / (self.deadline - self.begins)
        return max(0, open_ - math.ceil(self._at_first * share_left))

    def next_at(self, now: float) -> float:
        """When to ask again: infinity for a drain without an end."""
        if now < self.begins:
            return self.begins
        if not self._at_first:
            return self.deadline
        # One step of the even pace, but no more than ten looks a second: several may be closed at one look.
        return min(self.deadline, now + max(0.1, (self.deadline - self.begins) / self._at_first))
