"""WebSocket frames: where one direction of a connection stands (RFC 6455 §5.2)."""

CLOSE = 8
"""The opcode of a Close frame."""

LONGEST_REASON = 123
"""Bytes: a control frame has at most 125, and two are the code's (RFC 6455 §5.5)."""


class Frames:
    """Follows the frames of one direction, however they are cut into pieces. It keeps 14 bytes at most."""

    __slots__ = ("_head", "broken", "closed", "left")

    def __init__(self) -> None:
        self._head = b""
        """The beginning of a frame's head, as far as it has come."""
        self.left = 0
        """Bytes of a payload that are still to come."""
        self.closed = False
        """A Close frame has begun: no frame may follow it (RFC 6455 §5.5.1)."""
        self.broken = False
        """These are no frames: nothing is known any more."""

    def __repr__(self) -> str:
        state = "broken" if self.broken else "between frames" if self.between else f"{self.left} left"
        return f"<Frames {state}{', closed' if self.closed else ''}>"

    @property
    def between(self) -> bool:
        """A frame has ended and no other begun. It may be inside a fragmented message: a Close may stand there, too."""
        return not self.left and not self._head and not self.broken

    def feed(self, data: bytes) -> None:
        """These bytes have passed."""
        at, end = 0, len(data)
        while at < end and not self.broken:
            if self.left:
                count = min(self.left, end - at)
                self.left -= count
                at += count
                continue
            had = len(self._head)
            self._head += data[at : at + 14 - had]
            if (length := self._read_head()) < 0:
                return
            at += length - had

    def skip(self, count: int) -> None:
        """So many bytes of what is ``left`` have passed."""
        self.left -= count

    def _read_head(self) -> int:
        """How many bytes the head has, when it is whole; -1: it is not."""
        head = self._head
        if len(head) < 2:
            return -1
        size, masked = head[1] & 0x7F, bool(head[1] & 0x80)
        extended = {126: 2, 127: 8}.get(size, 0)
        length = 2 + extended + 4 * masked
        if len(head) < length:
            return -1
        if extended:
            size = int.from_bytes(head[2 : 2 + extended])
        opcode = head[0] & 0x0F
        # Control frames are short and whole; a length of 64 bits has its first bit at 0 (RFC 6455 §5.2, §5.5).
        if size >> 63 or (opcode >= CLOSE and (size > 125 or not head[0] & 0x80)):
            self.broken = True
        if opcode == CLOSE:
            self.closed = True
        self.left, self._head = size, b""
        return length


def close_frame(code: int, reason: str = "") -> bytes:
    """A server's Close frame. Raises ValueError if the reason is too long for one."""
    payload = code.to_bytes(2) + reason.encode()
    if len(payload) > LONGEST_REASON + 2:
        raise ValueError(f"a reason has {LONGEST_REASON} bytes at most")
    return bytes([0x80 | CLOSE, len(payload)]) + payload
