"""What the backends print, as the control API shows it: the last lines, and all that come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .feed import Event, Follower
from .operator import Operator, Refused

LINES = 10_000  # that one call gets at most; 1,000 are kept of a generation


class Output:
    """What backends print: those of one door and version (or generation), or all where that is None."""

    def __init__(self, operator: Operator, door: str | None, version: str | None) -> None:
        self._operator = operator
        self._door = door
        self._version = version

    def past(self, count: int) -> list[Event]:
        """Return the last lines. Raises :exc:`Refused`."""
        return self._operator.logs(self._door, self._version, count)

    def wanted(self, line: Event) -> bool:
        """Whether `line` is one of them."""
        return self._door in (None, line["door"]) and self._version in (None, line["version"], line["generation"])

    @asynccontextmanager
    async def follow(self, history: int) -> AsyncIterator[Follower]:
        """Read the last lines and all that come, without a gap."""
        try:
            lines = self.past(history)
        except Refused:
            lines = []  # the version was known when this was asked, and has gone since
        # No await in between: neither of these yields to the others.
        async with self._operator.outputs.follow(wanted=self.wanted, past=lines) as follower:
            yield follower
