"""Framing: where a body ends (RFC 9112 §6, §7). Bytes are looked at as they pass, and not changed."""

import re

from frontdoor.http.fields import TOKEN

_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*\r\n" % (TOKEN, TOKEN, _QUOTED))
"""15 digits: no integer of 64 bits, signed or not, is too small for it."""
_TRAILER = re.compile(rb"(%b):%b*\r\n" % (TOKEN, _TEXT))

_NO_TRAILERS = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-real-ip",
        b"x-request-id",
    }
)
"""Fields that say where a message ends, where it goes and who sends it: behind the body they come too late, and whoever
puts them there hopes that somebody else reads them (RFC 9110 §6.5.1). All that begin with ``X-Forwarded-`` are too."""

_SIZES, _ENDS, _TRAILERS = range(3)
"""Lines: with the size of a chunk, the empty one behind its data, the trailers up to an empty one."""

LONGEST_LINE = 4096
"""Bytes of a chunk's first line, or of one trailer."""
LONGEST_TRAILERS = 16 << 10
"""Bytes of all of them."""
MOST_EXTENSIONS = 16 << 10
"""Bytes that all chunks' first lines together may have more than their data: for nobody makes use of an extension, and
small chunks with large ones would be a body without end that does not count (RFC 9112 §7.1.1)."""
_FREE = 18
"""Bytes of a first line that do not count: as many as a size without extensions may have."""


class BadBody(Exception):  # noqa: N818 - it says what it is
    """A body that is not passed on; the text says why."""


class Sized:
    """So many bytes."""

    __slots__ = ("done", "left", "size")

    def __init__(self, length: int) -> None:
        self.size = length
        """Bytes of the whole body."""
        self.left = length
        self.done = not length

    def __repr__(self) -> str:
        return f"<Sized, {self.left} of {self.size} left>"

    def take(self, data: bytes) -> int:
        """How many bytes at the front of ``data`` are of this body."""
        count = len(data)
        if count >= self.left:
            count = self.left
            self.done = True
        self.left -= count
        return count

    def skip(self, count: int) -> None:
        """So many of its bytes have passed, and nobody has looked at them."""
        self.left -= count
        self.done = not self.left


class Chunked:
    """Chunks, each with its size, and perhaps trailers. When ``take`` has raised BadBody, no more is to be said."""

    __slots__ = ("_extensions", "_left", "_line", "_reads", "_trailers", "decode", "done", "payload", "size")

    def __init__(self, *, decode: bool = False) -> None:
        self.decode = decode
        """Gather in ``payload`` what the chunks hold. Whoever wants it takes it out."""
        self.payload = bytearray()
        self.size = 0
        """Bytes that the chunks have announced so far."""
        self.done = False
        self._left = 0
        """Bytes of a chunk's data that are still to come."""
        self._line = b""
        """A line of which the end has not come."""
        self._reads = _SIZES
        """What the next line is."""
        self._trailers = 0
        self._extensions = 0
        """Bytes by which the first lines of chunks are ahead of the data."""

    def __repr__(self) -> str:
        return f"<Chunked, {self.size} so far{', done' if self.done else ''}>"

    def take(self, data: bytes) -> int:
        """How many bytes at the front of ``data`` are of this body. Raises BadBody."""
        at, end = 0, len(data)
        while at < end and not self.done:
            if self._left:
                count = min(self._left, end - at)
                if self.decode:
                    self.payload += data[at : at + count]
                at += count
                self._left -= count
                if not self._left:
                    self._reads = _ENDS
                continue
            feed = data.find(b"\n", at)
            if feed < 0:
                self._line += data[at:]
                if len(self._line) > LONGEST_LINE or (self._reads == _ENDS and self._line != b"\r"):
                    raise BadBody("a chunk does not end where its size says")
                return end
            line, self._line = self._line + data[at : feed + 1], b""
            at = feed + 1
            if len(line) > LONGEST_LINE:
                raise BadBody("a line between the chunks is too long")
            if self._reads == _SIZES:
                self._read_size(line)
            elif self._reads == _ENDS:
                self._read_end(line)
            else:
                self._read_trailer(line)
        return at

    def _read_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BadBody("the size of a chunk is none")
        self._left = int(found[1], 16)
        self.size += self._left
        self._extensions = max(0, self._extensions + len(line) - _FREE - self._left)
        if self._extensions > MOST_EXTENSIONS:
            raise BadBody("the extensions of the chunks are too long")
        if not self._left:
            self._reads = _TRAILERS

    def _read_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise BadBody("a chunk does not end where its size says")
        self._reads = _SIZES

    def _read_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
            return
        self._trailers += len(line)
        if self._trailers > LONGEST_TRAILERS:
            raise BadBody("the trailers are too long")
        found = _TRAILER.fullmatch(line)
        if found is None:
            raise BadBody("a trailer is none")
        name = found[1].lower().replace(b"_", b"-")
        if name in _NO_TRAILERS or name.startswith(b"x-forwarded-"):
            raise BadBody(f"{found[1].decode()} cannot be a trailer")


class UntilClose:
    """All that comes, until the connection ends."""

    __slots__ = ()
    done = False
    size = 0

    def __repr__(self) -> str:
        return "<UntilClose>"

    def take(self, data: bytes) -> int:
        """All of it."""
        return len(data)


Body = Sized | Chunked | UntilClose


def body_of(length: int, decode: bool = False) -> Body | None:
    """What there is of that ``length`` (``head.NONE`` and so on); None: nothing."""
    if length > 0:
        return Sized(length)
    if length == -1:
        return Chunked(decode=decode)
    return UntilClose() if length else None
