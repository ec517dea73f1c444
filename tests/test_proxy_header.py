"""The PROXY protocol, against the specification's own words and against another implementation: proxy-protocol.

The package is laxer than the specification here and there, and in a few places stricter or wrong. ``LAXER`` and
``OTHERWISE`` list those places with their reasons; everywhere else the two must agree on every header.
"""

import ipaddress
import itertools
import re
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from proxyprotocol import ProxyProtocolIncompleteError
from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.result import ProxyResult, ProxyResultIPv4, ProxyResultIPv6, ProxyResultLocal, ProxyResultUnknown
from proxyprotocol.tlv import ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from frontdoor import proxy_header
from frontdoor.proxy_header import LONGEST, LONGEST_LINE, SIGNATURE, Decoder, Header, HeaderError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NOTHING = Header(None, None)
BODY = b"\r\nPROXY GET / HTTP/1.1\r\n\r\n"


def decode(data: bytes) -> tuple[Header, int]:
    """What a header says, and where it ends. It is in one piece with what is behind it."""
    decoder = Decoder()
    count = decoder.feed(data)
    if decoder.header is None:
        raise HeaderError("incomplete")
    return decoder.header, count


def decode_bytewise(data: bytes) -> tuple[Header, int]:
    """The same, when it comes byte by byte."""
    decoder = Decoder()
    for count, byte in enumerate(data, 1):
        assert decoder.want > 0
        assert decoder.feed(bytes([byte])) == 1
        if decoder.header is not None:
            return decoder.header, count
    raise HeaderError("incomplete")


def verdict(decoder: Callable[[bytes], tuple[Header, int]], data: bytes) -> tuple[Header, int] | None:
    """None if it is refused."""
    try:
        return decoder(data)
    except HeaderError:
        return None


def binary(command: int, kind: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(rest) if length is None else length) + rest


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def line(rest: str) -> bytes:
    return b"PROXY " + rest.encode() + b"\r\n"


def checked(header: bytes) -> bytes:
    """Its checksum, four zeros at the end so far, is put in."""
    return header[:-4] + proxy_header.crc32c(header).to_bytes(4)


FOUR = bytes([203, 0, 113, 7, 198, 51, 100, 1]) + struct.pack("!HH", 51234, 443)
SIX = ipaddress.IPv6Address("2001:db8::7").packed + ipaddress.IPv6Address("2001:db8::1").packed + FOUR[8:]
SAYS_FOUR = Header(("203.0.113.7", 51234), ("198.51.100.1", 443))
SAYS_SIX = Header(("2001:db8::7", 51234), ("2001:db8::1", 443))


# -- as the specification has it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (line("TCP4 203.0.113.7 198.51.100.1 51234 443"), SAYS_FOUR),
        (line("TCP4 255.255.255.255 255.255.255.255 65535 65535"), Header(*[("255.255.255.255", 65535)] * 2)),
        (line("TCP4 0.0.0.0 0.0.0.0 0 0"), Header(*[("0.0.0.0", 0)] * 2)),
        (line("TCP6 2001:db8::7 2001:db8::1 51234 443"), SAYS_SIX),
        (line("TCP6 2001:0DB8:0000:0000:0000:0000:0000:0007 2001:db8:0::1 51234 443"), SAYS_SIX),
        (line("TCP6 " + " ".join([":".join(["ffff"] * 8)] * 2) + " 65535 65535"), None),
        (line("TCP6 ::ffff:203.0.113.7 ::ffff:c633:6401 51234 443"), SAYS_FOUR),
        (line("UNKNOWN"), NOTHING),
        (line("UNKNOWN " + " ".join([":".join(["ffff"] * 8)] * 2) + " 65535 65535"), NOTHING),
        (line("UNKNOWN \n and \r \x00 what you like"), NOTHING),
        (binary(0x21, 0x11, FOUR), SAYS_FOUR),
        (binary(0x21, 0x21, SIX), SAYS_SIX),
        (binary(0x21, 0x11, FOUR + tlv(0x02, b"example.com") + tlv(0x04, b"") + tlv(0xE7, bytes(200))), SAYS_FOUR),
        (binary(0x21, 0x11, FOUR + tlv(0x04, bytes(LONGEST - 16 - 12 - 3))), SAYS_FOUR),
        (binary(0x20, 0x00, b""), NOTHING),
        (binary(0x20, 0x11, FOUR), NOTHING),
        (binary(0x20, 0xFF, b"the family of LOCAL is ignored, and so is this"), NOTHING),
        (binary(0x21, 0x00, b"nobody knows what is an address here"), NOTHING),
        (binary(0x21, 0x12, FOUR), NOTHING),
        (binary(0x21, 0x22, SIX), NOTHING),
        (binary(0x21, 0x31, bytes(216) + tlv(0x04, b"")), NOTHING),
        (binary(0x21, 0x32, bytes(216)), NOTHING),
    ],
)
def test_what_a_header_says_and_where_it_ends(header: bytes, says: Header | None) -> None:
    expected = says or Header(*[(":".join(["ffff"] * 8), 65535)] * 2), len(header)
    assert decode(header + BODY) == decode_bytewise(header + BODY) == expected


