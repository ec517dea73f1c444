"""The server of the control socket, and of the TCP address: Hypercorn's connections, in an accept loop of our own.

Hypercorn's own ``serve`` is not used, because an exception in one connection ends it: a WebSocket upgrade
with a bad key raises out of its nursery and takes every other connection along. Here it ends that
connection, is reported, and is forgotten.

The invariant: whatever clients send, or do not read, the number of connections is bounded, so is what each
of them may keep in memory, and cancelling :func:`serve` ends them all at once.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio._backends._trio  # noqa: F401 - AnyIO would import it at its first call: all is loaded with this module
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from frontdoor.sockets import NO_ROOM

from .turns import Turns

MAX_CONNECTIONS = 256
ACCEPT_PAUSE = 0.2  # seconds, when there is no descriptor left to accept with
SEND_TIMEOUT = 30.0  # seconds in which a client must take SEND_CHUNK, or it is dropped
SEND_CHUNK = 64 * 1024
SWEEP = 2.0  # seconds between two looks for clients that hung up; the second look drops them

_FULL = '{"error": "%d control connections are open already; end one, or try again later%s", "exit_code": 1}\n'

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
OnError = Callable[[Exception], object]


class Connection:
    """One client's socket, as the stream that Hypercorn's TCPServer reads and writes.

    It differs from :class:`trio.SocketStream` in that a client that takes nothing for SEND_TIMEOUT seconds
    is as good as gone. Hypercorn shields its sends: nothing else could end them. What comes is handed on in one of the
    `turns`: to read a request is most of the work of a small one.
    """

    def __init__(self, sock: trio.socket.SocketType, turns: Turns) -> None:
        self.socket = sock
        self._turns = turns
        self.context = WorkerContext(None)
        self.hung_up = False
        self._task = trio.CancelScope()
        self._stream = trio.SocketStream(sock)

    def __repr__(self) -> str:
        return f"<Connection fd={self.socket.fileno()}>"

    async def receive_some(self, max_bytes: int) -> bytes:
        """Return what came, ``b""`` at the end. Raises trio's BrokenResourceError, ClosedResourceError."""
        data = await self._stream.receive_some(max_bytes)
        await self._turns.take()
        return data

    async def send_all(self, data: bytes) -> None:
        """Send all of `data`. Raises trio's BrokenResourceError, ClosedResourceError."""
        view = memoryview(data)
        for start in range(0, len(view), SEND_CHUNK):
            try:
                with trio.fail_after(SEND_TIMEOUT):
                    await self._stream.send_all(view[start : start + SEND_CHUNK])
            except trio.TooSlowError:
                self.socket.close()
                raise trio.BrokenResourceError("the client does not read") from None

    async def send_eof(self) -> None:
        """Say that no more will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the socket. Hypercorn's idle timer ends too, else it would hold the connection's place."""
        await self.context.terminated.set()
        await self._stream.aclose()

    async def serve(self, server: Awaitable[None]) -> None:
        """Run `server` for this connection, until it ends or :meth:`close` is called."""
        with self._task:
            await server

    def close(self) -> None:
        """End it without a checkpoint: the task, and the sends that are shielded from being cancelled."""
        self._task.cancel()
        self.socket.close()


