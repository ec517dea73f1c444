"""A scrape: all that the metrics show, gathered at one moment, and made text beside the traffic."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import trio

from frontdoor.door.doors import Doors
from frontdoor.door.status import Carried, Look
from frontdoor.observe.metrics.figures import Ages, Figures, Place
from frontdoor.observe.metrics.lag import Lag
from frontdoor.observe.metrics.meters import Meters
from frontdoor.observe.metrics.process import usage

if TYPE_CHECKING:
    from frontdoor.exchanges.exchange import Exchange
    from frontdoor.policy.generation import Generation
    from frontdoor.traffic.stream import Stream

AT_ONCE = 5000
"""Streams whose ages are taken in one go: half a millisecond."""

_since = attrgetter("since")


class Scrape:
    """Answers ``GET /metrics``."""

    def __init__(self, doors: Doors, look: Callable[[], Awaitable[Look]]) -> None:
        """``look``: makes the whole state."""
        self.lag = Lag(doors.world.protection.stirred)
        self._doors = doors
        self._look = look
        self._meters = Meters()
        self._one_at_a_time = trio.Lock()
        """However many ask: what they do in one pass of trio's loop would add up."""
        doors.world.bus.subscribe(self._meters.take)

    def __repr__(self) -> str:
        return f"<Scrape with {self._meters}, {self.lag}>"

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics, and their content type. ``accept``: the header of that name."""
        # With the control API, and no sooner: clients need it to be loaded neither at a start nor after a crash.
        from frontdoor.observe.metrics.exposition import expose
        from frontdoor.observe.metrics.families import families
        from frontdoor.observe.metrics.family import Seen

        async with self._one_at_a_time:
            look = await self._look()
            seen = Seen(look.status, await self._figures(look.sums))
            return await expose(families(seen), accept, trio.lowlevel.checkpoint)

    async def _figures(self, sums: Mapping["Generation", Carried]) -> Figures:
        conduct = {
            (door.name, generation.id): generation.conduct
            for door in self._doors
            for generation in door.fleet.generations.values()
        }
        self._meters.keep([door.name for door in self._doors], conduct.keys())
        return Figures(
            usage=await usage(),
            meters=self._meters,
            lag=self.lag.histogram,
            ages=await self._ages(sums),
            conduct=conduct,
            access_log_dropped={door.name: door.access_log.dropped for door in self._doors},
        )

    async def _ages(self, sums: Mapping["Generation", Carried]) -> dict[Place, Ages]:
        """Of the generations that run: those that have ended have no stream, and will have none."""
        running = [
            ((door.name, generation.id), sums[generation].streams)
            for door in self._doors
            for number, generation in door.fleet.generations.items()
            if number in door.fleet.backends and generation in sums
        ]
        return {place: Ages.of(await starts(streams), time.monotonic()) for place, streams in running}


async def starts(streams: Sequence["Stream | Exchange"]) -> list[float]:
    """When they were begun, in order, of the monotonic clock. The streams are nearly in order."""
    found: list[float] = []
    while len(found) < len(streams):
        found += map(_since, islice(streams, len(found), len(found) + AT_ONCE))
        await trio.lowlevel.checkpoint()
    found.sort()
    return found
