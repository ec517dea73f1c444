"""Requests that two readers could read in two ways: refused, and the backend never sees them; or sent on in one way."""

from collections.abc import Iterator

import pytest

from e2e.harness import Frontdoor
from e2e.shared import Shared
from e2e.wire import Answer, Backend, Wire, chunked, get, http_door

HOST = b"Host: door.test\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: door.test\r\n\r\n"
"""What a reader who is mistaken about the end of the first request takes for a second one."""


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door())
    shared.leave()


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture(autouse=True)
def _goes_on(door: Frontdoor, backend: Backend) -> Iterator[None]:
    """After each of these tests others are served, and nothing was smuggled."""
    yield
    with Wire(door.address) as wire:
        assert wire.ask(get()).body == b"v1#1\n"
    assert not backend.heads("/smuggled")


def lines(*more: bytes, start: bytes = b"GET /strict HTTP/1.1\r\n", body: bytes = b"") -> bytes:
    """A request with these lines in its head."""
    return start + b"".join(more) + b"\r\n" + body


def post(*more: bytes, body: bytes) -> bytes:
    return lines(HOST, *more, start=b"POST /strict/digest HTTP/1.1\r\n", body=body)


REFUSED = {
    # -- how long it is
    "both lengths": (400, post(LENGTH, CHUNKED, body=b"0\r\n\r\n" + HIDDEN)),
    "both lengths, the other way": (400, post(CHUNKED, LENGTH, body=b"0\r\n\r\n" + HIDDEN)),
    "two lengths": (400, post(LENGTH, b"Content-Length: 6\r\n", body=b"hello!")),
    "one length, twice": (400, post(LENGTH, LENGTH, body=b"hello")),
    "a list of lengths": (400, post(b"Content-Length: 5, 5\r\n", body=b"hello")),
    "a signed length": (400, post(b"Content-Length: +5\r\n", body=b"hello")),
    "a length below nothing": (400, post(b"Content-Length: -5\r\n", body=b"hello")),
    "a length in hex": (400, post(b"Content-Length: 0x5\r\n", body=b"hello")),
    "a length with a blank in it": (400, post(b"Content-Length: 1 5\r\n", body=b"hello")),
    "a length of nothing": (400, post(b"Content-Length:\r\n", body=b"hello")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0\r\n", body=b"hello")),
    "an endless length": (400, post(b"Content-Length: 99999999999999999999999\r\n", body=b"hello")),
    "a coding that nobody knows": (400, post(b"Transfer-Encoding: gzip\r\n", body=b"hello")),
    "two codings": (501, post(b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked\r\n", body=b"0\r\n\r\n")),
    "chunked in two lines": (400, post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "chunked, nearly": (400, post(b"Transfer-Encoding: xchunked\r\n", body=b"0\r\n\r\n")),
    "chunked, quoted": (400, post(b'Transfer-Encoding: "chunked"\r\n', body=b"0\r\n\r\n")),
    "chunked behind a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked\r\n", body=b"0\r\n\r\n")),
    "identity": (400, post(b"Transfer-Encoding: identity\r\n", LENGTH, body=b"hello")),
    "chunked in HTTP/1.0": (
        400,
        lines(HOST, CHUNKED, start=b"POST /strict HTTP/1.0\r\n", body=b"0\r\n\r\n"),
    ),
    # -- lines
    "a folded line": (400, lines(HOST, b"X: a\r\n b\r\n")),
    "a folded length": (400, post(b"Content-Length:\r\n 5\r\n", body=b"hello")),
    "a line that begins with a blank": (400, lines(b" " + HOST)),
    "a blank before the colon": (400, post(b"Content-Length : 5\r\n", body=b"hello")),
    "a tab before the colon": (400, post(b"Transfer-Encoding\t: chunked\r\n", body=b"0\r\n\r\n")),
    "a bare line feed": (400, b"GET /strict HTTP/1.1\nHost: door.test\n\n"),
    "a bare line feed in the middle": (400, lines(HOST, b"X: a\nTransfer-Encoding: chunked\r\n")),
    "a bare line feed at the end": (400, b"GET /strict HTTP/1.1\r\nHost: door.test\r\n\n"),
    "a bare CR": (400, lines(HOST, b"X: a\rTransfer-Encoding: chunked\r\n")),
    "NUL": (400, lines(HOST, b"X: a\0b\r\n")),
    "a control character": (400, lines(HOST, b"X: a\x01b\r\n")),
    "DEL": (400, lines(HOST, b"X: a\x7fb\r\n")),
    "no colon": (400, lines(HOST, b"X\r\n")),
    "no name": (400, lines(HOST, b": x\r\n")),
    "a name with a blank": (400, lines(HOST, b"X Y: z\r\n")),
    "a name with obs-text": (400, lines(HOST, b"X\xff: z\r\n")),
    "a name in brackets": (400, lines(HOST, b"X(y): z\r\n")),
    # -- who is meant
    "no Host": (400, lines(b"X: y\r\n")),
    "two Hosts": (400, lines(HOST, b"Host: other.test\r\n")),
    "one Host, twice": (400, lines(HOST, HOST)),
    "two Hosts in a line": (400, lines(b"Host: door.test, other.test\r\n")),
    "a Host with a blank": (400, lines(b"Host: door.test other.test\r\n")),
    "a Host with a path": (400, lines(b"Host: door.test/path\r\n")),
    "a Host with a user": (400, lines(b"Host: user@door.test\r\n")),
    "a Host with a port that is none": (400, lines(b"Host: door.test:http\r\n")),
    # -- the first line
    "no target": (400, lines(HOST, start=b"GET HTTP/1.1\r\n")),
    "an empty target": (400, lines(HOST, start=b"GET  HTTP/1.1\r\n")),
    "two blanks": (400, lines(HOST, start=b"GET  /strict HTTP/1.1\r\n")),
    "a tab": (400, lines(HOST, start=b"GET\t/strict HTTP/1.1\r\n")),
    "a blank at its end": (400, lines(HOST, start=b"GET /strict HTTP/1.1 \r\n")),
    "a blank at its beginning": (400, lines(HOST, start=b" GET /strict HTTP/1.1\r\n")),
    "a target in two parts": (400, lines(HOST, start=b"GET /strict /b HTTP/1.1\r\n")),
    "a target that is no path": (400, lines(HOST, start=b"GET strict HTTP/1.1\r\n")),
    "a fragment": (400, lines(HOST, start=b"GET /strict#part HTTP/1.1\r\n")),
    "a target with obs-text": (400, lines(HOST, start=b"GET /strict\xff HTTP/1.1\r\n")),
    "a target with NUL": (400, lines(HOST, start=b"GET /strict\0 HTTP/1.1\r\n")),
    "the whole server, with GET": (400, lines(HOST, start=b"GET * HTTP/1.1\r\n")),
    "an address with a user": (400, lines(HOST, start=b"GET http://user@door.test/strict HTTP/1.1\r\n")),
    "an address without a host": (400, lines(HOST, start=b"GET http:///strict HTTP/1.1\r\n")),
    "an address of another kind": (400, lines(HOST, start=b"GET ftp://door.test/strict HTTP/1.1\r\n")),
    "a method with brackets": (400, lines(HOST, start=b"G(E)T /strict HTTP/1.1\r\n")),
    "no method": (400, lines(HOST, start=b"/strict HTTP/1.1\r\n")),
    "no version": (400, b"GET /strict\r\n\r\n"),
    "half a version": (400, lines(HOST, start=b"GET /strict HTTP/1\r\n")),
    "a version in small letters": (400, lines(HOST, start=b"GET /strict http/1.1\r\n")),
    "HTTP/2.0": (505, lines(HOST, start=b"GET /strict HTTP/2.0\r\n")),
    "HTTP/0.9": (505, lines(HOST, start=b"GET /strict HTTP/0.9\r\n")),
    "HTTP/2's beginning": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "CONNECT": (501, lines(HOST, start=b"CONNECT door.test:443 HTTP/1.1\r\n")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500),
    "a PROXY header that nobody expects": (400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get("strict")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(door: Frontdoor, backend: Backend, kind: str) -> None:
    status, data = REFUSED[kind]
    with Wire(door.address) as wire:
        answer = wire.say(data).answer()
        assert (answer.status, answer.field("Connection")) == (status, "close")
        assert wire.rest() == (b"", "closed"), "whatever came behind it is not looked at"
    assert not backend.heads("/strict")


def test_what_is_refused_is_counted_as_such(door: Frontdoor) -> None:
    before = door.status()["streams"]
    with Wire(door.address) as wire:
        wire.say(lines()).rest()
    after = door.status()["streams"]
    assert after["accepted"] == before["accepted"] + 1
    assert after["ended"]["bad_request"] == before["ended"].get("bad_request", 0) + 1


# -- bodies in chunks --------------------------------------------------------------------------------------------------

BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size that is none": b"xyz\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size below nothing": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a blank before it": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size with a blank behind it": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a size of a number too large": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a bare line feed behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "a bare line feed behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "nothing behind the chunk": b"5\r\nhello0\r\n\r\n",
    "more in the chunk than said": b"5\r\nhello!\r\n0\r\n\r\n",
    "a line feed in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 100_000,
    "endless zeroes": b"0" * 100_000,
    "a bare line feed at the end": b"5\r\nhello\r\n0\r\n\n",
    "a trailer that is none": b"5\r\nhello\r\n0\r\nhello\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "a trailer with a length": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a trailer with a coding": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer with a Host": b"5\r\nhello\r\n0\r\nHost: x\r\n\r\n",
    "endless trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 50_000,
}


@pytest.mark.parametrize("kind", BAD_CHUNKS)
def test_chunks_that_are_none_are_refused(door: Frontdoor, backend: Backend, kind: str) -> None:
    """The head has gone on to the backend. It never sees the end of the body."""
    with Wire(door.address) as wire:
        wire.say(post(CHUNKED, body=BAD_CHUNKS[kind] + HIDDEN))
        answer = wire.answer()
        assert (answer.status, answer.field("Connection")) == (400, "close")
        assert wire.rest()[0] == b""
    for seen in backend.requests:
        if "/strict" in seen["head"]:
            assert seen["body"] == 0
            assert backend.ends[seen["connection"]] in ("closed", "")


# -- passed on, in one reading -----------------------------------------------------------------------------------------


def received(answer: Answer) -> list[bytes]:
    """The lines of the head that the backend got, and what it got behind them."""
    head, _, body = answer.body.partition(b"\r\n\r\n")
    return [*head.split(b"\r\n"), body]


PASSED_ON = {
    "an address": (
        lines(b"Host: elsewhere.test\r\n", start=b"GET http://door.test:81/echo?q HTTP/1.1\r\n"),
        [b"GET /echo?q HTTP/1.1", b"Host: door.test:81"],
    ),
    "an address in HTTP/1.0": (
        lines(start=b"GET HTTP://door.test/echo HTTP/1.0\r\nConnection: keep-alive\r\n"),
        [b"GET /echo HTTP/1.1", b"Host: door.test"],
    ),
    "a later minor version": (lines(HOST, start=b"GET /echo HTTP/1.7\r\n"), [b"GET /echo HTTP/1.1"]),
    "a length with zeroes": (
        lines(HOST, b"Content-Length: 0005\r\n", start=b"POST /body/echo HTTP/1.1\r\n", body=b"hello"),
        [b"hello"],
    ),
    "chunked in capitals": (
        lines(HOST, b"Transfer-Encoding: CHUNKED\r\n", start=b"POST /body/echo HTTP/1.1\r\n", body=chunked(b"hello")),
        [chunked(b"hello")],
    ),
    "what Connection names, but what says whom and how much": (
        lines(
            HOST,
            LENGTH,
            b"Connection: host, content-length, transfer-encoding, x-own\r\nX-Own: 1\r\n",
            start=b"POST /body/echo HTTP/1.1\r\n",
            body=b"hello",
        ),
        [b"Host: door.test", b"Content-Length: 5", b"hello"],
    ),
    "an empty Host": (lines(b"Host:\r\n", start=b"GET /echo HTTP/1.1\r\n"), [b"Host:"]),
    "a Host that is an address": (lines(b"Host: [::1]:80\r\n", start=b"GET /echo HTTP/1.1\r\n"), [b"Host: [::1]:80"]),
    "brackets and bars in the target": (
        lines(HOST, start=b"GET /echo?a[]=<b>|{c}^`\\ HTTP/1.1\r\n"),
        [b"GET /echo?a[]=<b>|{c}^`\\ HTTP/1.1"],
    ),
    "a length of nothing": (
        lines(HOST, b"Content-Length: 0\r\n", start=b"GET /echo HTTP/1.1\r\n"),
        [b"Content-Length: 0"],
    ),
}


@pytest.mark.parametrize("kind", PASSED_ON)
def test_passed_on_in_one_way(door: Frontdoor, kind: str) -> None:
    data, wanted = PASSED_ON[kind]
    with Wire(door.address) as wire:
        seen = received(wire.say(data + HIDDEN.replace(b"/smuggled", b"/who")).answer())
        assert [line for line in seen if line in wanted] == wanted
        assert sum(line.lower().startswith(b"host:") for line in seen) == 1
        assert not any(line.lower().startswith((b"connection:", b"x-own:")) for line in seen)
        assert wire.answer().body == b"v1#1\n", "the next request begins where this one has ended"


def test_the_whole_server_may_be_asked_for_its_options(door: Frontdoor, backend: Backend) -> None:
    with Wire(door.address) as wire:
        assert wire.ask(lines(HOST, b"X-Tag: options\r\n", start=b"OPTIONS * HTTP/1.1\r\n")).status == 200
    (head,) = backend.heads("X-Tag: options")
    assert head.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_empty_lines_before_a_request_are_no_request(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        assert wire.say(b"\r\n" + get()).answer().status == 200
        assert wire.say(b"\r\n" + get() + b"\r\n" + get()).answer().status == 200
        assert wire.answer().status == 200
