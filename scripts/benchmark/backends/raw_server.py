"""A backend that echoes WebSocket frames, and gives and takes any number of bytes: one process, epoll, raw sockets.

    python raw_server.py SOCKET PORT

It listens on both. Requests on a connection are answered one after the other, and the next is not sent before that:

- GET /ws with `Sec-WebSocket-Key`: 101, and from then on each frame comes back
- GET /down/N: N bytes
- GET /chunked/N: N bytes, whole chunks of 64 KiB
- PUT /up/N (with or without a Content-Length): 200, when N bytes have come
- any other: 12 bytes

Standard library alone, and its own program: it is started without this project's modules.
"""

import base64
import contextlib
import hashlib
import os
import re
import select
import socket
import sys
from collections.abc import Iterator

CHUNK = 1 << 20  # bytes of one call to send or receive at most
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CLOSE = 8  # a frame's opcode
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
LAST = b"0\r\n\r\n"  # chunk
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = re.compile(rb"(GET|PUT) /(ws|down/|chunked/|up/|)(\d*)\S* HTTP/1\.1\r\n")
KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)

NOTHING = os.open(os.devnull, os.O_WRONLY)
DRAIN, SINK = os.pipe()  # what is taken goes through here and is nowhere copied: the proxy is what shall work
BODY = os.memfd_create("body")  # one megabyte that is sent over and over: more would be in no cache
os.write(BODY, os.urandom(CHUNK))
PART = 1 << 16  # bytes in a chunk of a body that is sent in chunks
PARTS = os.memfd_create("parts")  # a megabyte of such chunks, sent over and over, too
os.write(PARTS, (b"%x\r\n%b\r\n" % (PART, os.urandom(PART))) * (CHUNK // PART))
PART_SENT = os.fstat(PARTS).st_size // (CHUNK // PART)  # bytes of a chunk with its head and end


class Connection:
    """One client. What it sends is read in `readable`, what could not be sent at once goes in `writable`."""

    __slots__ = ("_down", "_echoes", "_ended", "_parts", "_pending", "_unsent", "_up", "number", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.number = connection.fileno()
        self._pending = b""  # came, and is not understood yet
        self._unsent = bytearray()
        self._down = 0  # bytes of a body to be sent yet
        self._parts = 0  # bytes of a body in chunks to be sent yet, but for its last chunk
        self._up = 0  # bytes of a body to come yet
        self._echoes = False
        self._ended = False  # it is over when all is sent

    def readable(self) -> bool:
        """Read once, and answer; False when the connection is over."""
        if self._up:
            return self._swallow()
        data = self.socket.recv(1 << 18)
        if not data:
            return False
        self._pending = self._pending + data if self._pending else data
        self._answer()
        return self.writable()

    @property
    def is_busy(self) -> bool:
        """Whether there is more to be sent: nothing is read then."""
        return bool(self._unsent or self._down or self._parts)

    def writable(self) -> bool:
        """Send what can be sent; False when the connection is over."""
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
            while self._down:
                self._down -= os.sendfile(self.number, BODY, 0, min(self._down, CHUNK))
            while self._parts:
                # The rest is counted from the end, so that it says where in a chunk it is.
                at = -self._parts % PART_SENT
                self._parts -= os.sendfile(self.number, PARTS, at, self._parts)
                if not self._parts:
                    self._unsent += LAST
                    del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            return True
        return not self._ended

    def _swallow(self) -> bool:
        # A pipe full at a time, so that one client cannot keep the others waiting.
        received = os.splice(self.number, SINK, min(self._up, CHUNK), flags=os.SPLICE_F_NONBLOCK)
        self._up -= received
        if received:
            os.splice(DRAIN, NOTHING, received)
        if received and not self._up:
            self._unsent += OK % (0, b"")
            return self.writable()
        return received > 0

    def _answer(self) -> None:
        """Put the answers to all that is pending, as far as it is complete, into what is to be sent."""
        while self._pending and not self._echoes and not self._down and not self._parts:
            head, end, rest = self._pending.partition(b"\r\n\r\n")
            if not end:
                return
            self._pending = rest
            self._answer_head(head)
        if self._echoes:
            self._pending = self._pending[self._echo(self._pending) :]

    def _answer_head(self, head: bytes) -> None:
        asked = HEAD.match(head + b"\r\n")
        if asked is None:
            self._unsent += b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
            self._ended = True
            return
        kind, size = asked[2], int(asked[3] or 0)
        if kind == b"ws" and (key := KEY.search(head)):
            self._unsent += upgraded(key[1])
            self._echoes = True
        elif kind == b"down/":
            self._unsent += OK % (size, b"")
            self._down = size
        elif kind == b"chunked/":
            self._parts = size // PART * PART_SENT
            self._unsent += IN_CHUNKS + (b"" if self._parts else LAST)
        elif kind == b"up/":
            self._up = max(0, size - len(self._pending))
            self._pending = self._pending[size:]
            if not self._up:
                self._unsent += OK % (0, b"")
        else:
            self._unsent += OK % (12, b"hello world\n")

    def _echo(self, data: bytes) -> int:
        """Echo the complete frames in the data; how many bytes of it they are."""
        at, length = 0, len(data)
        while length - at >= 2:
            opcode, size, start = data[at] & 15, data[at + 1] & 127, at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : start], "big")
            mask = data[start : start + 4] if data[at + 1] & 128 else b""
            start += len(mask)
            if length < start + size or (data[at + 1] & 128 and len(mask) < 4):
                break
            body = data[start : start + size]
            self._unsent += frame(data[at], body if not any(mask) else unmasked(body, mask))
            self._ended |= opcode == CLOSE
            at = start + size
        return at


def upgraded(key: bytes) -> bytes:
    """The answer to a WebSocket's handshake."""
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
    return b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\r\n"


def frame(first: int, body: bytes) -> bytes:
    """A frame as a server sends it, without a mask (RFC 6455, 5.2)."""
    size = len(body)
    if size < 126:
        return bytes((first, size)) + body
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + body
    return bytes((first, 127)) + size.to_bytes(8, "big") + body


def unmasked(body: bytes, mask: bytes) -> bytes:
    """The body of a client's frame. The bench's own clients spare us this: their mask is 0."""
    whole = (mask * (len(body) // 4 + 1))[: len(body)]
    return (int.from_bytes(body, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(body), "big")


def serve(path: str, port: int) -> None:
    """Serve until a signal ends the process."""
    listeners = {listener.fileno(): listener for listener in (_unix(path), _tcp(port))}
    connections: dict[int, Connection] = {}
    epoll = select.epoll()
    for number in listeners:
        epoll.register(number, select.EPOLLIN)
    while True:
        for number, _ in epoll.poll():
            connection = connections.get(number)
            if connection is None:
                for taken in _accept(listeners[number]):
                    connections[taken.number] = taken
                    epoll.register(taken.number, select.EPOLLIN)
                continue
            was_busy = connection.is_busy
            try:
                goes_on = connection.writable() if was_busy else connection.readable()
            except BlockingIOError:
                continue
            except OSError:
                goes_on = False
            if not goes_on:
                del connections[number]
                connection.socket.close()
            elif connection.is_busy is not was_busy:
                epoll.modify(number, select.EPOLLIN if was_busy else select.EPOLLOUT)


def _accept(listener: socket.socket) -> Iterator[Connection]:
    with contextlib.suppress(BlockingIOError):
        for _ in range(64):
            taken, _ = listener.accept()
            taken.setblocking(False)
            if taken.family == socket.AF_INET:
                taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield Connection(taken)


def _unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    return _listening(listener)


def _tcp(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return _listening(listener)


def _listening(listener: socket.socket) -> socket.socket:
    listener.listen(4096)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
