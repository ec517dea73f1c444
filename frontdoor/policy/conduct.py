"""How a generation treats its streams: dials that failed or were slow, streams that it ended too early, crashes.

It only counts. Whether what it counted is too much is said by ``probation``; whether it is a bad moment to send clients
there is read from ``troubled_at``.

A stream is told from the next one by its number. Of the generation's own count, ``total``, a dial that failed is taken
out again, since no stream came of it. So the *attempts*, all streams and failed dials, are ``total`` and the failed
dials together, and what is recent is recent among those.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from frontdoor.policy.ledger import by_reason, ends_of, no_ends

WINDOW = 100
"""So many of the last attempts are looked at."""

SLOW = 0.25
"""Seconds: a dial that takes so long is a sign of trouble. A Unix socket with room in its backlog takes none at all."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the dials are counted by how long they took, each at the first of these that it did not exceed."""
QUICK = BOUNDS[0]
"""Nearly all dials are quicker than this, and are not counted one by one: they are what is left of all."""


def _nothing() -> None:
    return None


def _last_ones() -> deque[int]:
    return deque(maxlen=WINDOW)


def _no_dials() -> list[int]:
    return [0] * (len(BOUNDS) + 1)


@dataclass(eq=False, slots=True)
class Conduct:
    """What one generation has shown in its life. Times are of the monotonic clock, in seconds."""

    failed_dials: int = 0
    """Clients whose dial nobody took: refused, no process is up, or they waited too long. To be said once for each
    client, however often he is tried again."""
    early_closes: int = 0
    """Streams that the backend ended right after their start, without having sent a byte."""
    dials: int = 0
    """Dials that were taken."""
    dial_time: float = 0.0
    """Seconds that all of those took together."""
    slowest: float = 0.0
    """Seconds that the slowest of them took."""
    slower: list[int] = field(default_factory=_no_dials)
    """Of those that were not ``QUICK``: how many took how long, by ``BOUNDS``; the last is of those beyond them all."""
    troubled_at: float = -math.inf
    """When there last was a failed or slow dial, a crash, or somebody who waited for a backend; -inf: never."""
    crashes: int = 0
    """Exits of its processes that nobody had asked for."""
    crash_times: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """When the last of those were, the latest last."""
    ended: list[int] = field(default_factory=no_ends)
    """Its streams that have ended, by reason, in the cells that a ledger has for them."""
    told: Callable[[], object] = _nothing
    """Called after each failure and each crash."""
    _failed: deque[int] = field(default_factory=_last_ones)
    """Which attempts were the last failed dials."""
    _early: deque[int] = field(default_factory=_last_ones)
    """How many attempts there were when the last early closes came."""

    @property
    def failures(self) -> int:
        """Failed dials and early closes."""
        return self.failed_dials + self.early_closes

    @property
    def mean(self) -> float:
        """Seconds that a dial takes on the average; 0: there was none."""
        return self.dial_time / self.dials if self.dials else 0.0

    @property
    def cumulative(self) -> list[int]:
        """For each of ``BOUNDS``, how many dials took no longer; and at the end how many there were."""
        return list(accumulate(self.slower, initial=self.dials - sum(self.slower)))[1:]

    @property
    def reasons(self) -> dict[str, int]:
        """Reason → its streams that have ended for it, for the reasons that occurred."""
        return by_reason(self.ended)

    def dialled(self, seconds: float, now: float) -> None:
        """A dial was taken, after so many ``seconds``. Called for every stream there is: it has to be cheap."""
        self.dials += 1
        self.dial_time += seconds
        if seconds > self.slowest:
            self.slowest = seconds
        if seconds > QUICK:
            self.slower[bisect_left(BOUNDS, seconds)] += 1
            if seconds >= SLOW:
                self.troubled_at = now

    def dial_failed(self, at: int, now: float) -> None:
        """Nobody took a dial. ``at``: the generation's ``total``."""
        self.failed_dials += 1
        self._failed.append(self.attempts(at))
        self.troubled_at = now
        self.told()

    def closed_early(self, at: int) -> None:
        """The backend has ended a stream too early. ``at``: the generation's ``total``."""
        self.early_closes += 1
        self._early.append(self.attempts(at))
        self.told()

    def crashed(self, now: float) -> None:
        """One of its processes has exited, and nobody had asked for that."""
        self.crashes += 1
        self.crash_times.append(now)
        self.troubled_at = now
        self.told()

    def held(self, now: float) -> None:
        """Somebody waits for a backend."""
        self.troubled_at = now

    def attempts(self, at: int) -> int:
        """Streams and failed dials so far. ``at``: the generation's ``total``."""
        return at + self.failed_dials

    def recent(self, at: int, since: int = 0) -> int:
        """Failures among the last ``WINDOW`` attempts. ``at``: the total; ``since``: none of the first so many."""
        return sum(self.recent_kinds(at, since))

    def recent_kinds(self, at: int, since: int = 0) -> tuple[int, int]:
        """Of those, how many are failed dials, and how many early closes."""
        before = max(since, self.attempts(at) - WINDOW)
        return sum(number > before for number in self._failed), sum(number > before for number in self._early)

    def note(self) -> dict[str, Any]:
        """What the next door process has to know of it, for JSON."""
        return {
            "failed_dials": self.failed_dials,
            "early_closes": self.early_closes,
            "dials": self.dials,
            "dial_time": self.dial_time,
            "slowest": self.slowest,
            "slower": list(self.slower),
            "troubled_at": self.troubled_at if math.isfinite(self.troubled_at) else None,
            "crashes": self.crashes,
            "crash_times": list(self.crash_times),
            "failed": list(self._failed),
            "early": list(self._early),
            "ended": self.reasons,
        }

    @classmethod
    def resumed(cls, note: dict[str, Any] | None) -> "Conduct":
        """Go on with that ``note``; None: the door process before this one did not keep any."""
        conduct = cls()
        if note is None:
            return conduct
        for name in ("failed_dials", "early_closes", "dials", "dial_time", "slowest", "crashes"):
            setattr(conduct, name, note[name])
        if note["troubled_at"] is not None:
            conduct.troubled_at = note["troubled_at"]
        conduct.crash_times.extend(note["crash_times"])
        slower = note.get("slower", [])  # an older frontdoor did not count them
        if len(slower) == len(conduct.slower):  # and another one may have had other bounds
            conduct.slower = list(slower)
        conduct.ended = ends_of(note.get("ended", {}))  # an older frontdoor did not count them
        conduct._failed.extend(note["failed"])
        conduct._early.extend(note["early"])
        return conduct
