"""Operation: one change that somebody asked for (a swap, a reload, an upgrade), and what became of it.

It outlives the connection that asked: any number of clients may follow it, come back to it by its number
after their connection broke, and are all told the same. A swap has four milestones, one after the other; each gets
exactly one outcome, and keeps it: ``shared`` (as a canary it has its share; without one that is the switch),
``switched``, ``baked`` and ``drained``. What has no number (0) is no swap: nobody can come back to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import trio

from .feed import Event, timestamp

MILESTONES = ("shared", "switched", "baked", "drained")
LINES = 1000  # lines kept of one operation; a swap makes about ten, a drain of a day may see restarts


class Operation:
    """What clients see of a change under way: its lines, and for each milestone its outcome."""

    def __init__(self, number: int, *, noun: str = "swap", lines: int = LINES) -> None:
        """`noun`: what it is called by that number."""
        self.number = number
        self.noun = noun
        self._lines: deque[Event] = deque(maxlen=lines)
        self._recorded = 0
        # Milestone -> (how many lines came before it, its result line).
        self._outcomes: dict[str, tuple[int, Event]] = {}
        self._change = trio.Event()

    def __repr__(self) -> str:
        reached = ", ".join(f"{name}: {line['result']}" for name, (_, line) in self._outcomes.items())
        return f"<Operation {self.number} {reached or 'under way'}>"

    def record(self, line: Mapping[str, Any]) -> None:
        """Add one event to what followers see."""
        self._lines.append(dict(line))
        self._recorded += 1
        self._wake()

    def reach(self, milestone: str, result: str, exit_code: int, message: str, **extra: Any) -> None:
        """`milestone` has this outcome, and so has each earlier one that has none yet.

        A milestone keeps its first outcome. Raises :exc:`ValueError` if there is no such milestone.
        """
        until = MILESTONES.index(milestone) + 1
        self._settle(MILESTONES[:until], result, exit_code, message, extra)

    def fail(self, result: str, exit_code: int, message: str, **extra: Any) -> None:
        """Give every milestone that was not reached this outcome: nothing more will come."""
        self._settle(MILESTONES, result, exit_code, message, extra)

    def outcome(self, until: str) -> Event | None:
        """Return the result line of the milestone `until`, or None while it is not certain."""
        if until not in MILESTONES:
            raise ValueError(f"{until!r} is not a milestone; there are {', '.join(MILESTONES)}")
        settled = self._outcomes.get(until)
        return None if settled is None else settled[1]

    async def certain(self, until: str) -> Event:
        """Wait for the outcome of the milestone `until`, and return its result line."""
        while (line := self.outcome(until)) is None:
            await self._change.wait()
        return line

    @property
    def finished(self) -> bool:
        """Whether every milestone has its outcome."""
        return len(self._outcomes) == len(MILESTONES)

    @property
    def recorded(self) -> int:
        """How many lines there have been so far: who has seen all of them follows ``after`` that many."""
        return self._recorded

    def follow(self, until: str, after: int = 0) -> OperationLines:
        """Iterate over the lines so far, but for the first `after`, and those to come.

        The outcome of `until` is the last of them. What a slow reader misses because too many lines came is counted in
        one ``events.dropped`` line.
        """
        self.outcome(until)  # raises ValueError
        return OperationLines(self, until, after)

    def _settle(
        self, milestones: tuple[str, ...], result: str, exit_code: int, message: str, extra: Mapping[str, Any]
    ) -> None:
        line = {
            "event": "result",
            "time": timestamp(),
            **({self.noun: self.number} if self.number else {}),
            "result": result,
            "exit_code": exit_code,
            "message": message,
            **extra,
        }
        for milestone in milestones:
            self._outcomes.setdefault(milestone, (self._recorded, line))
        self._wake()

    def _wake(self) -> None:
        self._change.set()
        self._change = trio.Event()

    def _next(self, position: int, until: str) -> tuple[int, Event] | None:
        """Return the line at `position` and the position after it, or None if it has not come yet.

        After the outcome the position is -1.
        """
        settled = self._outcomes.get(until)
        if settled is not None and position >= settled[0]:
            return -1, settled[1]
        first_kept = self._recorded - len(self._lines)
        if position < first_kept:
            # What was lost may reach beyond the milestone: then its outcome is next.
            dropped = {"event": "events.dropped", "time": timestamp(), "count": first_kept - position}
            return first_kept, dropped
        if position < self._recorded:
            return position + 1, self._lines[position - first_kept]
        return None


class OperationLines:
    """One reader of an operation. It holds a position, no lines: one that never reads costs nothing."""

    # A class and not an async generator: it may be left half-way, with nothing to clean up.

    def __init__(self, operation: Operation, until: str, after: int = 0) -> None:
        self._operation = operation
        self._until = until
        self._position = after

    def __aiter__(self) -> OperationLines:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while (line := self.waiting()) is None:
            if self._position < 0:
                raise StopAsyncIteration
            await self._operation._change.wait()
        return line

    def waiting(self) -> Event | None:
        """Return the next one if it is there already."""
        found = self._operation._next(self._position, self._until) if self._position >= 0 else None
        if found is None:
            return None
        self._position, line = found
        return line
