"""Turns: work that must not be done by many tasks in one pass of trio's loop.

The clients' bytes and trio's tasks share one thread, and between two passes of trio's loop the bytes are moved. Each
task's step is short, but an event wakes all followers at once, and what they do in one pass adds up.
"""

from __future__ import annotations

import trio


class Turns:
    """Lets those who ask go on in the order in which they asked, one in each pass."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def take(self) -> None:
        """Wait for a turn: a checkpoint always, also if nobody else waits."""
        # Taking the lock is a checkpoint, and so is being handed it: who has it gives it on in a later pass.
        async with self._lock:
            pass
