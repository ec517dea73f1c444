"""One stream that carries as much as it can, down or up."""

import os
import socket
import time
from collections.abc import Callable, Sequence

from benchmark import usage
from benchmark.figure import GB, Case, Figure, MeasureError, Scale
from benchmark.target import Target

CHUNK = 1 << 20  # bytes of one call at most
PATIENCE = 60  # seconds without a byte
LAST_CHUNK = b"\r\n0\r\n\r\n"  # behind the end of the chunk before; in random bytes once in 2^56


class Bulk:
    """So many bytes on one connection, in one direction: in one request, or in many one after the other."""

    own = False

    def __init__(
        self,
        name: str,
        title: str,
        transfer: Callable[[socket.socket, int], None],
        rate: dict[str, float],
        cpu: dict[str, float],
        largest: int | None = None,
    ) -> None:
        """`largest`: bytes of one request; None: all of them. The limits are of the rate, and of the CPU time."""
        self.name = name
        self._transfer = transfer
        self._largest = largest
        self.figures: Sequence[Figure] = (
            Figure(f"{name}.rate", f"one stream {title}", "GB/s", True, rate),
            Figure(f"{name}.cpu", f"proxy's CPU per GB {title}", "s/GB", False, cpu),
        )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Throughput, and the proxy's CPU time."""
        size = min(scale.bulk, self._largest or scale.bulk)  # the scales' are powers of two, as any `largest` is
        before = usage.cpu_seconds(target.pid) if target.pid else 0.0
        with socket.create_connection(("127.0.0.1", target.raw), timeout=PATIENCE) as connection:
            began = time.perf_counter()
            for _ in range(scale.bulk // size):
                self._transfer(connection, size)
            seconds = time.perf_counter() - began
        found = {f"{self.name}.rate": scale.bulk / GB / seconds}
        if target.pid:
            found[f"{self.name}.cpu"] = (usage.cpu_seconds(target.pid) - before) / (scale.bulk / GB)
        return found


def down(connection: socket.socket, size: int) -> None:
    """Receive so many bytes."""
    connection.sendall(b"GET /down/%d HTTP/1.1\r\nHost: bench\r\n\r\n" % size)
    missing = size - len(_head(connection))
    discarded = bytearray(CHUNK)
    while missing:
        # With MSG_TRUNC the kernel drops what has come instead of copying it (tcp(7)): the proxy is what shall work.
        received = connection.recv_into(discarded, min(missing, CHUNK), socket.MSG_TRUNC)
        if not received:
            raise MeasureError(f"closed with {missing} bytes to come")
        missing -= received


def up(connection: socket.socket, size: int) -> None:
    """Send so many bytes, and wait for the answer that says that they are there."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.sendall(b"PUT /up/%d HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n" % (size, size))
    body = os.memfd_create("body")  # sent over and over, and never copied by this side
    try:
        os.write(body, os.urandom(CHUNK))
        with open(body, "rb", closefd=False) as chunk:
            while size:
                size -= connection.sendfile(chunk, 0, min(size, CHUNK))
    finally:
        os.close(body)
    _head(connection)


def down_in_chunks(connection: socket.socket, size: int) -> None:
    """Receive so many bytes in chunks. A proxy may have cut them anew: only the last one shows that it is the end."""
    connection.sendall(b"GET /chunked/%d HTTP/1.1\r\nHost: bench\r\n\r\n" % size)
    begin = _head(connection)
    received, end = len(begin), begin[-len(LAST_CHUNK) :]
    place = bytearray(CHUNK)
    while end != LAST_CHUNK:
        count = connection.recv_into(place)
        if not count:
            raise MeasureError(f"closed after {received} bytes")
        received += count
        end = (end + place[max(0, count - len(LAST_CHUNK)) : count])[-len(LAST_CHUNK) :]
    if received < size:
        raise MeasureError(f"the last chunk came after {received} bytes")


def _head(connection: socket.socket) -> bytes:
    """Receive the head of an answer; what of the body came with it. Raises MeasureError."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(4096)
        if not more:
            raise MeasureError("closed without an answer")
        received += more
    if not received.startswith(b"HTTP/1.1 200 "):
        raise MeasureError(f"answered with {received[:80]!r}")
    return received.partition(b"\r\n\r\n")[2]


RATE, CPU = {"haproxy": 2.0, "nginx": 2.0}, {"haproxy": 0.5, "nginx": 0.5}
CASES: tuple[Case, ...] = (Bulk("down", "down", down, RATE, CPU), Bulk("up", "up", up, RATE, CPU))
