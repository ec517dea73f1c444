"""Other readers of the same bytes: short and slow ones of our own, and h11. What frontdoor accepts they read alike."""

import re
import string
from dataclasses import dataclass

import h11

from frontdoor.http.fields import Fields

NONE, CHUNKED, UNTIL_CLOSE = 0, -1, -2
"""How long a body is, in frontdoor's words."""

DONE, MORE, REFUSED = "done", "more", "refused"
"""How far a reader came."""

_TOKEN = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
_TEXT = frozenset(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_HEX = frozenset(string.hexdigits.encode())


class Refusal(Exception):  # noqa: N818 - it says what it is
    """A reader of this module does not take it."""


# -- heads ------------------------------------------------------------------------------------------------------------


def read_head(raw: bytes) -> tuple[bytes, Fields]:
    """The first line, and the fields: as they would be read by somebody who only knows how to split. Raises Refusal."""
    if not raw.endswith(b"\r\n\r\n"):
        raise Refusal("no empty line at the end")
    first, *lines = raw[:-4].split(b"\r\n")
    for line in (first, *lines):
        if not _TEXT.issuperset(line):
            raise Refusal(f"a control character in {line!r}")
    return first, [_field(line) for line in lines]


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not name or not colon or not _TOKEN.issuperset(name):
        raise Refusal(f"no field: {line!r}")
    return name, value.strip(b" \t")


def length_of(fields: Fields) -> int | None:
    """What these say of a body's length; None: nothing. Raises Refusal."""
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    coded = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if coded and (coded != [b"chunked"] or lengths):
        raise Refusal(f"which length? {coded} {lengths}")
    if coded:
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise Refusal(f"which length? {lengths}")
    return int(lengths[0])


def is_chain(value: bytes) -> bool:
    """Whether it is what a Forwarded field holds (RFC 7239 §4): pairs with , or ; between them, and quotes that end."""
    try:
        return [_pair(part.strip(b" \t")) for part in _parts(value, b",;")].count(True) > 0
    except Refusal:
        return False


def _pair(part: bytes) -> bool:
    """Whether there is one at all. Raises Refusal."""
    name, _, value = part.partition(b"=")
    if part and not (name and _TOKEN.issuperset(name) and _value(value)):
        raise Refusal(f"no pair: {part!r}")
    return bool(part)


def _parts(text: bytes, between: bytes) -> list[bytes]:
    """Cut at these bytes, but not inside quotes. Raises Refusal."""
    parts, quoted, escaped = [bytearray()], False, False
    for byte in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = byte == ord("\\"), byte != ord('"')
        elif byte == ord('"'):
            quoted = True
        elif byte in between:
            parts.append(bytearray())
            continue
        parts[-1].append(byte)
    if quoted or escaped:
        raise Refusal("an open quote")
    return [bytes(part) for part in parts]


# -- bodies -----------------------------------------------------------------------------------------------------------


@dataclass
class Reading:
    """How far a body goes in some bytes, and what it holds."""

    state: str
    taken: int = 0
    payload: bytes = b""


def read_chunks(data: bytes) -> Reading:
    """A chunked body, from its beginning (RFC 9112 §7.1)."""
    at, payload = 0, b""
    try:
        while True:
            line, at = _line(data, at)
            size = _size(line)
            if not size:
                break
            payload += data[at : at + size]
            at += size
            if at < len(data) and not b"\r\n".startswith(data[at : at + 2]):
                raise Refusal("the end of a chunk")
            if at + 2 > len(data):
                raise EOFError
            at += 2
        while True:
            line, at = _line(data, at)
            if not line:
                return Reading(DONE, at, payload)
            _field(line)
    except EOFError:
        return Reading(MORE, len(data), payload)
    except Refusal:
        return Reading(REFUSED)


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at)
    if end < 0:
        raise EOFError
    line = data[at : end + 1]
    if not line.endswith(b"\r\n") or not _TEXT.issuperset(line[:-2]):
        raise Refusal(f"no line: {line!r}")
    return line[:-2], end + 1


def _size(line: bytes) -> int:
    digits, semicolon, extensions = line.partition(b";")
    if not digits or not _HEX.issuperset(digits) or len(digits) > 15:
        raise Refusal(f"no size: {line!r}")
    if semicolon:
        _extensions(extensions)
    return int(digits, 16)


