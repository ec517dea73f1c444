"""Waiting for the first of several things."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


async def cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    """End a scope when something has happened."""
    await event.wait()
    scope.cancel()


async def first_of(*events: trio.Event) -> None:
    """Wait until one of these has happened."""
    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(cancel_after, event, nursery.cancel_scope)


@asynccontextmanager
async def cut_short(event: trio.Event) -> AsyncIterator[None]:
    """What is in here is left as soon as that has happened."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_after, event, nursery.cancel_scope)
        yield
        nursery.cancel_scope.cancel()
