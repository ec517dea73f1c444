"""What must hold for the head of a request: it is refused, or everybody who reads it reads the same."""

import re
from ipaddress import ip_network
from zlib import crc32

from frontdoor.http import head as heads
from frontdoor.http.fields import MOST, Fields
from frontdoor.http.forwarding import PROTECTED, Client, Forwarding
from frontdoor.http.head import CLAIMS, HOP_BY_HOP, BadHead, RequestHead, is_hopeless, parse_request
from fuzzing.reference import h11_agrees, h11_request, is_chain, length_of, read_head

STATUSES = {400, 414, 431, 501, 505}
TRUST = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
ADDRESSES = [("192.0.2.1", 5000), ("10.0.0.1", 5000), ("fd00::1", 5000, 0, 0), ("2001:db8::1", 5000, 0, 0), ""]
MADE = b"made-here"
CUTS = 24
ROOM = 8

_ELEMENT = re.compile(rb'(?:for=(?:[0-9.]+|unknown|"\[[0-9a-f:]+\]"));(?:host=(?:[A-Za-z0-9]+|"[^"\\]+");)?proto=http')
_SET = {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"}

forwarding = Forwarding(request_id=lambda: MADE)


def whole(data: bytes) -> bytes:
    """Up to and with the first empty line, as whoever calls the parser cuts it."""
    data += b"\r\n\r\n"
    return data[: data.index(b"\r\n\r\n") + 4]


def check(data: bytes) -> None:
    """Raises AssertionError, or what frontdoor should not have raised."""
    raw = whole(data)
    check_piecewise(raw)
    heads._remembered_request.cache_clear()  # what is remembered is not read, and leads nowhere
    try:
        head = parse_request(raw)
    except BadHead as error:
        check_refusal(error, STATUSES)
        return
    check_reading(head)
    check_h11(head)
    check_prefixes(raw)
    chance = crc32(raw)
    for address in {ADDRESSES[chance % 5], ADDRESSES[chance // 5 % 5]}:
        check_forwarded(head, forwarding.client(address, TRUST))


def check_refusal(error: BadHead, statuses: set[int]) -> None:
    """Somebody is told why, in a page or in a log."""
    assert error.status in statuses, f"status {error.status}"
    assert error.why, "no reason"
    assert error.why.isprintable(), error.why


def check_reading(head: RequestHead) -> None:
    """A reader who only splits reads the same."""
    first, fields = read_head(head.raw)
    method, target, version = first.split(b" ")
    assert head.method == method
    assert head.minor == (version != b"HTTP/1.0"), version
    assert head.length == (length_of(fields) or 0)
    if head.target == target:
        assert head.fields == fields
        assert head.host == dict(lowered(fields)).get(b"host", b"")
    else:
        assert target.lower().startswith((b"http://", b"https://")), target
        assert head.fields == [(b"Host", head.host), *without(fields, {b"host"})]
        assert target.lower().split(b"//", 1)[1].startswith(head.host.lower()), target
        assert head.target in (b"*", b"/") or head.target.removeprefix(b"/") in target


def check_h11(head: RequestHead) -> None:
    """What h11 accepts, too, it reads alike."""
    read = h11_request(head.raw)
    if read is None:
        return
    reader, request = read
    assert request.method == head.method
    fields = lowered(head.fields)
    if head.target == request.target:
        assert alike(fields) == alike(list(request.headers))
    else:
        assert without(alike(fields), {b"host"}) == without(alike(list(request.headers)), {b"host"})
    assert h11_agrees(reader, head.length), f"h11 reads another length than {head.length}"


def check_piecewise(raw: bytes) -> None:
    """When it comes in two pieces, and the first is not hopeless, the second says the same as both together."""
    cut = crc32(raw) % (len(raw) + 1)
    if not is_hopeless(raw[:cut]):
        assert is_hopeless(raw, cut) == is_hopeless(raw), f"cut after {cut} bytes it is not as hopeless"


def check_prefixes(raw: bytes) -> None:
    """One would have waited for the end of it, wherever it had been cut."""
    for cut in {
        *range(0, len(raw), len(raw) // CUTS + 1),
        *range(4),
        *(found.end() for found in re.finditer(b"\r", raw)),
    }:
        assert not is_hopeless(raw[:cut]), f"hopeless after {cut} bytes"


def check_forwarded(head: RequestHead, client: Client) -> None:
    """The backend reads the same request, and who sent it."""
    sent, request_id = forwarding.request(head, client)
    assert forwarding.request(head, client) == (sent, request_id), "it is not the same the second time"
    if len(head.fields) > MOST - ROOM:
        return  # whoever reads it needs room for some more fields than its client may send
    got = parse_request(sent)
    check_reading(got)
    for name in ("method", "target", "length", "host", "upgrade"):
        first, then = getattr(head, name), getattr(got, name)
        assert then == first, f"{name}: {first!r}, then {then!r}"
    assert got.expects == bool(head.expects and head.minor)
    assert got.minor == 1
    assert got.keep_alive
    kept = end_to_end(head, client)
    assert got.fields[: len(kept)] == kept
    added = got.fields[len(kept) :]
    assert [name for name, _ in added] == [name for name, there in wanted(head, client).items() if there], added
    said = dict(added)
    assert said[b"X-Request-Id"] == request_id
    if not client.trusted:
        check_stranger(head, client, said)
    elif b"X-Forwarded-For" in said:
        assert said[b"X-Forwarded-For"].rpartition(b", ")[2] == client.address.encode()


def check_stranger(head: RequestHead, client: Client, said: dict[bytes, bytes]) -> None:
    """Of somebody who is not trusted nothing is said but what is known."""
    assert said[b"X-Request-Id"] == MADE
    assert said.get(b"X-Forwarded-For", b"") == client.address.encode()
    assert said[b"X-Forwarded-Proto"] == b"http"
    assert said.get(b"X-Forwarded-Host", b"") == head.host
    assert _ELEMENT.fullmatch(said[b"Forwarded"]), said[b"Forwarded"]


def end_to_end(head: RequestHead, client: Client) -> Fields:
    """What goes on of it as it came (RFC 9110 §7.6.1)."""
    named = items(head, b"connection") - PROTECTED
    if client.trusted:
        named = {name for name in named if not name.startswith(b"x-")}
    if not head.minor:
        named |= {b"expect"}
    return [field for field in without(head.fields, HOP_BY_HOP | named) if not claims(field[0].lower(), client)]


def items(head: RequestHead, name: bytes) -> set[bytes]:
    """Of the lists in the fields of that name, in lower case."""
    values = b",".join(value for other, value in head.fields if other.lower() == name)
    return {item.strip(b" \t").lower() for item in values.split(b",")}


def claims(name: bytes, client: Client) -> bool:
    """Whether only a proxy may say that, and this is none, or said so in a way that apps mistake for it."""
    plain = name.replace(b"_", b"-")
    claim = plain in CLAIMS or plain.startswith(b"x-forwarded-")
    return claim and (not client.trusted or name != plain or plain in _SET)


def wanted(head: RequestHead, client: Client) -> dict[bytes, object]:
    """What is written behind it, in its order, and whether it is."""
    te = not head.upgrade and head.minor and b"te" in items(head, b"connection") and b"trailers" in items(head, b"te")
    said = {name: value for name, value in head.known.items() if value} if client.trusted else {}
    chain = is_chain(said.get(b"forwarded", b""))
    # A proxy that speaks one of the two ways is not made to speak the other.
    other = not said.keys().isdisjoint({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
    return {
        b"Host": not any(name == b"host" for name, _ in lowered(head.fields)),
        b"Connection": head.upgrade or te,
        b"Upgrade": head.upgrade,
        b"TE": te,
        b"X-Forwarded-For": said.get(b"x-forwarded-for") or (client.address and not chain),
        b"X-Forwarded-Proto": said.get(b"x-forwarded-proto") or not chain,
        b"X-Forwarded-Host": said.get(b"x-forwarded-host") or (head.host and not chain),
        b"Forwarded": chain or not other,
        b"X-Request-Id": True,
    }


def lowered(fields: Fields) -> Fields:
    """With names in lower case."""
    return [(name.lower(), value) for name, value in fields]


def without(fields: Fields, names: set[bytes] | frozenset[bytes]) -> Fields:
    """Those that have none of the names, which are in lower case."""
    return [field for field in fields if field[0].lower() not in names]


def alike(fields: Fields) -> Fields:
    """As h11 writes them: a transfer coding has no case."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields]
