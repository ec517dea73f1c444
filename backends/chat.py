"""A chat room to put behind frontdoor, and to swap while people are talking in it.

    python backends/chat.py --version v1 --socket /tmp/chat.sock

The point of this sample: a WebSocket that is open on v1 stays on v1 while new ones go to v2, and still all of
them are in *one* room. For that, what must outlive a process (here: the messages) lives outside of it, in an
SQLite file that both versions read and write. Nothing in this process is worth keeping.

Told by SIGUSR1 that it drains, `drain.notify = "SIGUSR1"`, it asks the clients of its WebSockets to come back (close
code 1012), one after the other: they meet the new version, and the drain is over in seconds. It goes on serving.

Routes: `/` the page, `/ws` the chat (JSON messages), `/echo` a WebSocket that sends back what it gets,
`/whoami` JSON {version, generation, pid}, `/healthz` 200. Every answer says which generation gave it (`X-Served-By`).
"""

import argparse
import contextlib
import dataclasses
import errno
import functools
import html
import json
import math
import os
import random
import re
import signal
import socket
import sqlite3
import sys
import traceback
import urllib.parse
from collections.abc import Awaitable, Callable

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from chat_http import HttpConnection, Request
from chat_room import History, Room, TooSlowError

Talk = Callable[[WebSocketConnection], Awaitable[None]]

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat.html")
LIMITS = {"name": 40, "text": 2_000, "key": 64}  # what a client sends, and its longest length in characters
SERVICE_RESTART = 1012  # WebSocket close code (IANA registry): come back, you will meet another process
GOODBYE = 2.0  # seconds that a client has to answer a close
SPREAD = 1.0  # seconds over which the clients of a process that drains are asked to come back; longer for many
PACE = 200  # … no more than these a second
LATE = 1.0  # seconds after the signal, in which a connection may still arrive that was made before the switch


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who is answering: which generation of which version, in which process."""

    version: str
    generation: int
    pid: int
    greeting: str

    def __str__(self) -> str:
        return f"{self.version}#{self.generation}"

    def json(self, **more: object) -> str:
        """A JSON object of it, with `more` keys."""
        known = {"version": self.version, "generation": self.generation, "pid": self.pid}
        return json.dumps(known | more)


class App:
    """The routes, and every WebSocket that is open."""

    def __init__(self, identity: Identity, room: Room) -> None:
        self.identity = identity
        self.room = room
        self._open: set[WebSocketConnection] = set()
        self._told_at = -math.inf  # when it was told that it drains
        with open(PAGE, encoding="utf-8") as page:
            self._page = page.read().replace("{{version}}", html.escape(identity.version)).encode()

    async def connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever goes wrong in it ends it, and nothing else."""
        came = trio.current_time()
        try:
            async with stream:
                await self._requests(HttpConnection(stream, str(self.identity)), came)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, ConnectionClosed, TooSlowError):
            pass  # the client went away, or did not read
        except* Exception as failed:
            traceback.print_exception(failed)

    async def _requests(self, http: HttpConnection, came: float) -> None:
        while request := await http.request():
            talk = self._talk(request)
            if talk and request.websocket:
                await self._websocket(http, request, talk, came)
                return
            # A browser keeps its connection, and with it its generation. The page wants to know where a *new* one
            # would go, and JavaScript cannot say "Connection: close": so it asks for /whoami?close.
            await http.answer(*self._answer(request), close=request.path == "/" or request.query == "close")

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        routes = {
            "/": ("text/html; charset=utf-8", self._page),
            "/whoami": ("application/json", self.identity.json().encode() + b"\n"),
            "/healthz": ("text/plain", b"ok\n"),
        }
        if self._talk(request):
            return 426, "text/plain", b"this is a WebSocket\n"
        if request.path not in routes:
            return 404, "text/plain", b"not found\n"
        if request.method not in ("GET", "HEAD"):
            return 405, "text/plain", b"only GET\n"
        return 200, *routes[request.path]

    def _talk(self, request: Request) -> Talk | None:
        if request.path == "/echo":
            return self._echo
        if request.path == "/ws":
            since = urllib.parse.parse_qs(request.query).get("since", ["0"])[0]
            return functools.partial(self._chat, seen=int(since) if re.fullmatch("[0-9]{1,15}", since) else 0)
        return None

    async def _websocket(self, http: HttpConnection, request: Request, talk: Talk, came: float) -> None:
        async with trio.open_nursery() as nursery:
            ws = await (await http.websocket(nursery, request)).accept()
            self._open.add(ws)
            # Only who came early enough: a rollback can make this process the active one again, and nobody says so.
            # Then new clients are here to stay; sent away, they would come back for ever.
            if came < self._told_at + LATE:
                nursery.start_soon(self._send_back, ws, random.uniform(0, SPREAD))
            try:
                await talk(ws)
            except* ConnectionClosed:
                pass  # caught here, because it would cancel the reader, which has the closing handshake to finish
            finally:
                self._open.discard(ws)
                with trio.move_on_after(GOODBYE):
                    await ws.aclose()
            nursery.cancel_scope.deadline = trio.current_time() + GOODBYE

    async def _echo(self, ws: WebSocketConnection) -> None:
        await ws.send_message(self.identity.json())
        while True:
            await ws.send_message(await ws.get_message())

    async def _chat(self, ws: WebSocketConnection, *, seen: int) -> None:
        await ws.send_message(self.identity.json(type="hello", greeting=self.identity.greeting))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, ws)
            async with contextlib.aclosing(self.room.since(seen)) as messages:
                async for _, message in messages:
                    await ws.send_message(message)

    async def _listen(self, ws: WebSocketConnection) -> None:
        while True:
            said = understand(await ws.get_message())
            if said is None:
                wanted = ", ".join(f"{key} (1 to {limit} characters)" for key, limit in LIMITS.items())
                await ws.send_message(json.dumps({"type": "error", "message": f"wanted a JSON object: {wanted}"}))
            else:
                await self.room.say(via=str(self.identity), **said)

    async def drain(self) -> None:
        """Ask every client to come back, evenly over SPREAD seconds or at PACE; who comes late is asked too.

        A message that is on its way here may be dropped: the page sends again what it has not seen in the room.
        """
        self._told_at = trio.current_time()
        clients = list(self._open)
        print(f"chat: {self.identity} drains: clients asked to come back: {len(clients)}", flush=True)
        step = max(SPREAD / len(clients), 1 / PACE) if clients else 0
        async with trio.open_nursery() as nursery:
            for number, ws in enumerate(clients):
                nursery.start_soon(self._send_back, ws, number * step)

    async def _send_back(self, ws: WebSocketConnection, after: float) -> None:
        await trio.sleep(after)
        with trio.move_on_after(GOODBYE):
            await ws.aclose(SERVICE_RESTART, "service restart")

    async def close_websockets(self) -> None:
        """Tell every client to come back, and wait a moment for their goodbyes."""
        async with trio.open_nursery() as nursery:
            for ws in self._open:
                nursery.start_soon(self._send_back, ws, 0)


