"""Visits: requests at a fixed rate, an open loop, on kept connections and on new ones in turns."""

import errno
import socket
from collections import deque
from typing import NamedTuple

from benchmark.figure import MeasureError
from benchmark.loop import Loop, clock

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LATE = 5.0  # seconds that the last answers may take


class Visit(NamedTuple):
    """One request that was answered."""

    due: float  # when it was to begin
    answered: float
    who: str  # answered it: v1#7
    new: bool  # on a new connection

    @property
    def latency(self) -> float:
        """Seconds from when it was due: it counts if the client had to wait for its turn, too."""
        return self.answered - self.due


class Visits:
    """The visits of one door, from now on until they are stopped."""

    def __init__(self, loop: Loop, port: int, rate: float, *, kept: bool = True) -> None:
        """`kept`: every other request is on a connection that was used before, and may be; else none is."""
        self.done: list[Visit] = []
        self._loop = loop
        self._address = ("127.0.0.1", port)
        self._period = 1 / rate
        self._kept = kept
        self._stopped = False
        self._open: dict[socket.socket, tuple[float, bool]] = {}
        """Under way: when it was due, and whether the connection is new."""
        self._free: deque[socket.socket] = deque()
        """Kept connections that nobody uses. There are as many as were needed at once."""
        self._turn = 0
        loop.at(clock(), self._begin)

    def stop(self) -> None:
        """Begin no more, wait for the last answers, and hang up. Raises MeasureError if one does not come."""
        self._stopped = True
        answered = self._loop.run(LATE, lambda: not self._open)
        for sock in (*self._open, *self._free):
            self._loop.forget(sock.fileno())
            sock.close()
        if not answered:
            raise MeasureError(f"{len(self._open)} requests were not answered within {LATE:g} s")

    def _begin(self, due: float) -> None:
        if self._stopped:
            return
        self._loop.at(due + self._period, self._begin)
        self._turn += 1
        new = not self._kept or self._turn % 2 == 0
        if not new and self._free:
            # The one that was used longest ago: all stay in use, whatever version they are on.
            sock = self._free.popleft()
            sock.send(REQUEST)
            self._expect(sock, due, new)
            return
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = sock.connect_ex(self._address)
        if error not in (0, errno.EINPROGRESS):
            sock.close()
            raise MeasureError(f"a connection failed: {errno.errorcode.get(error, error)}")
        self._open[sock] = (due, new)
        self._loop.watch(sock.fileno(), lambda: self._connected(sock), for_room=True)

    def _connected(self, sock: socket.socket) -> None:
        try:
            sock.send(REQUEST)
        except OSError as error:
            raise MeasureError(f"a connection failed: {error}") from None
        self._expect(sock, *self._open[sock])

    def _expect(self, sock: socket.socket, due: float, new: bool) -> None:
        self._open[sock] = (due, new)
        self._loop.watch(sock.fileno(), lambda: self._answered(sock))

    def _answered(self, sock: socket.socket) -> None:
        try:
            head, _, who = sock.recv(4096).partition(HEAD_END)
        except BlockingIOError:
            return
        except OSError as error:
            raise MeasureError(f"a connection broke: {error}") from None
        if not who:
            raise MeasureError(f"a connection was closed, or answered wrongly: {head!r}")
        due, new = self._open.pop(sock)
        self.done.append(Visit(due, clock(), who.decode(), new))
        self._loop.forget(sock.fileno())
        if new:
            sock.close()
        else:
            self._free.append(sock)


def p99(latencies: list[float]) -> float:
    """The latency that one in a hundred exceeds. Raises MeasureError when there is none."""
    if not latencies:
        raise MeasureError("nothing was answered")
    return sorted(latencies)[int(len(latencies) * 0.99)]
