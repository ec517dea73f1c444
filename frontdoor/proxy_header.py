"""The PROXY protocol, versions 1 and 2: who a client is, said in front of its first byte.

Source: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, "the specification" below. What is read decides
whom a backend believes to speak to, so reading is strict: where the specification lets a receiver choose, what no
sender is expected to send is refused. Nothing here does I/O.
"""

import re
import struct
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

LONGEST_LINE = 107
"""Bytes of a version 1 header at the most, CRLF included (2.1)."""

LONGEST = 4096
"""Bytes of a version 2 header at the most, here. The format would allow 65,551; what is sent is hundreds (addresses, a
TLS name, a cloud's own fields), and 4 KiB is what nginx takes."""

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""What a version 2 header begins with."""

Endpoint = tuple[str, int]
"""Host and port."""


class HeaderError(ValueError):
    """It is no PROXY header, or a wrong one; the text says what is wrong with it."""


class Header(NamedTuple):
    """What a header says: both ends of the client's connection.

    Both are None when it says nothing: the sender speaks for itself (LOCAL), or for a connection that is not TCP
    (UNKNOWN, UNSPEC, UDP, Unix). Then the connection's own addresses hold.
    """

    source: Endpoint | None
    destination: Endpoint | None


_NOTHING_SAID = Header(None, None)

_PREFIX = b"PROXY "
_LINE = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})",
)

_FIXED = struct.Struct("!12sBBH")
_TCP4, _TCP6 = 0x11, 0x21
_FORMATS = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
_SIZES = {_TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""Bytes of addresses by family and protocol: TCP and UDP over IPv4, over IPv6, and Unix stream and datagram. These and
UNSPEC are "expected" (2.2); other combinations a receiver may refuse."""

_UNSPEC = 0x00
_LOCAL, _PROXY = 0x20, 0x21
"""Version 2 and the command, as they are in the 13th byte."""

_TLV = struct.Struct("!BH")
_CRC32C = 0x03

_MAPPED = bytes(10) + b"\xff\xff"
"""How an IPv4 address begins that is written as an IPv6 one (RFC 4291, 2.5.5.2)."""


# -- sending ----------------------------------------------------------------------------------------------------------


def encode(version: str, source: object, destination: object) -> bytes:
    """The header that introduces a client, in version "v1" or "v2".

    ``source``, ``destination``: both ends of its connection, as accept(2) and getsockname(2) gave them. Where they are
    no pair of TCP addresses, the header says that it does not know (UNKNOWN, UNSPEC).

    An IPv4 client of an IPv6 socket is introduced as what it is, an IPv4 client. A scope id is left out: there is no
    place for one, and on another machine it would mean another interface.
    """
    one, other = _packed(source), _packed(destination)
    if one is None or other is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _FIXED.pack(SIGNATURE, _PROXY, _UNSPEC, 0)
    hosts, ports = (one[0], other[0]), (one[1], other[1])
    if len(hosts[0]) != len(hosts[1]):
        # Two families, when a header that came in was a mixture. There is one way to say both: as IPv6.
        hosts = (_widened(hosts[0]), _widened(hosts[1]))
    four = len(hosts[0]) == 4
    if version == "v1":
        line = f"PROXY TCP{4 if four else 6} {_text(hosts[0])} {_text(hosts[1])} {ports[0]} {ports[1]}\r\n"
        return line.encode()
    kind = _TCP4 if four else _TCP6
    return _FIXED.pack(SIGNATURE, _PROXY, kind, _SIZES[kind]) + _FORMATS[kind].pack(*hosts, *ports)


def local(version: str) -> bytes:
    """The header of a connection that is frontdoor's own, such as a probe's."""
    return b"PROXY UNKNOWN\r\n" if version == "v1" else _FIXED.pack(SIGNATURE, _LOCAL, _UNSPEC, 0)


def _packed(address: object) -> tuple[bytes, int] | None:
    """The host as 4 or 16 bytes, and the port; None if it is no address of TCP."""
    match address:
        case (str(host), int(port), *_):
            try:
                packed = inet_pton(AF_INET6 if ":" in host else AF_INET, host.partition("%")[0])
            except OSError:
                return None
            return packed.removeprefix(_MAPPED), port
    return None


def _widened(host: bytes) -> bytes:
    return host if len(host) == 16 else _MAPPED + host


def _text(host: bytes) -> str:
    """A host for version 1, whose grammar for IPv6 has no dotted end: ``::ffff:192.0.2.1`` is ``0:0:0:0:0:ffff:…``."""
    if len(host) == 4:
        return inet_ntop(AF_INET, host)
    text = inet_ntop(AF_INET6, host)
    return text if "." not in text else ":".join(f"{group:x}" for group in struct.unpack("!8H", host))


# -- receiving --------------------------------------------------------------------------------------------------------


