"""The pace of a drain: when which share of the old streams has to be closed.

Streams are left alone until the last part of the time, ``close_over``; in that they are closed evenly, so that their
clients do not all reconnect in one instant. What holds, in this order:

1. Never more than ``close_rate`` in a second. Where that needs longer than ``close_over``, closing begins earlier; if
   even that is not enough, it goes on past the deadline.
2. Never more than a quarter above the even rate in any second. Who looks late catches up slowly, past the deadline if
   need be.
3. The time of waiting does not count: what was to be done in it is put off, and so is the deadline.
4. At the deadline everything is closed. Streams that end by themselves make the closing slower, never faster.
"""

import math
from collections import deque

BURST = 1.25
"""How much above the even rate who has fallen behind may go."""

LOOK = 0.1
"""Seconds between two looks: ten a second are enough, several may be closed at one look."""

LOOK_WAITING = 0.25
"""Seconds between two looks while it waits."""

_BLINK = 0.2
"""Seconds: what may be closed in a second may not be closed all at once. Two looks, so that one may be late."""

_FEW = 5
"""Streams: no limit is on a time in which fewer than so many are closed at the fastest, since there are no halves."""

_TINY = 1e-6
"""Rounding."""


class AtMost:
    """A limit: so many in any stretch of so many seconds."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._took: deque[tuple[float, int]] = deque()

    def __repr__(self) -> str:
        return f"<AtMost {self._count} in {self._seconds:g} s>"

    def room(self, now: float) -> int:
        """How many more may be now."""
        while self._took and now - self._took[0][0] >= self._seconds - _TINY:
            self._took.popleft()
        return self._count - sum(count for _, count in self._took)

    def take(self, now: float, count: int) -> None:
        """So many have been."""
        self._took.append((now, count))

    def free_at(self, now: float) -> float:
        """When there is room next."""
        return now if self.room(now) > 0 else self._took[0][0] + self._seconds


class Drain:
    """The closing of one generation's streams, evenly between two points in time."""

    def __init__(self, now: float, timeout: float, close_over: float, close_rate: float = math.inf) -> None:
        """All times in seconds; a ``timeout`` of infinity closes nothing, ever. ``close_rate``: closes a second."""
        self.deadline = now + timeout
        """When the last one is closed. It moves by the time of waiting, and where it cannot be kept."""
        self.begins = self.deadline - min(close_over, timeout) if math.isfinite(timeout) else math.inf
        """When the first one is closed. It moves likewise, and with the number of streams if there is a rate."""
        self.closed = 0
        """Streams that were closed by this drain: to be counted by whoever closes them."""
        self._earliest = now
        self._latest = self.begins
        self._close_rate = close_rate
        self._open = 0
        """At the last look, when what was due then had been closed."""
        self._waits_since: float | None = None
        self._first_look: float | None = None
        """In the time of closing; like ``begins``, it moves by the time of waiting."""
        self._at_first = 0
        """Streams at that look."""
        self._rate = math.inf
        """Closes a second from that look on; and"""
        self._fastest = math.inf
        """at the most."""
        self._limits: tuple[AtMost, ...] = ()

    @classmethod
    def resumed(cls, now: float, begins: float, deadline: float, closed: int, close_rate: float = math.inf) -> "Drain":
        """One that was begun by a process that has died; times as those of ``now``.

        How many streams there were when the closing began is not known any more: what is left now is closed evenly over
        what is left of the time, if that is not much faster than it was.
        """
        drain = cls(min(now, begins), math.inf, math.inf, close_rate)
        drain.begins = drain._latest = begins
        drain.deadline = deadline
        drain.closed = closed
        return drain

    def __repr__(self) -> str:
        return f"<Drain from {self.begins:.1f} to {self.deadline:.1f}, {self.closed} closed>"

    def due(self, now: float, open_: int, *, wait: bool = False) -> int:
        """How many of the ``open_`` streams have to be closed now; call it again at ``next_at``.

        ``wait``: none, and the time until the next look does not count. Say so when the waiting begins, and look again
        when it is over.
        """
        self._put_off(now)
        self._waits_since = now if wait else None
        self._open = open_
        if self._first_look is None:
            self._place(open_)
        if wait or now < self.begins or not open_:
            return 0
        if self._first_look is None:
            self._set_pace(now, open_)
        left = self._left(now)
        due = max(0, open_ - left)
        for limit in self._limits:
            due = min(due, max(0, limit.room(now)))
        if due:
            for limit in self._limits:
                limit.take(now, due)
        self._open -= due
        if self._open > left and (due or now >= self.deadline):  # it has fallen behind
            self.deadline = max(self.deadline, now + self._open / self._fastest)
        return due

    def next_at(self, now: float) -> float:
        """When to ask again: infinity for a drain without an end."""
        if self._waits_since is not None and now >= self.begins:
            return now + LOOK_WAITING
        if now < self.begins:
            # With a rate it begins the later the more streams have ended: no look for each of those.
            return self.begins if math.isinf(self._close_rate) else max(self.begins, now + LOOK)
        if not self._open or self._first_look is None:
            return max(self.deadline, now)
        on_line = self._first_look + (self._at_first - self._open + 1) / self._rate
        allowed = max((limit.free_at(now) for limit in self._limits), default=now)
        return min(self.deadline, max(now + LOOK, on_line, allowed))

    def _put_off(self, now: float) -> None:
        """If it has waited until now: nothing was to be done in that time."""
        if self._waits_since is None or math.isinf(self.begins):
            return
        waited = now - max(self._waits_since, self.begins)
        if waited > 0:
            self.begins += waited
            self._earliest += waited
            self._latest += waited
            self.deadline += waited
            if self._first_look is not None:
                self._first_look += waited

    def _place(self, open_: int) -> None:
        """Begin so early that the rate is enough."""
        if math.isfinite(self._close_rate) and math.isfinite(self.deadline):
            self.begins = max(self._earliest, min(self._latest, self.deadline - open_ / self._close_rate))

    def _set_pace(self, now: float, open_: int) -> None:
        """The time of closing has come: from here on evenly."""
        span = self.deadline - self.begins
        usual = (open_ + self.closed) / span if span > 0 else math.inf
        in_time = open_ / (self.deadline - now) if now < self.deadline else math.inf
        self._first_look, self._at_first = now, open_
        self._fastest = min(BURST * usual, self._close_rate)
        self._rate = min(in_time, self._fastest)
        if math.isinf(self._fastest):
            return  # all at once: there is no time to close them over
        self.deadline = max(self.deadline, now + open_ / self._rate)
        whole = max(1.0, (1 if self._fastest == self._close_rate else _FEW) / self._fastest)
        blink = max(_BLINK, 1 / self._fastest)
        # Where several are due at one look, those in a blink have all that has come due since the look before it.
        before = LOOK if self._rate > 1 / LOOK else 0.0
        self._limits = (
            AtMost(max(1, math.floor(self._fastest * whole + _TINY)), whole),
            AtMost(max(1, math.ceil(self._fastest * (blink + before) - _TINY)), blink),
        )

    def _left(self, now: float) -> int:
        """How many may still be open at this time."""
        if now >= self.deadline or self._first_look is None:
            return 0
        return max(0, math.ceil(self._at_first - (now - self._first_look) * self._rate - _TINY))
