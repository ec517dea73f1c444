"""One sample app as a process of its own, spoken to on its Unix socket: what frontdoor does, without frontdoor."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from load.http import Answer, HttpConnection

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class App:
    def __init__(self, process: trio.Process, socket: str) -> None:
        self.process = process
        self.socket = socket

    async def connect(self) -> trio.SocketStream:
        return await trio.open_unix_socket(self.socket)

    async def get(self, target: str, method: str = "GET", body: bytes = b"") -> Answer:
        http = await HttpConnection.open(f"unix:{self.socket}")
        try:
            return await http.request(method, target, body, last=True)
        finally:
            await http.aclose()

    @contextlib.asynccontextmanager
    async def websocket(self, target: str) -> AsyncIterator[WebSocketConnection]:
        async with trio.open_nursery() as nursery, await self.connect() as stream:
            yield await wrap_client_stream(nursery, stream, "test", target)
            nursery.cancel_scope.cancel()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(10):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def app(script: str, socket: str, *options: str, **env: str) -> AsyncIterator[App]:
    """Run backends/SCRIPT on `socket` until it is left; the caller may have stopped it before."""
    process = await trio.lowlevel.open_process(
        [sys.executable, os.path.join(ROOT, "backends", script), *options],
        env=os.environ | {"FRONTDOOR_SOCKET": socket, "FRONTDOOR_VERSION": "v1", "FRONTDOOR_GENERATION": "7"} | env,
        cwd=os.path.dirname(socket),
        stdin=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(20):
            await listening(process, socket)
        yield App(process, socket)
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def listening(process: trio.Process, socket: str) -> None:
    while True:
        assert process.poll() is None, "the app ended before it listened"
        try:
            await (await trio.open_unix_socket(socket)).aclose()
        except OSError:
            await trio.sleep(0.02)
        else:
            return
