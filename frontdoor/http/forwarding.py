"""Forwarding: the head of a request as a backend gets it, and the head of an answer as a client does.

What is between two neighbours goes (RFC 9110 §7.6.1), and what a backend cannot see any more is added: who the client
is, in X-Forwarded-For, -Proto and -Host and in Forwarded (RFC 7239), and an id. All else goes on byte for byte.

There is no Via: some servers do not compress for who sends one.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from frontdoor.http.fields import TOKEN, as_lines, options, remover
from frontdoor.http.head import CLAIMS, HOP_BY_HOP, LONGEST_REMEMBERED, AnswerHead, RequestHead, is_claim, remove_hops

Networks = Sequence[IPv4Network | IPv6Network]

PROTECTED = CLAIMS | {
    b"authorization",
    b"content-length",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"transfer-encoding",
}
"""A client that names these in its Connection would have them taken out here: who asks, and how long that is, for one.
They stay (RFC 9110 §7.6.1: nobody may name what is meant for the recipient)."""

LONGEST_ID = 128

_read_pair = re.compile(rb'%b=(?:%b|"[^"\\]*(?:\\.[^"\\]*)*")[ \t]*(?:[,;][ \t,;]*|\Z)' % (TOKEN, TOKEN)).match
"""One pair of a Forwarded field (RFC 7239 §4), and what is between it and the next one."""

_SET = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")
"""What is written here anew, with what a trusted proxy has said in it."""

_NO_FIELDS = HOP_BY_HOP | {b"close"}
"""What a Connection field nearly always names: it goes anyway, or is no field."""

_remove_coding = remover(b"t", b"transfer-encoding|trailer")

# What a stranger's head loses, and a trusted proxy's: the same as ``_goes_on`` says of one field.
_ANY = b"|".join([*(name.replace(b"-", b"[-_]") for name in sorted(CLAIMS)), rb"x[-_]forwarded[-_][^:\r\n]*"])
_HOPS = b"|".join(sorted(HOP_BY_HOP))
_remove_all = remover(b"ckptufx", b"|".join([_HOPS, _ANY]))
_remove_some = remover(b"ckptufx", b"|".join([_HOPS, *_SET, b"x-request-id", rb"(?=[^:\r\n]*_)(?:%b)" % _ANY]))


class Client:
    """Who asks, on one connection."""

    __slots__ = ("address", "claims", "head", "host", "port", "sent", "trusted")

    def __init__(self, address: str, port: int, *, trusted: bool) -> None:
        self.address = address
        """The IP address; empty for the client of a Unix socket."""
        self.port = port
        self.trusted = trusted
        """It is a proxy whose word is believed."""
        self.head: RequestHead | None = None
        """The last one of it, and"""
        self.sent = b""
        """what was sent on for that but for its end: it is likely to say the same again."""
        self.host: bytes | None = None
        """The last Host of it, and"""
        self.claims = b""
        """what is told of it with that."""

    def __repr__(self) -> str:
        return f"<Client {self.address or 'unix'}{', trusted' if self.trusted else ''}>"


class Forwarding:
    """Of one door."""

    def __init__(self, *, request_id: Callable[[], bytes]) -> None:
        """``request_id`` gives one that no other request has."""
        self._request_id = request_id

    def __repr__(self) -> str:
        return "<Forwarding>"

    def client(self, address: object, trust: Networks) -> Client:
        """``address``: as accept(2) gave it, or as a PROXY header says. ``trust``: whose word is believed."""
        if not isinstance(address, tuple) or len(address) < 2:
            return Client("", 0, trusted=False)
        if not trust and ":" not in address[0]:
            return Client(address[0], int(address[1]), trusted=False)
        host = ip_address(address[0].partition("%")[0])
        if host.version == 6 and host.ipv4_mapped is not None:
            host = host.ipv4_mapped  # an IPv4 client of an IPv6 socket
        return Client(str(host), int(address[1]), trusted=any(host in network for network in trust))

    def request(self, head: RequestHead, client: Client) -> tuple[bytes, bytes]:
        """The head for the backend, and the request's id."""
        if client.head is head:
            told = client.sent
        else:
            told = _told(head, client)
            if len(head.raw) <= LONGEST_REMEMBERED:  # no longer one is ever the same, and there may be many clients
                client.head, client.sent = head, told
        if client.trusted:
            given = head.known.get(b"x-request-id", b"")
            if _is_sane(given):
                return b"%b%b\r\n\r\n" % (told, given), given
        made = self._request_id()
        return b"%b%b\r\n\r\n" % (told, made), made


