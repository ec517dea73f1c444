"""Fullness: whether the vault has a place for another stream just now, as far as is known; said once for an episode."""

import math
import time
from collections.abc import Callable

TRY_AGAIN = 1.0
"""Seconds until a full vault is asked again."""

EPISODE = 10.0
"""Seconds in which the vault was not full: when it is after them, that is said again."""


class Fullness:
    """Of one vault."""

    def __init__(self, say: Callable[[str], object]) -> None:
        """``say`` is told why there is no place, once for an episode."""
        self._say = say
        self._until = -math.inf
        """When it was full last, of the monotonic clock."""
        self.now = False

    def __repr__(self) -> str:
        return f"<Fullness {'full' if self.now else 'not full'}>"

    def begins(self, why: str) -> None:
        """There was no place."""
        now = time.monotonic()
        if now >= self._until + EPISODE:
            self._say(why)
        self.now, self._until = True, now

    def ends(self) -> None:
        """There was a place for all."""
        if self.now:
            self.now, self._until = False, time.monotonic()

    def is_worth_a_try(self, now: float) -> bool:
        """Whether it was not full for so long that it may be asked again (``now``: of the monotonic clock)."""
        return now >= self._until + TRY_AGAIN