def _extensions(text: bytes) -> None:
    """``name``, ``name=token`` or ``name="text"``, with ; between them. Raises Refusal."""
    for one in _parts(text, b";"):
        name, equals, value = one.partition(b"=")
        if not name or not _TOKEN.issuperset(name) or (equals and not _value(value)):
            raise Refusal(f"no extension: {one!r}")


def _value(value: bytes) -> bool:
    if value[:1] == b'"':
        return _QUOTED.fullmatch(value) is not None
    return bool(value) and _TOKEN.issuperset(value)


# -- frames -----------------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """Where a reader of WebSocket frames is."""

    between: bool
    left: int
    closed: bool
    broken: bool


def read_frames(data: bytes) -> Place:
    """The frames of one direction, from its beginning (RFC 6455 §5.2)."""
    at, closed = 0, False
    while at < len(data):
        size = data[at + 1] & 127 if at + 1 < len(data) else 0
        wide = 2 if size == 126 else 8 if size == 127 else 0
        masked = at + 1 < len(data) and data[at + 1] > 127
        begin = at + 2 + wide + (4 if masked else 0)
        if begin > len(data):
            return Place(between=False, left=0, closed=closed, broken=False)
        if wide:
            size = int.from_bytes(data[at + 2 : at + 2 + wide])
        final, opcode = data[at] > 127, data[at] & 15
        closed = closed or opcode == 8
        if size >= 1 << 63 or (opcode > 7 and (size > 125 or not final)):
            return Place(between=False, left=0, closed=closed, broken=True)
        if begin + size > len(data):
            return Place(between=False, left=begin + size - len(data), closed=closed, broken=False)
        at = begin + size
    return Place(between=True, left=0, closed=closed, broken=False)


# -- h11 --------------------------------------------------------------------------------------------------------------


def h11_request(raw: bytes) -> tuple[h11.Connection, h11.Request] | None:
    """What h11 makes of a request's head; None: it does not take it."""
    reader = h11.Connection(h11.SERVER)
    try:
        reader.receive_data(raw)
        event = reader.next_event()
    except h11.ProtocolError:
        return None
    return (reader, event) if isinstance(event, h11.Request) else None


def h11_answer(raw: bytes, method: bytes) -> tuple[h11.Connection, h11.Response | h11.InformationalResponse] | None:
    """What h11 makes of an answer's head; None: it does not take it."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    reader.send(h11.EndOfMessage())
    try:
        reader.receive_data(raw)
        event = reader.next_event()
    except h11.ProtocolError:
        return None
    return (reader, event) if isinstance(event, (h11.Response, h11.InformationalResponse)) else None


_PROBE = 64
_NEXT = b"NEXT"
_CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def h11_agrees(reader: h11.Connection, length: int) -> bool:
    """Whether h11, which has read the head, thinks that the body is so long."""
    body = _CHUNKS if length == CHUNKED else b"x" * min(max(length, 0), _PROBE)
    reader.receive_data(body + (_NEXT if length <= _PROBE else b""))
    payload, whole = h11_payload(reader)
    if length == UNTIL_CLOSE:
        reader.receive_data(b"")
        return (payload, whole) == (_NEXT, False) and isinstance(reader.next_event(), h11.EndOfMessage)
    if length > _PROBE:
        return (payload, whole) == (body, False)
    return (payload, whole) == (b"abc" if length == CHUNKED else body, True) and reader.trailing_data[0] == _NEXT


def h11_chunks(data: bytes) -> Reading | None:
    """What h11 makes of a chunked body; None: it does not take it, or it has not come to its end."""
    read = h11_request(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert read is not None
    reader = read[0]
    try:
        reader.receive_data(data)
        payload, whole = h11_payload(reader)
    except h11.ProtocolError:
        return None
    return Reading(DONE, len(data) - len(reader.trailing_data[0]), payload) if whole else None


def h11_payload(reader: h11.Connection) -> tuple[bytes, bool]:
    """What there is of the body, and whether that was all. Raises h11.ProtocolError."""
    payload = b""
    while True:
        event = reader.next_event()
        if isinstance(event, h11.Data):
            payload += bytes(event.data)
        else:
            return payload, isinstance(event, h11.EndOfMessage)
