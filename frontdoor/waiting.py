"""Waiting for the first of several things."""

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
