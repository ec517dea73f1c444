"""Feed: what is said from now on, and the last of what was said, for any number of readers.

Nothing here can make the one who speaks wait: a follower that does not keep up loses the oldest of what it has
not read, and is told how much.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias

import trio

Event: TypeAlias = dict[str, Any]
Wanted: TypeAlias = Callable[[Event], bool]

HISTORY = 1000  # kept for those who ask later; a swap makes about ten events
FOLLOWER_QUEUE = 1000  # what one slow follower may be behind before it loses the oldest


def timestamp(moment: datetime | float | None = None) -> str:
    """Return a moment as RFC 3339 in UTC with milliseconds, ``2026-11-22T09:00:00.000Z``.

    A number is seconds since the epoch; the default is now.
    """
    if not isinstance(moment, datetime):
        moment = datetime.now(UTC) if moment is None else datetime.fromtimestamp(moment, UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: object) -> bytes:
    """Return `value` as JSON, on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


class Said(dict[str, Any]):
    """What was said, as all its readers share it: nobody may change it."""

    @cached_property
    def line(self) -> bytes:
        """It as one line of JSON: many read it at once, and it is encoded for the first of them."""
        return to_json(self) + b"\n"


class Follower:
    """One reader of a feed: an async iterator, as many behind as its queue holds."""

    def __init__(self, past: list[Event], queue: int, wanted: Wanted | None = None) -> None:
        # What it begins with takes no room from what comes.
        self._waiting = deque(past, maxlen=len(past) + queue)
        self._wanted = wanted
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
        event = self.waiting()
        if event is None:
            raise StopAsyncIteration
        return event

    def waiting(self) -> Event | None:
        """Return the next one if it is there already."""
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return {"event": "events.dropped", "time": timestamp(), "count": count}
        return self._waiting.popleft() if self._waiting else None

    def offer(self, event: Event) -> None:
        """Queue `event`, if it is wanted; a full queue loses its oldest."""
        if self._wanted is not None and not self._wanted(event):
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped += 1
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        """Let the iteration end after what is queued."""
        self._closed = True
        self._wake.set()


class Feed:
    """Takes in what is said, and hands it to every follower, in order. `followers` are those who read now."""

    def __init__(self, *, history: int = HISTORY, queue: int = FOLLOWER_QUEUE) -> None:
        """`history` is how much is kept for those who come later: 0 where something else keeps it."""
        self.followers: set[Follower] = set()
        self._history: deque[Event] = deque(maxlen=history)
        self._queue = queue
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} followers={len(self.followers)}>"

    def add(self, said: Event) -> None:
        """Say it. The dict is shared by all who read it: nobody may change it."""
        shared = said if isinstance(said, Said) else Said(said)
        self._history.append(shared)
        for follower in self.followers:
            follower.offer(shared)

    def history(self, count: int = HISTORY, wanted: Wanted | None = None) -> list[Event]:
        """Return the last `count` of what was said and is `wanted`, the oldest first; no more than is kept."""
        said = self._history if wanted is None else filter(wanted, self._history)
        return list(said)[-count:] if count > 0 else []

    @asynccontextmanager
    async def follow(
        self, history: int = 0, wanted: Wanted | None = None, past: list[Event] | None = None
    ) -> AsyncIterator[Follower]:
        """Read the last `history` and all that comes, for as long as the context is open.

        `past` is what it begins with instead, where something else keeps that. What is not `wanted` takes no room in
        the follower's queue. The iteration ends when the feed is closed. Entering does not yield to other tasks: what
        is read of the past right before or after it has no gap to what comes.
        """
        follower = Follower(self.history(history, wanted) if past is None else past, self._queue, wanted)
        if self._closed:
            follower.close()
        self.followers.add(follower)
        try:
            yield follower
        finally:
            self.followers.discard(follower)

    def close(self) -> None:
        """No more is to come: every follower ends after what it has queued."""
        self._closed = True
        for follower in self.followers:
            follower.close()
