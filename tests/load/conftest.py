"""A small server with the sample apps' routes, by hand, so that it can do each thing wrong that a load must notice."""

import contextlib
import dataclasses
import hashlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage


class Server:
    """Answers as `generation`; with a fault, does that one thing wrong, at the third occasion of each connection."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.generation = "v1#1"
        self.address = ""
        self.heard: list[str | bytes] = []  # WebSocket messages, as they came in

    async def connection(self, stream: trio.SocketStream) -> None:
        generation = self.generation
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                await self._requests(stream, generation)

    async def _requests(self, stream: trio.SocketStream, generation: str) -> None:
        pending = b""
        for number in range(1, 1000):
            while b"\r\n\r\n" not in pending:
                data = await stream.receive_some()
                if not data:
                    return
                pending += data
            head, _, pending = pending.partition(b"\r\n\r\n")
            if b"websocket" in head:
                await self._websocket(stream, head + b"\r\n\r\n", generation)
                return
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
            while len(pending) < int(fields[b"content-length"]):
                pending += await stream.receive_some()
            if self.fault == "moves to another generation" and number == 3:
                generation = "v1#2"
            if self.fault == "none: it speaks HTTP":
                generation = self.generation
            close = fields.get(b"connection") == b"close"
            await stream.send_all(self._answer(head.split()[1].decode(), pending, generation, close))
            pending = b""
            if close or self.fault == "cuts the body" or (self.fault == "closes a kept connection" and number == 3):
                return

    def _answer(self, target: str, body: bytes, generation: str, close: bool) -> bytes:
        url = urllib.parse.urlsplit(target)
        answer = _body(url, body, generation)
        status, served_by, behind = "200 OK", f"X-Served-By: {generation}\r\n", b""
        length = len(answer)
        if self.fault == "answers 500":
            status = "500 Oh"
        elif self.fault == "does not say who it is":
            served_by = ""
        elif self.fault == "changes a byte":
            answer = answer.replace(b"0", b"1", 1)
        elif self.fault == "drops a byte":
            answer, length = answer[1:], length - 1
        elif self.fault == "cuts the body":
            answer = answer[: length // 2]
        elif self.fault == "wants to close":
            close = True
        elif self.fault == "sends more than one answer":
            behind = b"HTTP/1.1 200 OK\r\n\r\n"
        connection = "Connection: close\r\n" if close else ""
        head = f"HTTP/1.1 {status}\r\n{served_by}{connection}Content-Length: {length}\r\n\r\n"
        return head.encode() + answer + behind

    async def _websocket(self, stream: trio.SocketStream, head: bytes, generation: str) -> None:
        if self.fault == "cuts the handshake":
            return
        if self.fault == "refuses the handshake":
            await stream.send_all(b"HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n")
            return
        ws = WSConnection(ConnectionType.SERVER)
        ws.receive_data(head)
        assert isinstance(next(ws.events()), Request)
        hello = "hello" if self.fault == "does not say who it is" else whoami(generation)
        await stream.send_all(ws.send(AcceptConnection()) + ws.send(TextMessage(hello)))
        held: list[bytes] = []
        number = 0
        while True:
            data = await stream.receive_some()
            if not data:
                return
            ws.receive_data(data)
            for event in ws.events():
                if isinstance(event, CloseConnection):
                    await self._goodbye(stream, ws, event)
                    return
                if isinstance(event, Ping):
                    await stream.send_all(ws.send(event.response()))
                if isinstance(event, TextMessage | BytesMessage):
                    number += 1
                    self.heard.append(bytes(event.data) if isinstance(event, BytesMessage) else event.data)
                    for frame in self._echo(ws, event, number, held):
                        await stream.send_all(frame)
                    if self.fault == "cuts a WebSocket" and number == 3:
                        return

    async def _goodbye(self, stream: trio.SocketStream, ws: WSConnection, event: CloseConnection) -> None:
        if self.fault == "pings into the goodbye":
            await stream.send_all(b"\x89\0")  # RFC 6455, 5.2: a ping with nothing in it
        if ws.state is ConnectionState.REMOTE_CLOSING:  # else it answers our own
            await stream.send_all(ws.send(event.response()))

    def _echo(self, ws: WSConnection, event: TextMessage | BytesMessage, number: int, held: list[bytes]) -> list[bytes]:
        if number >= 3 and self.fault == "closes a WebSocket":
            return [ws.send(CloseConnection(code=1012))] if number == 3 else []
        if number == 3 and self.fault == "changes a message":
            event = dataclasses.replace(event, data=event.data[:-1])  # type: ignore[arg-type]  # text stays text
        frame = ws.send(event)
        if number == 3 and self.fault == "loses a message":
            return []
        if number == 3 and self.fault == "doubles a message":
            return [frame, frame]
        if number == 3 and self.fault == "swaps two messages":
            held.append(frame)
            return []
        return [frame, *[held.pop() for _ in held[:1]]]


def whoami(generation: str) -> str:
    version, _, number = generation.partition("#")
    return json.dumps({"version": version, "generation": int(number)})


def _body(url: urllib.parse.SplitResult, upload: bytes, generation: str) -> bytes:
    query = dict(urllib.parse.parse_qsl(url.query))
    if url.path == "/stream":
        body = b"0123456789" * 100_000
        body = body[: int(query["chunks"]) * int(query["size"])]
        return body + f"\nsha256 {hashlib.sha256(body).hexdigest()}\n".encode()
    if url.path == "/upload":
        return json.dumps({"length": len(upload), "sha256": hashlib.sha256(upload).hexdigest()}).encode()
    return whoami(generation).encode()


Serving = Callable[[str], contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture
def serving() -> Serving:
    """serving(FAULT): an async context, in which a server runs in this process."""

    @contextlib.asynccontextmanager
    async def run(fault: str) -> AsyncIterator[Server]:
        server = Server(fault)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.address = "{}:{}".format(*listener.socket.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.connection, [listener])
            yield server
            nursery.cancel_scope.cancel()

    return run
