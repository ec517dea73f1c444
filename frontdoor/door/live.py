"""How things stand, told again and again to all who watch: ``frontdoor top`` and the dashboard.

One state is made for all of them, each second and soon after each event; none while nobody watches. The last quarter
of an hour is kept all the same, in samples that cost next to nothing: who comes to look at a swap that is under way
sees how it began.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Any

import trio

from frontdoor.control.feed import Event, Feed, Follower, timestamp
from frontdoor.door.doors import Doors
from frontdoor.door.status import Carried, Look, shown
from frontdoor.door.streams import lives

LOOK = 1.0
"""Seconds between two states."""

SOON = 0.1
"""Seconds between two states when events come quickly: a switch is seen at once, a storm of events costs little."""

SAMPLE = 2.0
"""Seconds between two samples of the past."""

PAST = 450
"""Samples that are kept: a quarter of an hour in which something changes all the time."""

PAST_EVENTS = 200
"""Events that whoever comes is told of."""

HOLDS = 10
"""Of each draining generation, so many of the oldest streams are shown."""

QUEUE = 60
"""States and events that a slow reader may be behind. What waits is shared by all; a state has some kilobytes."""


class Live:
    """The feed of states and events."""

    def __init__(self, doors: Doors, look: Callable[[], Awaitable[Look]], lag_ms: Callable[[], float | None]) -> None:
        """``look``: makes the whole state; ``lag_ms``: how late the loop was last, in milliseconds."""
        self._doors = doors
        self._look = look
        self._lag_ms = lag_ms
        self._feed = Feed(history=0, queue=QUEUE)
        self._samples: deque[dict[str, Any]] = deque(maxlen=PAST)
        self._news = trio.Event()
        """Something has happened, or somebody has come to watch."""
        doors.world.bus.subscribe(self._take)

    def __repr__(self) -> str:
        return f"<Live: {len(self._feed.followers)} watch, {len(self._samples)} samples>"

    def follow(self) -> AbstractAsyncContextManager[Follower]:
        """Watch: first the past, then states and events as they come."""
        self._sample()
        events = self._doors.world.bus.history(PAST_EVENTS)
        past = {"event": "live.past", "time": timestamp(), "samples": list(self._samples), "events": events}
        self._news.set()
        return self._feed.follow(past=[past])

    async def run(self) -> None:
        """Make states and samples, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._remember)
            nursery.start_soon(self._tell)

    def _take(self, event: Event) -> None:
        if self._feed.followers:
            self._feed.add(event)
        self._news.set()

    async def _tell(self) -> None:
        """Each second, and soon after events; but only while somebody watches."""
        while True:
            if not self._feed.followers:
                await self._news.wait()
            self._news = trio.Event()
            if self._feed.followers:
                await self._add_state()
            with trio.move_on_after(LOOK - SOON):
                await self._news.wait()
            await trio.sleep(SOON)

    async def _add_state(self) -> None:
        try:
            self._feed.add(await self._state())
        except Exception as error:  # who watches misses one: that is no reason for anything else to end
            self._doors.world.log.error("live.broken", error=repr(error))

    async def _state(self) -> dict[str, Any]:
        look = await self._look()
        return {
            "event": "live.state",
            "time": timestamp(),
            "status": look.status,
            "sample": self._now(),
            "holds": {door.name: _holds(look.sums, door.draining) for door in self._doors if door.draining},
            "lag_ms": self._lag_ms(),
            "log": {"dropped": self._doors.world.log.dropped},
        }

    async def _remember(self) -> None:
        """A sample now and then, while streams come, go or move: a door with nothing to do is to use no CPU."""
        seen = -1
        while True:
            seen = await self._doors.world.protection.stirred(seen)
            self._sample()
            await trio.sleep(SAMPLE)

    def _sample(self) -> None:
        """Keep how it is now, unless it was so before."""
        now = self._now()
        if not self._samples or self._samples[-1]["doors"] != now["doors"]:
            self._samples.append(now)

    def _now(self) -> dict[str, Any]:
        doors = {
            door.name: {
                "accepted": door.ledger.accepted,
                "open": {
                    each.id: each.open
                    for each in sorted(door.fleet.generations.values(), key=lambda each: -each.number)
                    if each.open or each is door.switchboard.active
                },
            }
            for door in self._doors
        }
        return {"time": timestamp(time.time()), "doors": doors}


def _holds(sums: Mapping[Any, Carried], draining: Mapping[int, Any]) -> dict[str, list[dict[str, Any]]]:
    """What holds each drain: its oldest streams, by the generation's id."""
    now = time.monotonic()
    held = {}
    for each in draining.values():
        generation = each.backend.generation
        if (carried := sums.get(generation)) is not None:
            there = (stream for stream in carried.streams if lives(stream))
            held[generation.id] = [shown(stream, now) for stream in islice(there, HOLDS)]
    return held
