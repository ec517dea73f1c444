"""How long to wait before a process that crashed is started again."""

FIRST = 0.25
LONGEST = 30.0
HEALTHY_AFTER = 60.0
"""Seconds of life after which a crash counts as the first one again."""


class Backoff:
    """Doubles from ``FIRST`` to ``LONGEST`` with every crash in a row."""

    def __init__(self) -> None:
        self._next = FIRST

    def after(self, lived: float) -> float:
        """The delay in seconds after a crash of a process that lived for ``lived`` seconds."""
        if lived >= HEALTHY_AFTER:
            self._next = FIRST
        delay = self._next
        self._next = min(LONGEST, self._next * 2)
        return delay
