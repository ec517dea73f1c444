"""A WebSocket's bytes, as far as an echo needs them: the upgrade, and whole binary messages. Pure.

The client's frames have a mask, as they must, but its key is 0: masking changes nothing, and the echo of a message is a
copy of it behind a shorter head.
"""

import base64
import hashlib

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
KEY = b"ZnJvbnRkb29yIGJlbmNobQ=="  # one for all: nobody caches here
BINARY, MASKED = 0x82, 0x80  # a whole binary message; the bit that says that a mask follows
MASK = bytes(4)
SHORT, MEDIUM = 126, 1 << 16  # bytes from which on a length takes two more bytes of the head, and eight

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def question(size: int) -> bytes:
    """The frame of a message of `size` bytes as a client sends it."""
    return _head(size, MASKED) + MASK + _payload(size)


def answer(size: int) -> bytes:
    """The frame of the same message as a server sends it back."""
    return _head(size, 0) + _payload(size)


def accepts(head: bytes) -> bool:
    """Whether this is the head, and nothing but the head, of an answer that takes UPGRADE."""
    status, *lines = head.split(b"\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    proof = base64.b64encode(hashlib.sha1(KEY + GUID, usedforsecurity=False).digest())
    return (
        status.startswith(b"HTTP/1.1 101 ")
        and head.find(b"\r\n\r\n") == len(head) - 4
        and fields.get(b"sec-websocket-accept") == proof
    )


def _head(size: int, masked: int) -> bytes:
    if size < SHORT:
        return bytes((BINARY, masked | size))
    if size < MEDIUM:
        return bytes((BINARY, masked | 126)) + size.to_bytes(2, "big")
    return bytes((BINARY, masked | 127)) + size.to_bytes(8, "big")


def _payload(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]
