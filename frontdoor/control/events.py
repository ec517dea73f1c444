"""Events: what happened, in the one vocabulary of logs, hooks, ``frontdoor events`` and the control API.

:class:`Bus` is where the door process says what happens. Nothing here can make the one who publishes wait:
subscribers are plain functions, and a follower that does not keep up loses the oldest events and is told
how many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import trio

Event: TypeAlias = dict[str, Any]

VOCABULARY = frozenset(
    {
        "door.started",
        "door.restored",
        "door.stopping",
        "config.reloaded",
        "config.refused",
        "backend.starting",
        "backend.ready",
        "backend.exited",
        "backend.restarting",
        "swap.started",
        "swap.vetoed",
        "swap.switched",
        "swap.settled",
        "swap.failed",
        "swap.aborted",
        "swap.rolled_back",
        "drain.started",
        "drain.finished",
        "generation.warm",
        "generation.stopped",
        "canary.share",
        "paused",
        "resumed",
        "upgrade.started",
        "upgrade.finished",
        "upgrade.failed",
        "hook.failed",
        "limit.reached",
    }
)

HISTORY = 1000  # events kept for those who ask later; a swap makes about ten
FOLLOWER_QUEUE = 1000  # events that one slow follower may be behind before it loses the oldest


def timestamp(now: datetime | None = None) -> str:
    """Return a moment (default: now) as RFC 3339 in UTC with milliseconds, ``2026-11-22T09:00:00.000Z``."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Follower:
    """One reader of the bus: an async iterator over events, as many behind as its queue holds."""

    def __init__(self, waiting: list[Event], queue: int) -> None:
        self._waiting = deque(waiting, maxlen=queue)
        self._dropped = 0
        self._closed = False
        self._wake = trio.Event()

    def __repr__(self) -> str:
        return f"<Follower {len(self._waiting)} waiting, {self._dropped} dropped>"

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Event:
        while not (self._waiting or self._closed):
            await self._wake.wait()
            self._wake = trio.Event()
        # A follower that always finds something must let the others run, and be cancellable.
        await trio.lowlevel.checkpoint()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return {"event": "events.dropped", "time": timestamp(), "count": count}
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    def offer(self, event: Event) -> None:
        """Queue `event`; a full queue loses its oldest."""
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped += 1
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        """Let the iteration end after what is queued."""
        self._closed = True
        self._wake.set()


class Bus:
    """Takes events in, and hands each to every subscriber and follower, in order.

    `followers` is the set of those who read now.
    """

    def __init__(self, *, history: int = HISTORY, queue: int = FOLLOWER_QUEUE) -> None:
        self.followers: set[Follower] = set()
        self._history: deque[Event] = deque(maxlen=history)
        self._queue = queue
        self._subscribers: list[Callable[[Event], object]] = []
        self._seq = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Bus seq={self._seq} followers={len(self.followers)}>"

    def publish(self, event: str, /, **fields: Any) -> Event:
        """Say that `event` happened; returns it with ``event``, ``time`` and ``seq`` in front of `fields`.

        A field that is None does not apply, and is left out. The dict is shared by all who read it: nobody
        may change it. Raises :exc:`ValueError` for a name that is not in the vocabulary.
        """
        if event not in VOCABULARY:
            raise ValueError(f"{event!r} is not an event of the contract's vocabulary")
        self._seq += 1
        said: Event = {"event": event, "time": timestamp(), "seq": self._seq}
        said.update((name, value) for name, value in fields.items() if value is not None)
        self._history.append(said)
        for subscriber in self._subscribers:
            subscriber(said)
        for follower in self.followers:
            follower.offer(said)
        return said

    def subscribe(self, listener: Callable[[Event], object]) -> None:
        """Call `listener` with every event from now on, in the moment it is published.

        It is called in the middle of a swap: it may neither block nor raise.
        """
        self._subscribers.append(listener)

    def history(self, count: int = HISTORY) -> list[Event]:
        """Return the last `count` events, the oldest first; no more than are kept."""
        return list(self._history)[-count:] if count > 0 else []

    @asynccontextmanager
    async def follow(self, history: int = 0) -> AsyncIterator[Follower]:
        """Read the last `history` events and all that come, for as long as the context is open.

        The iteration ends when the bus is closed.
        """
        follower = Follower(self.history(history), self._queue)
        if self._closed:
            follower.close()
        self.followers.add(follower)
        try:
            yield follower
        finally:
            self.followers.discard(follower)

    def close(self) -> None:
        """No more events are to come: every follower ends after what it has queued."""
        self._closed = True
        for follower in self.followers:
            follower.close()
