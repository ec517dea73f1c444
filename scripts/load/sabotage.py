"""A bad door: a tiny TCP relay that cuts every open stream at the switch, as a restart would.

A load that has never failed shows nothing. This is what it must fail on.
"""

import contextlib
from collections.abc import AsyncIterator

import trio

from load.address import connect


class Relay:
    """Streams from `address` to `target`. With cuts=False it is a fair, if slow, door."""

    def __init__(self, target: str, address: str, *, cuts: bool) -> None:
        self.target = target
        self.address = address
        self._cuts = cuts
        self._open: set[trio.CancelScope] = set()

    def switch(self, target: str | None = None) -> None:
        """Send new streams to `target` (None: where they went before), and cut what is open, if that is its way."""
        self.target = target or self.target
        if self._cuts:
            for stream in self._open:
                stream.cancel()

    async def handle(self, client: trio.SocketStream) -> None:
        """Relay one stream until both sides have ended, or it is cut."""
        async with client:
            with trio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    await self._join(client)
                except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # one side is gone: this stream ends, and its client notices
                finally:
                    self._open.discard(scope)

    async def _join(self, client: trio.SocketStream) -> None:
        async with await connect(self.target) as backend, trio.open_nursery() as nursery:
            nursery.start_soon(_copy, client, backend)
            nursery.start_soon(_copy, backend, client)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    async for data in source:
        await sink.send_all(data)
    await sink.send_eof()


@contextlib.asynccontextmanager
async def relay(target: str, *, cuts: bool = True) -> AsyncIterator[Relay]:
    """Run a relay to `target` on a free port of 127.0.0.1."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener.socket.getsockname()
    door = Relay(target, f"{host}:{port}", cuts=cuts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, door.handle, [listener])
        yield door
        nursery.cancel_scope.cancel()
