"""The ages of many streams are taken in slices."""

from types import SimpleNamespace
from typing import Any

import trio

from frontdoor.door.scrape import AT_ONCE, starts


async def test_the_starts_are_in_order_and_others_run_in_between() -> None:
    # One that waited for its backend has begun earlier than its neighbours.
    began = [float(number) for number in range(3 * AT_ONCE)]
    began[7] = 3.5
    streams: Any = [SimpleNamespace(since=since) for since in began]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        assert await starts(streams) == sorted(began)
        nursery.cancel_scope.cancel()
    assert turns >= 1


async def test_of_none() -> None:
    assert await starts([]) == []