class Decoder:
    """Reads one header, in pieces as they come, and says where it ends.

    Look at up to ``want`` bytes more (MSG_PEEK), ``feed`` them, and take as many off the socket as it says: those are
    the header's, and none behind it. All that was fed before the end is the header's too, so that there is never
    anything left over that would have to be looked at twice.
    """

    __slots__ = ("_have", "header", "want")

    def __init__(self) -> None:
        self._have = bytearray()
        self.header: Header | None = None
        """What it says, as soon as it is complete."""
        self.want = LONGEST_LINE
        """Bytes to look at next, at the most."""

    def __repr__(self) -> str:
        return f"<Decoder {bytes(self._have)!r} {self.header or 'incomplete'}>"

    @property
    def had(self) -> bytes:
        """What was fed so far, as long as it is not complete."""
        return bytes(self._have)

    def feed(self, data: bytes) -> int:
        """Go on reading; how many of these bytes belong to the header. Raises HeaderError as soon as it is wrong."""
        assert self.header is None
        had = len(self._have)
        self._have += data
        have = bytes(self._have)
        binary = have.startswith(SIGNATURE[:1])
        end = _end_of_binary(have) if binary else _end_of_line(have)
        if end is None or end > len(have):
            self.want = (end or LONGEST_LINE) - len(have)
            return len(data)
        del self._have[end:]
        self.header = (_read_binary if binary else _read_line)(have[:end])
        return end - had


def _end_of_line(have: bytes) -> int | None:
    """Where a version 1 header ends; None: not yet in sight."""
    if have[: len(_PREFIX)] != _PREFIX[: len(have)]:
        raise HeaderError("it begins with no PROXY header")
    found = have.find(b"\r\n", 0, LONGEST_LINE)
    if found >= 0:
        return found + 2
    if len(have) >= LONGEST_LINE:
        raise HeaderError(f"no CRLF in the first {LONGEST_LINE} bytes")
    return None


def _read_line(header: bytes) -> Header:
    """A whole version 1 header."""
    line = header[:-2]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return _NOTHING_SAID  # "the receiver must ignore anything presented before the CRLF"
    fields = _LINE.fullmatch(line)
    if fields is None:
        raise HeaderError("the line is not as it must be")
    family = AF_INET if fields[1] == b"4" else AF_INET6
    try:
        # inet_pton(3) is as strict as the grammar: four decimal numbers without leading zeros; one double colon. It
        # also takes ::ffff:192.0.2.1, which the grammar has not, but HAProxy and nginx send.
        source, destination = (inet_pton(family, field.decode()) for field in fields.group(2, 3))
    except OSError:
        raise HeaderError(f"one of its addresses is none of TCP{fields[1].decode()}") from None
    ports = int(fields[4]), int(fields[5])
    if max(ports) > 65535:
        raise HeaderError("a port is out of range")
    return Header(_endpoint(source, ports[0]), _endpoint(destination, ports[1]))


def _end_of_binary(have: bytes) -> int | None:
    """Where a version 2 header ends; None: not yet known."""
    if have[: len(SIGNATURE)] != SIGNATURE[: len(have)]:
        raise HeaderError("it begins with no PROXY header")
    if len(have) > len(SIGNATURE) and have[len(SIGNATURE)] not in (_LOCAL, _PROXY):
        raise HeaderError(f"version and command {have[len(SIGNATURE)]:#04x} are unknown")
    if len(have) < _FIXED.size:
        return None
    length: int = _FIXED.unpack_from(have)[3]
    if _FIXED.size + length > LONGEST:
        raise HeaderError(f"it is longer than {LONGEST} bytes")
    return _FIXED.size + length


def _read_binary(header: bytes) -> Header:
    """A whole version 2 header."""
    _, command, kind, length = _FIXED.unpack_from(header)
    if command == _LOCAL or kind == _UNSPEC:
        # What follows is to be discarded, with LOCAL even the family (2.2); with UNSPEC nobody knows how much of it
        # are addresses.
        return _NOTHING_SAID
    size = _SIZES.get(kind)
    if size is None:
        raise HeaderError(f"family and protocol {kind:#04x} are unknown")
    if length < size:
        raise HeaderError("it is too short for its addresses")
    _check_fields(header, _FIXED.size + size)
    if kind not in _FORMATS:
        return _NOTHING_SAID  # "falls back to the UNSPEC mode for the valid combinations that it does not support"
    source, destination, *ports = _FORMATS[kind].unpack_from(header, _FIXED.size)
    return Header(_endpoint(source, ports[0]), _endpoint(destination, ports[1]))


def _check_fields(header: bytes, at: int) -> None:
    """The additional fields (TLVs): none is used, but they must fill the rest exactly, and a checksum must be right."""
    checksum_at = None
    while at < len(header):
        if at + _TLV.size > len(header):
            raise HeaderError("a field is cut short")
        kind, length = _TLV.unpack_from(header, at)
        at += _TLV.size
        if at + length > len(header):
            raise HeaderError("a field is longer than the header")
        if kind == _CRC32C:
            if length != 4 or checksum_at is not None:
                raise HeaderError("it must have one checksum, of four bytes")
            checksum_at = at
        at += length
    if checksum_at is not None:
        said = int.from_bytes(header[checksum_at : checksum_at + 4])
        if said != crc32c(header[:checksum_at] + bytes(4) + header[checksum_at + 4 :]):
            raise HeaderError("its checksum is wrong")


def _endpoint(host: bytes, port: int) -> Endpoint:
    """An address as it is shown and sent on: an IPv4 client that was written as an IPv6 one is an IPv4 client."""
    host = host.removeprefix(_MAPPED)
    return inet_ntop(AF_INET if len(host) == 4 else AF_INET6, host), port


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(map(_crc_of_byte, range(256)))


def crc32c(data: bytes) -> int:
    """The checksum of a version 2 header: CRC-32C, Castagnoli's (RFC 4960, appendix B)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
