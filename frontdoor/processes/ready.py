"""The ready checks: whether a process is able to take a stream.

Each raises NotReady, with what it saw in words, as long as it is not.
"""

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11
import trio

from frontdoor.config import ReadySettings
from frontdoor.sockets import dial

MOST_BODY = 1 << 20
"""Bytes of a health page that are read; a page that is longer has said what it has to say."""


class NotReady(Exception):  # noqa: N818 - an answer, not an error
    """The process is not ready yet; the text says what was seen."""


Check = Callable[[], Awaitable[None]]


async def connect(path: str) -> None:
    """Somebody listens on the Unix socket. That he also accepts is not said: the kernel queues the connection."""
    os.close(await _dial(path))


async def http(path: str, target: str) -> None:
    """``GET target`` is answered with 2xx."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=await _dial(path))))
    async with stream:
        connection = h11.Connection(h11.CLIENT)
        try:
            status = await _ask(stream, connection, target)
        except h11.RemoteProtocolError as error:
            raise NotReady(f"GET {target} was answered with something that is not HTTP ({error})") from None
        except trio.BrokenResourceError:
            raise NotReady(f"the connection was closed before GET {target} was answered") from None
    if not 200 <= status < 300:
        raise NotReady(f"GET {target} was answered with {status}")


async def _ask(stream: trio.SocketStream, connection: h11.Connection, target: str) -> int:
    head = [("Host", "frontdoor"), ("User-Agent", "frontdoor"), ("Accept", "*/*"), ("Connection", "close")]
    request = h11.Request(method="GET", target=target, headers=head)
    data = connection.send(request) + connection.send(h11.EndOfMessage())
    await stream.send_all(data)
    status, seen = 0, 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(65536)
            if not data and not status:
                raise NotReady(f"the connection was closed before GET {target} was answered")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            # To its end: some apps log an error when a probe hangs up in the middle of the answer.
            seen += len(event.data)
            if seen > MOST_BODY:
                return status
        elif isinstance(event, h11.EndOfMessage):
            return status


async def _dial(path: str) -> int:
    """A connection to the process itself: never through the public address, where another one could answer."""
    while True:
        try:
            fd = dial(path)
        except FileNotFoundError:
            raise NotReady(f"it has not made its socket yet ({path})") from None
        except ConnectionRefusedError:
            raise NotReady(f"nobody listens on its socket ({path})") from None
        except OSError as error:
            raise NotReady(f"its socket cannot be reached: {error.strerror} ({path})") from None
        if fd is not None:
            return fd
        await trio.sleep(0.02)  # its backlog is full: the check's own timeout ends this


class Notify:
    """The socket on which a process says READY=1 (sd_notify(3))."""

    def __init__(self, path: str) -> None:
        self.path = path
        _unlink(path)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind(path)
        self._said = trio.Event()

    async def run(self) -> None:
        """Read for ever. An app goes on to say STATUS= or WATCHDOG=, and waits until somebody has read it."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                message = self._sock.recv(4096)
            except BlockingIOError:
                continue
            if b"READY=1" in message.split(b"\n"):
                self._said.set()

    def close(self) -> None:
        """Nobody is listened to any more."""
        self._sock.close()
        _unlink(self.path)

    async def check(self) -> None:
        """Wait for READY=1; ``run`` hears it. It need not be said twice."""
        await self._said.wait()


async def prove(check: Check, settings: ReadySettings, good: Callable[[], bool], bad: Callable[[str], None]) -> None:
    """Ask until ``good`` says that it was asked often enough. Ends only then: the deadline is the caller's."""
    missing = "it has not said READY=1" if settings.check.kind == "notify" else "no answer"
    while True:
        try:
            with trio.fail_after(settings.timeout):
                await check()
        except NotReady as problem:
            bad(str(problem))
        except trio.TooSlowError:
            bad(f"{missing} within {settings.timeout:g} s")
        else:
            if good():
                return
        await trio.sleep(settings.interval)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
