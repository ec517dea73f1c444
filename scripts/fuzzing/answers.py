"""What must hold for the head of an answer: it is refused, or backend, frontdoor and client agree on how long it is."""

from zlib import crc32

from frontdoor.http import head as heads
from frontdoor.http.fields import Fields
from frontdoor.http.forwarding import answer
from frontdoor.http.head import HOP_BY_HOP, UNTIL_CLOSE, AnswerHead, BadHead, parse_answer, parse_request
from fuzzing.reference import h11_agrees, h11_answer, length_of, read_head
from fuzzing.requests import alike, check_refusal, lowered, whole, without

METHODS = [b"GET", b"HEAD", b"POST", b"GET"]
COOKIE = b"a=b; Path=/"
NEW = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
OLD = parse_request(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

_LENGTHS = {b"content-length", b"transfer-encoding"}


def check(data: bytes) -> None:
    """Raises AssertionError, or what frontdoor should not have raised."""
    raw = whole(data)
    method = METHODS[crc32(raw) % 4]
    head = read(raw, method)
    if head is None:
        return
    check_reading(head, method)
    check_h11(head, method)
    check_forward(head, method)
    if head.status >= 200:
        check_for_client(head, method)


def read(raw: bytes, method: bytes) -> AnswerHead | None:
    """None: it is refused, as it may be."""
    heads._remembered_answer.cache_clear()  # what is remembered is not read, and leads nowhere
    try:
        return parse_answer(raw, method)
    except BadHead as error:
        check_refusal(error, {502})
        return None


def check_reading(head: AnswerHead, method: bytes) -> None:
    """A reader who only splits reads the same."""
    first, fields = read_head(head.raw)
    version, status, *_ = first.split(b" ", 2)
    assert head.fields == fields
    assert head.status == int(status)
    assert head.minor == (version != b"HTTP/1.0"), version
    bodyless = method == b"HEAD" or head.status < 200 or head.status in (204, 304)
    said = 0 if bodyless else length_of(fields)
    assert head.length == (UNTIL_CLOSE if said is None else said)


def check_h11(head: AnswerHead, method: bytes) -> None:
    """What h11 accepts, too, it reads alike."""
    found = h11_answer(head.raw, method)
    if found is None:
        return
    reader, response = found
    assert response.status_code == head.status
    assert alike(lowered(head.fields)) == alike(list(response.headers))
    if head.status >= 200:
        assert h11_agrees(reader, head.length), f"h11 reads another length than {head.length}"


def check_forward(head: AnswerHead, method: bytes) -> None:
    """The client of HTTP/1.1 reads the same answer."""
    got = again(head.forward, method)
    check_reading(got, method)
    assert (got.status, got.length, got.minor) == (head.status, head.length, 1)
    assert got.keep_alive or head.status == 101
    assert got.fields == kept(head)


def check_for_client(head: AnswerHead, method: bytes) -> None:
    """So does each other client, and it knows whether its connection goes on."""
    for request in (NEW, OLD):
        for close in (True, False):
            if head.length == UNTIL_CLOSE and not close:
                continue  # only the end of the connection ends it
            for cookie in (b"", COOKIE):
                told = answer(head, request, close=close, cookie=cookie)
                got = again(told, method)
                check_reading(got, method)
                decoded = not request.minor and head.length < 0
                assert (got.status, got.length) == (head.status, UNTIL_CLOSE if decoded else head.length), told
                assert got.keep_alive != close, told
                want = kept(head) if request.minor else without(kept(head), {b"transfer-encoding", b"trailer"})
                assert got.fields == want + own_fields(close=close, old=not request.minor, cookie=cookie), told


def again(raw: bytes, method: bytes) -> AnswerHead:
    """What was sent on, read again. Raises AssertionError."""
    got = read(raw, method)
    assert got is not None, f"it is refused when it is sent on: {raw!r}"
    return got


def kept(head: AnswerHead) -> Fields:
    """What a client of HTTP/1.1 gets: 426 says what it would rather speak, and so does its Connection."""
    named = head.status == 426 and any(name == b"connection" for name, _ in lowered(head.fields))
    return end_to_end(head) + ([(b"Connection", b"Upgrade")] if named else [])


def own_fields(*, close: bool, old: bool, cookie: bytes) -> Fields:
    """What frontdoor writes behind an answer's."""
    own = [(b"Connection", b"close")] if close else [(b"Connection", b"keep-alive")] if old else []
    return own + ([(b"Set-Cookie", cookie)] if cookie else [])


def end_to_end(head: AnswerHead) -> Fields:
    """What goes on of it as it came (RFC 9110 §7.6.1, §8.6)."""
    named = {
        item.strip(b" \t").lower()
        for name, value in head.fields
        if name.lower() == b"connection"
        for item in value.split(b",")
    }
    spoken = {101: {b"connection", b"upgrade"}, 426: {b"upgrade"}}
    dropped = HOP_BY_HOP - spoken.get(head.status, set())
    dropped |= named - _LENGTHS - {b"close", b"keep-alive", b"upgrade"}
    if head.status == 101:
        dropped -= {b"connection"} if b"connection" not in named else set()
    return without(head.fields, dropped | (_LENGTHS if head.status < 200 or head.status == 204 else set()))
