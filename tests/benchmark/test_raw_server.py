import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from benchmark.backends.raw_server import Connection, frame

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ASK = Callable[[bytes], bytes]


@pytest.fixture
def ask() -> Iterator[ASK]:
    """Send that to a connection, and receive its answer, as far as there is one."""
    client, server = socket.socketpair()
    with client, server:
        client.setblocking(False)
        server.setblocking(False)
        connection = Connection(server)

        def said(data: bytes) -> bytes:
            client.send(data)
            answer = b""
            connection.readable()
            with contextlib.suppress(BlockingIOError):
                while True:
                    answer += client.recv(1 << 20)
                    connection.writable()
            return answer

        yield said


def masked(body: bytes, first: int = 0x82, mask: bytes = bytes(4)) -> bytes:
    whole = frame(first, body)
    head = whole[: len(whole) - len(body)]
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
    return bytes((head[0], head[1] | 128)) + head[2:] + mask + hidden


def test_a_handshake_as_in_the_standard(ask: ASK) -> None:
    answer = ask(UPGRADE)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer


@pytest.mark.parametrize("size", [0, 1, 125, 126, 16384, 65535, 65536])
def test_frames_of_any_size_come_back(ask: ASK, size: int) -> None:
    ask(UPGRADE)
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert ask(masked(body)) == frame(0x82, body)


def test_many_in_one_read_and_one_in_many(ask: ASK) -> None:
    ask(UPGRADE)
    assert ask(masked(b"one") + masked(b"two", mask=b"abcd")) == frame(0x82, b"one") + frame(0x82, b"two")
    pieces = [ask(bytes((byte,))) for byte in masked(b"x" * 200)]
    assert (set(pieces[:-1]), pieces[-1]) == ({b""}, frame(0x82, b"x" * 200))


def test_so_many_bytes_down_and_up(ask: ASK) -> None:
    head, _, body = ask(b"GET /down/3000000 HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert (head, len(body)) == (b"HTTP/1.1 200 OK\r\nContent-Length: 3000000", 3_000_000)
    assert ask(b"PUT /up/5 HTTP/1.1\r\nContent-Length: 5\r\n\r\n123") == b""
    assert ask(b"45").startswith(b"HTTP/1.1 200 OK\r\n")
    assert ask(b"GET / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nhello world\n")
    head, _, body = ask(b"GET /chunked/131072 HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
    assert len(body) == 2 * (len(b"10000\r\n\r\n") + 65536) + len(b"0\r\n\r\n")
    assert body.startswith(b"10000\r\n")
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert ask(b"GET /chunked/0 HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n0\r\n\r\n")
    assert ask(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