@pytest.mark.parametrize(
    "header",
    [
        # Version 1: single spaces, only digits, no leading zeros, the family's own addresses, CRLF within 107 bytes.
        line("TCP4  203.0.113.7 198.51.100.1 51234 443"),
        line("TCP4 203.0.113.7 198.51.100.1 51234  443"),
        line("TCP4 203.0.113.7 198.51.100.1 51234 443 "),
        line("TCP4 203.0.113.7 198.51.100.1 51234"),
        line("TCP4\t203.0.113.7 198.51.100.1 51234 443"),
        line("TCP4 203.0.113.7 198.51.100.1 051234 443"),
        line("TCP4 203.0.113.7 198.51.100.1 51234 00"),
        line("TCP4 203.0.113.7 198.51.100.1 65536 443"),
        line("TCP4 203.0.113.7 198.51.100.1 51234 100000"),
        line("TCP4 203.0.113.7 198.51.100.1 -1 443"),
        line("TCP4 203.0.113.007 198.51.100.1 51234 443"),
        line("TCP4 203.0.113.256 198.51.100.1 51234 443"),
        line("TCP4 203.0.113 198.51.100.1 51234 443"),
        line("TCP4 0xcb.0.113.7 198.51.100.1 51234 443"),
        line("TCP4 2001:db8::7 2001:db8::1 51234 443"),
        line("TCP4 ::ffff:203.0.113.7 198.51.100.1 51234 443"),
        line("TCP6 203.0.113.7 198.51.100.1 51234 443"),
        line("TCP6 fe80::1%lo 2001:db8::1 51234 443"),
        line("TCP6 1::2::3 2001:db8::1 51234 443"),
        line("TCP6 1:2:3:4:5:6:7 2001:db8::1 51234 443"),
        line("TCP6 1:2:3:4:5:6:7:8:9 2001:db8::1 51234 443"),
        line("TCP6 1:2:3:4::5:6:7:8 2001:db8::1 51234 443"),
        line("TCP6 02001:db8::7 2001:db8::1 51234 443"),
        line("TCP5 203.0.113.7 198.51.100.1 51234 443"),
        line("UDP4 203.0.113.7 198.51.100.1 51234 443"),
        line("tcp4 203.0.113.7 198.51.100.1 51234 443"),
        line("UNKNOWNS"),
        line("UNKNOWN\t"),
        line(""),
        b"PROXY\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\nGET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\rGET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\r\n",
        b"PROXY UNKNOWN ".ljust(LONGEST_LINE - 1) + b"\r\n",
        b"PROXY TCP6 " + b"0000:0000:0000:0000:0000:ffff:255.255.255.255 " * 2 + b"65535 65535\r\n",
        # Version 2.
        binary(0x11, 0x11, FOUR),
        binary(0x31, 0x11, FOUR),
        binary(0x22, 0x11, FOUR),
        binary(0x2F, 0x11, FOUR),
        binary(0x21, 0x01, b""),
        binary(0x21, 0x10, FOUR),
        binary(0x21, 0x13, FOUR),
        binary(0x21, 0x41, FOUR),
        binary(0x21, 0x11, FOUR[:-1]),
        binary(0x21, 0x21, FOUR),
        binary(0x21, 0x22, SIX[:-1]),
        binary(0x21, 0x31, bytes(215)),
        binary(0x21, 0x11, FOUR + b"\x04"),
        binary(0x21, 0x11, FOUR + b"\x04\x00"),
        binary(0x21, 0x11, FOUR + b"\x04\x00\x01"),
        binary(0x21, 0x11, FOUR + tlv(0x04, b"x") + b"\x04\x01\x00" + bytes(255)),
        binary(0x21, 0x31, bytes(216) + b"\x04"),
        binary(0x21, 0x11, FOUR + tlv(0x03, bytes(4))),
        binary(0x21, 0x11, FOUR + tlv(0x03, b"")),
        binary(0x20, 0x00, bytes(LONGEST - 16 + 1)),
        # Neither.
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\r\n\r\n\x00\r\nQUIT\r",
        b"\r\nPROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n",
        b" PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n",
    ],
)
def test_what_is_refused_however_it_comes(header: bytes) -> None:
    assert verdict(decode, header + BODY) is None
    assert verdict(decode_bytewise, header + BODY) is None


