"""WebSocket clients by the thousand: blocking sockets on one epoll, as cheap as Python makes them.

They share two cores with the proxy that they measure. So a round trip is three system calls (epoll_wait for many, recv,
send), and an answer's bytes are counted, but not copied out of the kernel (MSG_TRUNC). That they are the right ones is
looked at once, when a socket is opened. Where one is closed, gets bytes that it must not get, or gets none at all, that
is a MeasureError, or an OSError. The answers are few bytes, and a socket never has two messages on the way, so a
blocking socket does not block here; where a proxy has stopped, its timeout ends the wait.
"""

import contextlib
import math
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmark import frames, usage
from benchmark.figure import MeasureError
from benchmark.target import Target

PATIENCE = 10  # seconds without one byte after which the other side counts as stuck
WINDOW = 64  # sockets that are being opened at any time: fewer than any backlog on the way has places
FIRST = 16  # bytes of the one message that each socket sends when it has been opened
QUIET = 0.5  # seconds without a change after which a proxy counts as done with what has ended


@dataclass(frozen=True)
class Trips:
    """The round trips of one load."""

    seconds: float  # from the first send to the last answer
    times: list[int]  # of each, in ns

    @property
    def rate(self) -> float:
        """Round trips a second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """The time in µs that this share (0.99) of the round trips took at most."""
        ordered = sorted(self.times)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000


class Sockets:
    """Open WebSockets to one port. Close them with `close`, or use `opened`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._opening: dict[int, tuple[socket.socket, bytes]] = {}  # with what has been received so far

    def __len__(self) -> int:
        return len(self._open)

    def open(self, count: int) -> None:
        """Open as many more as it takes to have `count`; each of them has moved one short message both ways then.

        No more than WINDOW of them are on their way at a time, so that no backlog overflows, however slow the proxy is.
        """
        while len(self._open) < count:
            while len(self._opening) < min(WINDOW, count - len(self._open)):
                self._connect()
            for fd, _ in self._wait():
                if fd not in self._opening:
                    raise MeasureError("an idle socket was closed, or got something")
                self._advance(fd)

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closed by a reset: its port is free at once, where TIME_WAIT would hold it for a minute. There are 28,000.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the kernel's: Python's own cost a poll each
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
        self._opening[sock.fileno()] = sock, b""
        sock.connect(("127.0.0.1", self._port))  # on loopback that takes no time, unless a backlog is full
        sock.send(frames.UPGRADE)
        self._epoll.register(sock, select.EPOLLIN)

    def _advance(self, fd: int) -> None:
        """First comes the head of the answer to the upgrade, then the echo of a first message."""
        sock, received = self._opening[fd]
        more = sock.recv(4096)
        if not more:
            raise MeasureError(f"closed while it was opened, after {received[:100]!r}")
        received += more
        if received.startswith(b"H"):
            if received.endswith(b"\r\n\r\n"):
                if not frames.accepts(received):
                    raise MeasureError(f"no WebSocket: {received[:100]!r}")
                received = b""
                sock.send(frames.question(FIRST))
        elif received == frames.answer(FIRST):
            self._open[fd] = sock
            del self._opening[fd]
            return
        elif not frames.answer(FIRST).startswith(received):
            raise MeasureError(f"not what was sent: {received[:100]!r}")
        self._opening[fd] = sock, received

    def echo(self, size: int, seconds: float, busy: int | None = None) -> Trips:
        """Echo messages of `size` bytes on the first `busy` sockets (None: on all), each as fast as it can.

        Each has one message on the way at any time. The last answers are waited for, and count.
        """
        message, whole = frames.question(size), len(frames.answer(size))
        sockets = dict(list(self._open.items())[:busy])
        send = {fd: sock.send for fd, sock in sockets.items()}
        receive = {fd: sock.recv_into for fd, sock in sockets.items()}
        missing = dict.fromkeys(sockets, whole)
        sent = dict.fromkeys(sockets, 0)
        times: list[int] = []
        buffer, clock, trunc = bytearray(whole), time.perf_counter_ns, socket.MSG_TRUNC
        begin = clock()
        end = begin + int(seconds * 1e9)
        waiting = len(sockets)
        for fd in sockets:
            sent[fd] = clock()
            send[fd](message)
        while waiting:
            for fd, _ in self._wait():
                got = receive[fd](buffer, whole, trunc) if fd in receive else 0
                left = missing[fd] - got if got else -1
                if left:
                    if left < 0:
                        raise MeasureError("a socket was closed, or got more than was sent")
                    missing[fd] = left
                    continue
                now = clock()
                times.append(now - sent[fd])
                if now >= end:
                    waiting -= 1
                    continue
                missing[fd] = whole
                sent[fd] = now
                send[fd](message)
        return Trips((clock() - begin) / 1e9, times)

    def trickle(self, size: int, rate: float, seconds: float) -> Trips:
        """Echo `rate` messages a second, evenly in time, each on the next of all the sockets in turn."""
        message, whole = frames.question(size), len(frames.answer(size))
        ring = list(self._open)
        on_the_way: dict[int, tuple[int, int]] = {}  # when it was sent, bytes of its answer that are missing
        times: list[int] = []
        buffer = bytearray(whole)
        begin, count, sent = time.perf_counter_ns(), int(rate * seconds), 0
        while sent < count or on_the_way:
            wait: float = PATIENCE
            if sent < count:
                now = time.perf_counter_ns()
                wait = sent / rate - (now - begin) / 1e9
                fd = ring[sent % len(ring)]
                if wait <= 0:
                    if fd in on_the_way:
                        raise MeasureError("an answer took longer than a turn around all sockets")
                    on_the_way[fd] = now, whole
                    self._open[fd].send(message)
                    sent += 1
                    continue
            events = self._epoll.poll(wait)
            if not events and sent == count:
                raise MeasureError(f"no answer for {PATIENCE} s")
            for fd, _ in events:
                if fd not in on_the_way:
                    raise MeasureError("an idle socket was closed, or got something")
                since, missing = on_the_way.pop(fd)
                got = self._open[fd].recv_into(buffer, whole, socket.MSG_TRUNC)
                if not 0 < got <= missing:
                    raise MeasureError("a socket was closed, or got more than was sent")
                if got < missing:
                    on_the_way[fd] = since, missing - got
                else:
                    times.append(time.perf_counter_ns() - since)
        return Trips((time.perf_counter_ns() - begin) / 1e9, times)

    def _wait(self) -> list[tuple[int, int]]:
        events = self._epoll.poll(PATIENCE)
        if not events:
            raise MeasureError(f"no answer for {PATIENCE} s")
        return events

    def close(self) -> None:
        """Close all of them."""
        self._epoll.close()
        for sock in (*self._open.values(), *(sock for sock, _ in self._opening.values())):
            sock.close()
        self._open.clear()
        self._opening.clear()


@contextlib.contextmanager
def opened(target: Target, count: int) -> Iterator[Sockets]:
    """`count` WebSockets through the target's `raw` port, and at the end nothing of them left in the proxy."""
    before = usage.descriptors(target.pid) if target.pid else 0
    sockets = Sockets(target.raw)
    try:
        sockets.open(count)
        yield sockets
    finally:
        sockets.close()
        if target.pid:
            _forgotten(target.pid, before)


def _forgotten(pid: int, before: int) -> None:
    """Wait until the proxy has no more descriptors than before, or, as it may keep spare pipes, gives none back."""
    deadline = time.monotonic() + PATIENCE
    count, since = usage.descriptors(pid), time.monotonic()
    while count > before and time.monotonic() < min(deadline, since + QUIET):
        time.sleep(0.05)
        now = usage.descriptors(pid)
        if now != count:
            count, since = now, time.monotonic()
