"""Calls of frontdoor's control API, made in the loop of a measurement, beside its clients.

The `frontdoor` command is a process of Python: its start would compete for the cores with what is measured.
"""

import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

from benchmark.figure import MeasureError
from benchmark.loop import Loop, clock

READ = 1 << 18  # bytes at once
OUTCOME = b'"exit_code":'  # in the last line of an order, and in every refusal
DONE = b'"exit_code": 0'


def ask(control: str, path: str) -> Any:
    """GET `path`, outside of any loop: the object that was answered. Raises OSError where nobody answers."""
    with _connect(control) as sock:
        sock.sendall(_request("GET", path, close=True))
        answer = b"".join(iter(lambda: sock.recv(READ), b""))
    if not answer:
        raise ConnectionError(f"{control} has hung up")
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class Order:
    """One POST, on a connection of its own, from asking to its outcome.

    `seen` has when which of its lines came: the event's name → the time. What lies between `asked` and that is all of
    frontdoor's part, and the way there and back.
    """

    def __init__(self, loop: Loop, control: str, path: str, body: dict[str, Any] | None = None) -> None:
        self._loop = loop
        self._came = b""
        self.seen: dict[str, float] = {}
        self.ended = False
        self.asked = clock()
        self._sock = _connect(control)
        self._sock.send(_request("POST", path, json.dumps(body or {}).encode()))
        self._sock.setblocking(False)
        loop.watch(self._sock.fileno(), self._read)

    def _read(self) -> None:
        data = self._sock.recv(READ)
        self._came += data
        now = clock()
        for event in ("swap.started", "swap.switched"):
            if event not in self.seen and b'"%s"' % event.encode() in self._came:
                self.seen[event] = now
        if OUTCOME in self._came or not data:
            self.ended = True
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            if DONE not in self._came:
                raise MeasureError(f"frontdoor did not do what was asked: {self._came.decode(errors='replace')}")


class Repeated:
    """The same GET again and again on one kept connection, each as soon as the one before it was answered."""

    def __init__(self, loop: Loop, control: str, path: str) -> None:
        self.times: list[float] = []  # seconds that each answer took
        self._loop = loop
        self._control = control
        self._request = _request("GET", path)
        self._open()

    def _open(self) -> None:
        self._came = bytearray()
        self._answered = 0  # on this connection
        self._sock = _connect(self._control)
        self._asked = clock()
        self._sock.send(self._request)
        self._sock.setblocking(False)
        self._loop.watch(self._sock.fileno(), self._read)

    def close(self) -> None:
        """Hang up."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _read(self) -> None:
        data = self._sock.recv(READ)
        if not data:
            # After a thousand requests on one connection it does, as HTTP servers do (RFC 9112, 9.6): on to the next.
            self.close()
            if not self._answered:
                raise MeasureError("frontdoor has hung up instead of answering")
            self._open()
            return
        self._came += data
        head = self._came.find(b"\r\n\r\n") + 4
        if head < 4:
            return
        field = self._came.find(b"content-length: ", 0, head) + 16
        length = int(self._came[field : self._came.index(b"\r", field)])
        if len(self._came) >= head + length:
            self._came.clear()
            now = clock()
            self.times.append(now - self._asked)
            self._asked = now
            self._answered += 1
            with contextlib.suppress(BrokenPipeError):  # it has hung up behind its answer: the next read says so
                self._sock.send(self._request)


class Follower:
    """One who follows a feed, and takes what comes."""

    def __init__(self, loop: Loop, control: str, path: str) -> None:
        self.bytes = 0
        self._loop = loop
        self._sock = _connect(control)
        self._sock.send(_request("GET", path))
        self._sock.setblocking(False)
        loop.watch(self._sock.fileno(), self._read)

    def close(self) -> None:
        """Hang up."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _read(self) -> None:
        data = self._sock.recv(READ)
        self.bytes += len(data)
        if not data:
            raise MeasureError("frontdoor has hung up on a follower")


class Chain:
    """Orders one after the other: `begin` gives the next one, `pause` seconds after the one before it has ended."""

    def __init__(self, loop: Loop, pause: float, begin: Callable[[], Order]) -> None:
        self.orders: list[Order] = []
        self._loop = loop
        self._pause = pause
        self._begin = begin
        self._stopped = False
        self._next(clock())

    def stop(self) -> None:
        """Begin no more, and wait for the last one."""
        self._stopped = True
        if not self._loop.run(10.0, lambda: self.orders[-1].ended):
            raise MeasureError("frontdoor has not answered within 10 s")

    def _next(self, due: float) -> None:
        if self._stopped:
            return
        if not self.orders or self.orders[-1].ended:
            self.orders.append(self._begin())
        self._loop.at(due + self._pause, self._next)


def _connect(control: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(control)
    except OSError:
        sock.close()
        raise
    return sock


def _request(method: str, path: str, body: bytes = b"", *, close: bool = False) -> bytes:
    fields = ["Host: frontdoor", f"Content-Length: {len(body)}", *(["Connection: close"] if close else [])]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + body