class Server:
    """The connections of one listener. `connections` are those that are open."""

    def __init__(
        self,
        app: ASGI,
        listener: socket.socket,
        on_error: OnError,
        but_from: int | None = None,
        most: int | None = None,
        hint: str = "",
    ) -> None:
        self.connections: set[Connection] = set()
        self._but_from = but_from
        self._most = most
        self._hint = hint
        self._app = ASGIWrapper(_reporting(app, on_error))
        self._listener = listener
        self._on_error = on_error
        self._exhausted = False  # of descriptors; it was said
        self._came = trio.Event()  # somebody, since there was nobody
        self._turns = Turns()
        self._config = Config()
        # Hypercorn's own log would write to stderr, which may block; exceptions go to on_error instead.
        self._config.errorlog = None
        self._config.include_server_header = False
        if listener.family != socket.AF_UNIX:
            # Strangers: over HTTP/2 each of their connections could have a hundred requests under way.
            self._config.h2_max_concurrent_streams = 1

    async def run(self) -> None:
        """Accept and serve until cancelled."""
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(self._sweep)
                await self._accept_loop(nursery)
            finally:
                # Before the nursery waits for them: a shielded send ends only when its socket is closed.
                for connection in self.connections:
                    connection.close()

    async def _accept_loop(self, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._listener)
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                continue
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if not self._exhausted:
                    self._on_error(error)
                self._exhausted = True
                # Clients wait in the backlog meanwhile; level-triggered, so nothing is missed.
                await trio.sleep(ACCEPT_PAUSE)
                continue
            self._exhausted = False
            self._take(sock, nursery)
            await self._turns.take()  # to begin with a client takes the better part of a millisecond

    def _take(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        if self._but_from is not None and _peer(sock) == self._but_from:
            sock.close()
            return
        most = MAX_CONNECTIONS if self._most is None else self._most
        if len(self.connections) >= most:
            _turn_away(sock, (_FULL % (most, self._hint)).encode())
            return
        connection = Connection(trio.socket.from_stdlib_socket(sock), self._turns)
        self.connections.add(connection)
        self._came.set()
        nursery.start_soon(self._serve, connection)

    async def _serve(self, connection: Connection) -> None:
        server = TCPServer(
            self._app,
            self._config,
            connection.context,
            ConnectionState({}),
            connection,  # type: ignore[arg-type]  # it asks for an SSL stream and takes what is none
        )
        try:
            await connection.serve(server)
        except* Exception as errors:
            self._on_error(errors)
        finally:
            self.connections.discard(connection)
            connection.close()

    async def _sweep(self) -> None:
        """Drop clients that have hung up where Hypercorn does not see it.

        It stops reading while a second request waits behind one that is being answered: such a follower
        could vanish and stay. What is found twice is dropped, so that a request whose client left at once
        is still carried out.
        """
        while True:
            if not self.connections:
                # With nobody to look for, nothing wakes an idle process.
                self._came = trio.Event()
                await self._came.wait()
            await trio.sleep(SWEEP)
            for connection in hung_up(self.connections):
                if connection.hung_up:
                    connection.close()
                connection.hung_up = True


def hung_up(connections: Iterable[Connection]) -> list[Connection]:
    """Return those whose peer has closed its socket.

    Of a Unix socket, not merely its sending side. Over TCP the two cannot be told apart as long as nothing is sent.
    """
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}
    by_descriptor.pop(-1, None)
    poll = select.poll()
    for descriptor, connection in by_descriptor.items():
        poll.register(descriptor, 0 if connection.socket.family == socket.AF_UNIX else select.POLLRDHUP)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(0)]


async def serve(
    app: ASGI,
    listener: socket.socket,
    *,
    on_error: OnError,
    but_from: int | None = None,
    most: int | None = None,
    hint: str = "",
) -> None:
    """Serve the ASGI application `app` on `listener` until cancelled.

    `listener` is listening and non-blocking; it is neither changed nor closed: it is shared with the keeper.
    `on_error` is called with whatever goes wrong in one connection or in the application; it may not raise.
    `but_from`: the process with this pid is not listened to. `most`: connections at once, MAX_CONNECTIONS if it is not
    said; `hint`: what those are told besides who come then. Raises :exc:`OSError` if the listener itself is broken.
    """
    await Server(app, listener, on_error, but_from, most, hint).run()


def _reporting(app: ASGI, on_error: OnError) -> ASGI:
    """Return `app` with its exceptions reported: the answer (500) has been sent by then."""

    async def reported(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except* Exception as errors:
            on_error(errors)

    return reported


def _peer(sock: socket.socket) -> int:
    """The pid of who connected (unix(7), SO_PEERCRED)."""
    pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def _turn_away(sock: socket.socket, body: bytes) -> None:
    """Answer 503 without a task, and close."""
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with sock:
        try:
            sock.setblocking(False)
            sock.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            sock.shutdown(socket.SHUT_WR)
            # What has come and is not read would make the close a reset, which overtakes the answer (RFC 9112, 9.6).
            sock.recv(SEND_CHUNK)
        except OSError:
            pass  # it has gone already