@pytest.mark.parametrize(
    "beginning",
    [
        b"G",
        b"PX",
        b"\r\nG",
        SIGNATURE + b"\x22",
        binary(0x21, 0x11, b"", length=LONGEST - 15),
        b"PROXY UNKNOWN ".ljust(LONGEST_LINE),
    ],
)
def test_it_is_refused_as_soon_as_it_cannot_become_right(beginning: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(beginning[:-1]) == len(beginning) - 1
    with pytest.raises(HeaderError):
        decoder.feed(beginning[-1:])


# -- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "destination", "line_1", "kind", "addresses"),
    [
        (("203.0.113.7", 51234), ("198.51.100.1", 443), "TCP4 203.0.113.7 198.51.100.1 51234 443", 0x11, FOUR),
        (("2001:db8::7", 51234, 0, 0), ("2001:db8::1", 443, 0, 0), "TCP6 2001:db8::7 2001:db8::1 51234 443", 0x21, SIX),
        # An IPv4 client of an IPv6 socket.
        (
            ("::ffff:203.0.113.7", 51234, 0, 0),
            ("::ffff:198.51.100.1", 443, 0, 0),
            "TCP4 203.0.113.7 198.51.100.1 51234 443",
            0x11,
            FOUR,
        ),
        # A mixture.
        (
            ("203.0.113.7", 51234),
            ("2001:db8::1", 443, 0, 0),
            "TCP6 0:0:0:0:0:ffff:cb00:7107 2001:db8::1 51234 443",
            0x21,
            bytes(10) + b"\xff\xff" + FOUR[:4] + SIX[16:],
        ),
        (
            ("fe80::1%eth0", 51234, 0, 2),
            ("fe80::2%eth0", 443, 0, 2),
            "TCP6 fe80::1 fe80::2 51234 443",
            0x21,
            ipaddress.IPv6Address("fe80::1").packed + ipaddress.IPv6Address("fe80::2").packed + FOUR[8:],
        ),
        ("", "/run/app.sock", "UNKNOWN", 0x00, b""),
        (("203.0.113.7", 51234), None, "UNKNOWN", 0x00, b""),
        (("somewhere", 1), ("198.51.100.1", 443), "UNKNOWN", 0x00, b""),
    ],
)
def test_what_is_sent(source: object, destination: object, line_1: str, kind: int, addresses: bytes) -> None:
    assert proxy_header.encode("v1", source, destination) == line(line_1)
    assert proxy_header.encode("v2", source, destination) == binary(0x21, kind, addresses)


def test_what_a_probe_sends() -> None:
    assert proxy_header.local("v1") == b"PROXY UNKNOWN\r\n"
    assert proxy_header.local("v2") == binary(0x20, 0x00, b"")


def test_the_checksum_is_the_castagnoli_one() -> None:
    assert proxy_header.crc32c(b"123456789") == 0xE3069283  # the catalogue's check value
    assert proxy_header.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


# -- against the package ----------------------------------------------------------------------------------------------

PACKAGE = ProxyProtocolDetect()

ports = st.integers(0, 65535)
v4 = st.binary(min_size=4, max_size=4).map(ipaddress.IPv4Address)
v6 = st.one_of(
    st.binary(min_size=16, max_size=16),
    # Those with a way of writing of their own.
    st.tuples(st.binary(max_size=4), st.binary(max_size=4)).map(
        lambda ends: ends[0] + bytes(16 - len(b"".join(ends))) + ends[1]
    ),
    st.binary(min_size=4, max_size=4).map(lambda end: bytes(10) + b"\xff\xff" + end),
).map(ipaddress.IPv6Address)
stream = st.just(socket.SOCK_STREAM)
results = st.one_of(
    st.builds(ProxyResultIPv4, st.tuples(v4, ports), st.tuples(v4, ports), protocol=stream),
    st.builds(ProxyResultIPv6, st.tuples(v6, ports), st.tuples(v6, ports), protocol=stream),
)
fields = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=4)


