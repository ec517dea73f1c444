"""The ready checks: whether a process is able to take a stream.

Each raises NotReady, with what it saw in words, as long as it is not.
"""

import errno
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from frontdoor import proxy_header
from frontdoor.config import ReadyCheck, ReadySettings
from frontdoor.sockets import NO_ROOM, dial

if TYPE_CHECKING:
    import h11

MOST_BODY = 1 << 20
"""Bytes of a health page that are read; a page that is longer has said what it has to say."""


class NotReady(Exception):  # noqa: N818 - an answer, not an error
    """The process is not ready yet; the text says what was seen."""


class CannotAsk(NotReady):
    """Nothing was seen: frontdoor itself could not ask."""


class ShutOut(NotReady):
    """Its socket is there, and its rights keep this process out."""


Check = Callable[[], Awaitable[None]]


def over_socket(check: ReadyCheck, path: str, proxy_protocol: str) -> Check:
    """The check that is made over the process' socket: that of "http", or else that it can be dialled."""
    if check.kind != "http":
        return partial(connect, path)
    greeting = b"" if proxy_protocol == "off" else proxy_header.local(proxy_protocol)
    return partial(http, path, check.path, greeting)


async def connect(path: str) -> None:
    """Somebody listens on the Unix socket. That he also accepts is not said: the kernel queues the connection."""
    os.close(await _dial(path))


async def http(path: str, target: str, greeting: bytes = b"", json: bytes | None = None) -> None:
    """``GET target`` is answered with 2xx; or, with ``json`` as its body, ``POST target``.

    ``greeting`` goes in front of it: a PROXY header, where one is expected. Raises NotReady.
    """
    import h11  # it is there, but right after a crash: no client waits for it (door.remainder)

    stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=await _dial(path))))
    async with stream:
        connection = h11.Connection(h11.CLIENT)
        asked = f"{'GET' if json is None else 'POST'} {target}"
        try:
            with suppress(trio.BrokenResourceError):  # it may have answered already, and not wanted to hear the rest
                await stream.send_all(greeting + _request(connection, target, json))
            status = await _answer(stream, connection, asked)
        except h11.RemoteProtocolError as error:
            raise NotReady(f"{asked} was answered with something that is not HTTP ({error})") from None
        except trio.BrokenResourceError:
            raise NotReady(f"the connection was closed before {asked} was answered") from None
    if not 200 <= status < 300:
        raise NotReady(f"{asked} was answered with {status}")


def _request(connection: "h11.Connection", target: str, json: bytes | None) -> bytes:
    import h11

    head = [("Host", "frontdoor"), ("User-Agent", "frontdoor"), ("Accept", "*/*"), ("Connection", "close")]
    if json is None:
        request = h11.Request(method="GET", target=target, headers=head)
        return bytes(connection.send(request) + connection.send(h11.EndOfMessage()))
    head += [("Content-Type", "application/json"), ("Content-Length", str(len(json)))]
    request = h11.Request(method="POST", target=target, headers=head)
    return bytes(connection.send(request) + connection.send(h11.Data(json)) + connection.send(h11.EndOfMessage()))


async def _answer(stream: trio.SocketStream, connection: "h11.Connection", asked: str) -> int:
    import h11

    status, seen = 0, 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(65536)
            if not data and not status:
                raise NotReady(f"the connection was closed before {asked} was answered")
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
        except ConnectionRefusedError:  # which is said of everything that is not a socket, too
            if _is_socket(path):
                raise NotReady(f"nobody listens on its socket ({path})") from None
            raise NotReady(f"what is there is not a socket ({path})") from None
        except OSError as error:
            unseen = CannotAsk if error.errno in NO_ROOM else ShutOut if error.errno == errno.EACCES else NotReady
            raise unseen(f"its socket cannot be reached: {error.strerror} ({path})") from None
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
        _open_to_all(path)
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


async def ask(check: Check, seconds: float, missing: str = "") -> None:
    """Make the check once. Raises NotReady, too when it takes longer than ``seconds``."""
    try:
        with trio.fail_after(seconds):
            await check()
    except trio.TooSlowError:
        raise NotReady(missing or f"no answer within {seconds:g} s") from None


async def prove(check: Check, settings: ReadySettings, good: Callable[[], bool], bad: Callable[[str], None]) -> None:
    """Ask until ``good`` says that it was asked often enough. Ends only then: the deadline is the caller's."""
    missing = "it has not said READY=1" if settings.check.kind == "notify" else ""
    while True:
        try:
            await ask(check, settings.timeout, missing)
        except NotReady as problem:
            bad(str(problem))
        else:
            if good():
                return
        await trio.sleep(settings.interval)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True  # it went away just now: nothing is known of what it was


def _open_to_all(path: str) -> None:
    """Let any user write to a socket of ours; who may come near it is the folder's affair.

    The folder may belong to the process' user, who could have put a link there in the meantime: what is opened is
    looked at before its rights are changed, and only that.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
                os.chmod(f"/proc/self/fd/{fd}", 0o666)  # noqa: S103 - that is the point
        finally:
            os.close(fd)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
