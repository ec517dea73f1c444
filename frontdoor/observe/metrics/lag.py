"""Lag: how late the door process does what is due.

Clients' bytes and everything else share one thread. What takes long in it makes all others wait, and a sleep that ends
late shows that. It is a sample: a short pause between two looks is not seen. With no traffic nobody waits, and nobody
looks.
"""

from collections.abc import Awaitable, Callable

import trio

from frontdoor.observe.metrics.histogram import Histogram

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds."""

PERIOD = 0.25
"""Seconds between two looks."""

STALE = 5.0
"""Seconds after which the last look says nothing of now."""


class Lag:
    """Looks again and again, while there is traffic."""

    def __init__(self, stirred: Callable[[int], Awaitable[int]]) -> None:
        """``stirred``: as ``Protection.stirred``."""
        self.histogram = Histogram(BOUNDS)
        self._stirred = stirred
        self._last = 0.0
        self._at: float | None = None

    def __repr__(self) -> str:
        return f"<Lag: {self.last_ms} ms>"

    @property
    def last_ms(self) -> float | None:
        """How late it was at the last look, in milliseconds; None: there was none for a while."""
        if self._at is None or trio.current_time() - self._at > STALE:
            return None
        return round(1000 * self._last, 3)

    async def run(self) -> None:
        """Look for ever."""
        seen = -1
        while True:
            seen = await self._stirred(seen)
            due = trio.current_time() + PERIOD
            await trio.sleep_until(due)
            self._at = trio.current_time()
            self._last = self._at - due
            self.histogram.add(self._last)
