"""WebSocket frames as a backend sends them, and what a client makes of what it gets (RFC 6455 §5.2)."""

import random
from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """One frame, of a server: not masked."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + payload


def frames(sizes: list[int], seed: int = 7) -> bytes:
    """Frames with so many bytes each, of which no two are the same."""
    dice = random.Random(seed)
    return b"".join(frame(dice.randbytes(size)) for size in sizes)


@dataclass
class Heard:
    """What a client has got."""

    messages: list[bytes]
    """The frames before the Close, each as it came."""
    code: int | None
    """Of the Close frame; None: there was none."""
    reason: str
    behind: bytes
    """What came behind the Close frame, or was no whole frame."""

    @property
    def data(self) -> bytes:
        """The frames before the Close."""
        return b"".join(self.messages)


def heard(data: bytes) -> Heard:
    """Take it apart, with no help from what is tested."""
    messages: list[bytes] = []
    while (size := _size(data)) is not None:
        one, data = data[:size], data[size:]
        if one[0] & 15 == CLOSE:
            return Heard(messages, int.from_bytes(one[2:4], "big"), one[4:].decode(), data)
        messages.append(one)
    return Heard(messages, None, "", data)


def _size(data: bytes) -> int | None:
    """Of the first frame; None: it is not whole."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    return start + size if len(data) >= max(start + size, start) else None