def understand(message: str | bytes) -> dict[str, str] | None:
    """A chat message as a client sends it, a JSON object with the keys of LIMITS; None for anything else."""
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not all(isinstance(said.get(key), str) for key in LIMITS):
        return None
    # A lone surrogate is a str that no encoding takes: SQLite would raise.
    tidy = {key: said[key].strip().encode("utf-8", "replace").decode() for key in LIMITS}
    return tidy if all(0 < len(tidy[key]) <= limit for key, limit in LIMITS.items()) else None


def listen(path: str) -> trio.SocketListener:
    """Bind the Unix socket. A file left behind by a process that is gone is replaced; a live one is not."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
    except OSError:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) != errno.ECONNREFUSED:
                raise
        os.unlink(path)
        sock.bind(path)
    sock.listen(1024)
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


def notify_ready() -> None:
    """Say READY=1 on $NOTIFY_SOCKET, if there is one (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", "\0" + path[1:] if path.startswith("@") else path)


async def serve(identity: Identity, path: str, history: str) -> None:
    """Serve until SIGTERM or SIGINT; then no new connection, close the WebSockets, and return. SIGUSR1: it drains."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        app = App(identity, Room(History(history)))
        listener = listen(path)
        async with trio.open_nursery() as connections:
            connections.start_soon(app.room.watch)
            async with trio.open_nursery() as accepting:
                serving = functools.partial(trio.serve_listeners, handler_nursery=connections)
                await accepting.start(serving, app.connection, [listener])
                notify_ready()
                print(f"chat: {identity} (pid {identity.pid}) listens on {path}", flush=True)
                while await anext(signals) == signal.SIGUSR1:
                    connections.start_soon(app.drain)
                accepting.cancel_scope.cancel()
            await app.close_websockets()
            connections.cancel_scope.cancel()


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description="A chat room to put behind frontdoor.")
    parser.add_argument("--version", default=os.environ.get("FRONTDOOR_VERSION", "v0"), help="shown in its page")
    parser.add_argument("--socket", default=os.environ.get("FRONTDOOR_SOCKET"), help="default: $FRONTDOOR_SOCKET")
    parser.add_argument("--history", default="run/chat.sqlite3", help="the SQLite file that all versions share")
    options = parser.parse_args()
    if not options.socket:
        parser.error("where to listen? Give --socket PATH, or let frontdoor start this (it sets $FRONTDOOR_SOCKET)")
    generation = int(os.environ.get("FRONTDOOR_GENERATION") or 0)
    identity = Identity(options.version, generation, os.getpid(), os.environ.get("GREETING", ""))
    try:
        trio.run(serve, identity, options.socket, options.history)
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"chat: cannot serve on {options.socket} with the history {options.history}: {error}")


if __name__ == "__main__":
    main()