def plain(address: Address) -> str:
    """As it is shown: an IPv4 address that is mapped into IPv6 as itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    packed = (mapped or address).packed
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def understood(result: ProxyResult) -> Header:
    """What the package has read, in our words."""
    if not isinstance(result, ProxyResultIPv4 | ProxyResultIPv6) or result.protocol is socket.SOCK_DGRAM:
        return NOTHING
    return Header((plain(result.source[0]), result.source[1]), (plain(result.dest[0]), result.dest[1]))


def package_decode(data: bytes) -> tuple[Header, int]:
    """As ``decode``, by the package: it is given the bytes that it asks for. Raises HeaderError."""
    count = 0
    while True:
        try:
            return understood(PACKAGE.unpack(data[:count])), count
        except ProxyProtocolIncompleteError as error:
            if error.want_read.want_line:
                count = data.find(b"\n", count) + 1 or len(data) + 1
            else:
                count += error.want_read.want_bytes or 0
            if count > len(data):
                raise HeaderError("incomplete") from None
        except (ValueError, struct.error) as error:
            raise HeaderError(str(error)) from None


@given(st.one_of(st.tuples(v4, v4), st.tuples(v6, v6), st.tuples(v4, v6)), ports, ports)
def test_the_package_reads_what_is_sent(hosts: tuple[Address, Address], port: int, other: int) -> None:
    says = Header((plain(hosts[0]), port), (plain(hosts[1]), other))
    for version in ("v1", "v2"):
        header = proxy_header.encode(version, (str(hosts[0]), port), (str(hosts[1]), other))
        assert len(header) <= LONGEST_LINE
        assert package_decode(header + BODY) == decode(header + BODY) == (says, len(header))


@given(results)
def test_what_the_package_sends_is_read(result: ProxyResult) -> None:
    for header in (ProxyProtocolV1().pack(result), ProxyProtocolV2().pack(result)):
        assert decode(header + BODY) == (understood(result), len(header))


def test_when_the_package_knows_nothing_that_is_read() -> None:
    for header in (
        ProxyProtocolV1().pack(ProxyResultUnknown()),
        ProxyProtocolV2().pack(ProxyResultUnknown()),
        ProxyProtocolV2().pack(ProxyResultLocal()),
    ):
        assert decode(header + BODY) == (NOTHING, len(header))


@given(results, st.dictionaries(st.integers(0, 2) | st.integers(4, 255), st.binary(max_size=60), max_size=4))
def test_fields_and_a_checksum_by_the_package_are_right_and_one_bit_off_is_wrong(
    result: ProxyResultIPv4 | ProxyResultIPv6, values: dict[int, bytes]
) -> None:
    result._tlv = ProxyProtocolTLV(init=values)
    header = ProxyProtocolV2().pack(result)
    assert decode(header + BODY) == (understood(result), len(header))
    for at in (16, len(header) - 1):
        wrong = bytearray(header)
        wrong[at] ^= 1
        assert verdict(decode, bytes(wrong)) is None


@given(st.sampled_from(["v1", "v2"]), st.lists(st.integers(1, 300), max_size=40))
def test_however_a_header_is_split_its_bytes_are_taken_and_none_behind_it(version: str, cuts: list[int]) -> None:
    header = proxy_header.encode(version, ("2001:db8::7", 51234), ("2001:db8::1", 443))
    if version == "v2":
        header = binary(0x21, 0x21, header[16:] + tlv(0x04, bytes(200)))
    data, decoder, taken = header + BODY, Decoder(), 0
    for cut in itertools.chain(cuts, itertools.repeat(1)):
        # As from a socket: what has come so far, but no more than the decoder wants to look at.
        count = decoder.feed(data[taken : taken + min(cut, decoder.want)])
        assert count > 0, "level-triggered, that would be for ever"
        taken += count
        if decoder.header is not None:
            break
    assert taken == len(header)
    assert decoder.header == SAYS_SIX


# Where the two differ. Each: what the package does, and how such a header is recognised.


def fields_of(header: bytes) -> list[tuple[int, int]] | None:
    """Kind and length of each field of a version 2 header with addresses; None if they do not fill it exactly."""
    at, found = 16 + proxy_header._SIZES[header[13]], []
    while at < len(header):
        if at + 3 > len(header):
            return None
        found.append(struct.unpack_from("!BH", header, at))
        at += 3 + found[-1][1]
    return found if at == len(header) else None


def odd_port(header: bytes) -> bool:
    parts = header[:-2].split(b" ")
    return len(parts) == 6 and not all(re.fullmatch(rb"0|[1-9][0-9]{0,4}", port) for port in parts[4:])


LAXER: list[tuple[str, Callable[[bytes], bool], bytes]] = [
    (
        "int() takes signs, underscores, blanks and leading zeros; the specification: no heading zeroes",
        lambda header: header[:1] == b"P" and odd_port(header),
        line("TCP4 203.0.113.7 198.51.100.1 +0_80 443"),
    ),
    (
        "ipaddress takes scope ids; the specification has hexadecimal digits and colons",
        lambda header: header[:1] == b"P" and b"%" in header,
        line("TCP6 fe80::1%eth0 2001:db8::1 51234 443"),
    ),
    (
        "it reads lines of any length; the specification: invalid if there is no CRLF in the first 107",
        lambda header: header[:1] == b"P" and len(header) > LONGEST_LINE,
        b"PROXY UNKNOWN ".ljust(LONGEST_LINE - 1) + b"\r\n",
    ),
    (
        "it takes all families and protocols; the specification: unassigned ones must be rejected, others may be",
        lambda header: header[12:13] == b"\x21" and header[13] not in {0, *proxy_header._SIZES},
        binary(0x21, 0x4F, b""),
    ),
    (
        "it takes fields that are cut short; then the header is not what its sender meant",
        lambda header: header[12:13] == b"\x21" and header[13] in proxy_header._SIZES and fields_of(header) is None,
        binary(0x21, 0x11, FOUR + b"\x04\x00\x05x"),
    ),
    (
        "it takes up to 64 KiB, as the format does",
        lambda header: header[:1] == b"\r" and len(header) > LONGEST,
        binary(0x20, 0x00, bytes(LONGEST)),
    ),
]

OTHERWISE: list[tuple[str, Callable[[bytes], bool], bytes]] = [
    (
        "it looks at the fields of LOCAL, where the specification has the block discarded",
        lambda header: header[12:13] == b"\x20",
        binary(0x20, 0x00, tlv(0x03, bytes(4))),
    ),
    (
        "it wants Unix paths to be ASCII; here they are ignored",
        lambda header: header[12:13] == b"\x21" and header[13] in (0x31, 0x32),
        binary(0x21, 0x31, b"\xff" * 216),
    ),
    (
        "it computes the checksum as if the fields were sorted, and of each kind one",
        lambda header: (
            header[12:13] == b"\x21"
            and any(one[0] >= other[0] for one, other in itertools.pairwise(fields_of(header) or []))
        ),
        checked(binary(0x21, 0x11, FOUR + tlv(0x04, b"") + tlv(0x03, bytes(4)))),
    ),
    (
        "it ends the line at the first LF, where the specification has what follows UNKNOWN ignored up to CRLF",
        lambda header: header.startswith(b"PROXY UNKNOWN ") and b"\n" in header[:-1],
        line("UNKNOWN \n"),
    ),
]


@pytest.mark.parametrize(("why", "recognised", "header"), LAXER)
def test_where_the_package_is_laxer(why: str, recognised: Callable[[bytes], bool], header: bytes) -> None:
    assert recognised(header)
    assert verdict(package_decode, header) is not None
    assert verdict(decode, header) is None


@pytest.mark.parametrize(("why", "recognised", "header"), OTHERWISE)
def test_where_the_package_has_its_own_mind(why: str, recognised: Callable[[bytes], bool], header: bytes) -> None:
    assert recognised(header)
    assert verdict(package_decode, header) is None
    assert verdict(decode, header) is not None


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """One that is right, or nearly."""
    if draw(st.booleans()):
        result = draw(results)
        return ProxyProtocolV1().pack(result) if draw(st.booleans()) else ProxyProtocolV2().pack(result)
    kind, addresses = draw(st.sampled_from([(0x00, b""), (0x11, FOUR), (0x12, FOUR), (0x21, SIX), (0x31, bytes(216))]))
    rest = addresses + b"".join(tlv(*field) for field in draw(fields))
    return binary(draw(st.sampled_from([0x20, 0x21])), kind, rest)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A header in which a few bytes have been changed, put in or taken out."""
    data = bytearray(draw(headers()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        put = draw(
            st.one_of(st.just(b""), st.sampled_from([bytes([byte]) for byte in b" 0:.%+-\r\n\x03"]), st.binary())
        )
        data[at : at + draw(st.integers(0, 2))] = put
        assume(data)
    return bytes(data)


@given(mutants())
def test_everywhere_else_the_two_agree(data: bytes) -> None:
    data += BODY
    ours, its = verdict(decode, data), verdict(package_decode, data)
    assert verdict(decode_bytewise, data) == ours
    if ours == its:
        return
    if ours is None:
        assert its is not None
        assert any(recognised(data[: its[1]]) for _, recognised, _ in LAXER)
    else:
        assert its is None
        assert any(recognised(data[: ours[1]]) for _, recognised, _ in OTHERWISE)