def _told(head: RequestHead, client: Client) -> bytes:
    """The head for the backend, up to its last field's value, which is the id."""
    named = head.options - _NO_FIELDS if head.options else head.options
    if named or head.line:
        line = head.line or head.raw[: head.raw.index(b"\r\n") + 2]
        dropped = HOP_BY_HOP | _named(named, client) | {b"x-request-id"}
        if not head.minor:
            dropped |= {b"expect"}  # it means nothing there, and would in HTTP/1.1 (RFC 9110 §10.1.1)
        told = line + as_lines(field for field in head.fields if _goes_on(field[0].lower(), dropped, client))
    elif head.claims:
        told = (_remove_some if client.trusted else _remove_all)(b"", head.raw)[:-2]
    elif head.hop:
        told = remove_hops(b"", head.raw)[:-2]
    else:
        told = head.raw[:-2]
    if not head.host and not any(name.lower() == b"host" for name, _ in head.fields):
        told += b"Host:\r\n"  # HTTP/1.0 knows of none, and HTTP/1.1 wants one (RFC 9112 §3.2)
    if head.upgrade:
        told += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
    elif b"te" in head.options and _takes_trailers(head):
        # They go on as they come. Of other transfer codings none does (RFC 9110 §10.1.4).
        told += b"Connection: TE\r\nTE: trailers\r\n"
    if client.trusted and head.claims:
        return told + _continued(head, client) + b"X-Request-Id: "
    if client.host != head.host:
        client.host, client.claims = head.host, _begun(head.host, client)
    return told + client.claims + b"X-Request-Id: "


def _named(options: frozenset[bytes], client: Client) -> frozenset[bytes]:
    """Which fields go as the Connection field names them.

    Some proxies pass that on as they got it: so of a trusted one those in X- stay, in which it may say who has logged
    in, by which certificate.
    """
    names = options - PROTECTED
    return frozenset(name for name in names if not name.startswith(b"x-")) if client.trusted else names


def _takes_trailers(head: RequestHead) -> bool:
    said = [options(value) for name, value in head.fields if name.lower() == b"te"]
    return bool(head.minor) and any(b"trailers" in codings for codings in said)


def _goes_on(name: bytes, dropped: frozenset[bytes], client: Client) -> bool:
    if name in dropped:
        return False
    if not is_claim(name):
        return True
    # A client's own claims go, and those of a trusted proxy stay, but for what is written anew. With an underscore no
    # proxy writes them: it would have them from a client.
    return client.trusted and b"_" not in name and name not in _SET


def _begun(host: bytes, client: Client) -> bytes:
    """Who asks, in the two ways that backends understand: X-Forwarded-… and Forwarded (RFC 7239)."""
    address, element = client.address.encode(), _element(host, client)
    via = b"X-Forwarded-For: %b\r\n" % address if address else b""
    asked = b"X-Forwarded-Host: %b\r\n" % host if host else b""
    return b"%bX-Forwarded-Proto: http\r\n%bForwarded: %b\r\n" % (via, asked, element)


def _continued(head: RequestHead, client: Client) -> bytes:
    """The same, added to what a trusted proxy has said.

    Most proxies use one of the two ways, and then the other one is not begun here: it would have the proxy for the
    client and http for https, and there are apps that look at that one first.
    """
    via, protocol, asked, before = map(head.known.get, _SET)
    if before and not _is_chain(before):
        before = None  # with one quotation mark too many, what is appended would be swallowed
    forwarded = before or not (via or protocol or asked)
    address = client.address.encode()
    if via or not before:
        via = b"%b, %b" % (via, address) if via and address else via or address
    if not before:
        protocol, asked = protocol or b"http", asked or head.host
    lines = b"X-Forwarded-For: %b\r\n" % via if via else b""
    if protocol:
        lines += b"X-Forwarded-Proto: %b\r\n" % protocol
    if asked:
        lines += b"X-Forwarded-Host: %b\r\n" % asked
    if forwarded:
        lines += b"Forwarded: %b%b\r\n" % (before + b", " if before else b"", _element(head.host, client))
    return lines


def _element(host: bytes, client: Client) -> bytes:
    """What one proxy writes in Forwarded."""
    address = client.address.encode()
    shown = b'"[%b]"' % address if b":" in address else address or b"unknown"
    if not host:
        return b"for=%b;proto=http" % shown
    return b"for=%b;host=%b;proto=http" % (shown, host if host.isalnum() else b'"%b"' % host)


def _is_chain(value: bytes) -> bool:
    """Whether it is a Forwarded field as it has to be; what is said need not make sense."""
    at = len(value) - len(value.lstrip(b" \t,;"))
    while pair := _read_pair(value, at):
        if (at := pair.end()) == len(value):
            return True
    return False


def _is_sane(given: bytes) -> bool:
    return 0 < len(given) <= LONGEST_ID and given.isascii() and given.decode().isprintable() and b" " not in given


def answer(head: AnswerHead, request: RequestHead, *, close: bool, cookie: bytes = b"") -> bytes:
    """The head for the client. ``close``: its connection ends with this; ``cookie``: of frontdoor's own, a whole value.

    A client of HTTP/1.0 gets no chunks: the caller takes them apart.
    """
    if not close and not cookie and request.minor:
        return head.forward
    told = head.forward
    if not request.minor:
        told = _remove_coding(b"", told)
    more = b"Connection: close\r\n" if close else b"" if request.minor else b"Connection: keep-alive\r\n"
    if cookie:
        more += b"Set-Cookie: %b\r\n" % cookie
    return told[:-2] + more + b"\r\n"
