"""What comes through an http door is what the backend alone says, byte for byte."""

from collections.abc import Iterator

import pytest

from apps.raw_http import noise
from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.wire import OK, Answer, Backend, Wire, chunked, drip, get, http_door, path, post, request, say, sized

MEGABYTE = 1 << 20
ADDED = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id"}
"""Fields that a backend gets from frontdoor."""


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door())
    shared.leave()


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture(scope="module")
def kept(door: Frontdoor) -> Iterator[Wire]:
    """One connection through the door that all answers come on which do not end theirs: none leaves a byte behind."""
    with Wire(door.address) as wire:
        yield wire


# -- answers ----------------------------------------------------------------------------------------------------------

COOKIES = b"Set-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSET-COOKIE: a=1; Path=/\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

ANSWERS = {
    "a length": get(say(sized(b"hello"))),
    "no bytes": get(say(sized(b""))),
    "chunks": get(say(CHUNKED + chunked(b"a", b"hello" * 100))),
    "no chunks": get(say(CHUNKED + chunked())),
    "chunks with extensions and big digits": get(say(CHUNKED + b"00A;x=y;z\r\n0123456789\r\n0;end\r\n\r\n")),
    "trailers": get(say(CHUNKED + chunked(b"hello", trailers=b"X-Sum: 5\r\nx-empty:\r\n"))),
    "chunks in pieces": get(drip(CHUNKED + chunked(b"ab", b"c"))),
    "204": get(say(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")),
    "304": get(say(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')),
    "304 with a length": get(say(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")),
    "HEAD with a length": request("HEAD", say(OK + b"Content-Length: 1234\r\n\r\n")),
    "HEAD with chunks": request("HEAD", say(CHUNKED)),
    "HEAD without any": request("HEAD", say(OK + b"\r\n")),
    "404": get(say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n4")),
    "500": get(say(b"HTTP/1.1 500 Oh No\r\nContent-Length: 1\r\n\r\n5")),
    "503 of its own": get(say(b"HTTP/1.1 503 Mine\r\nRetry-After: 77\r\nContent-Length: 1\r\n\r\n5")),
    "418": get(say(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")),
    "a status that nobody knows": get(say(b"HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n")),
    "no reason": get(say(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n")),
    "obs-text in the reason": get(say(b"HTTP/1.1 200 \xc3\xb6k\r\nContent-Length: 0\r\n\r\n")),
    "redirect": get(say(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n")),
    "order and case": get(
        say(sized(b"x", b"zEbRa: 1\r\nServer: mine\r\nApple: 2\r\nX-Request-Id: mine\r\nApple: 3\r\n"))
    ),
    "cookies": get(say(sized(b"x", COOKIES))),
    "empty values and blanks": get(say(sized(b"x", b"X-Empty:\r\nX-Blank:   \r\nX-Tab:\tv\t \r\nX-None:v\r\n"))),
    "obs-text in a value": get(say(sized(b"x", b"X-Name: J\xf6rg \xff\x80\r\n"))),
    "a long field": get(say(sized(b"x", b"X-Long: " + b"l" * 3000 + b"\r\n"))),
    "a very long field": get(say(OK + b"X-Long: "), "letters=200000", say(b"\r\nContent-Length: 1\r\n\r\nx")),
    "many fields": get(say(sized(b"x", b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(80))))),
    "a date of its own": get(say(sized(b"x", b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"))),
    "bytes of all kinds": get(say(sized(bytes(range(256))))),
    "a body that looks like an answer": get(say(sized(sized(b"no")))),
    "early hints": get(say(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"), say(sized(b"x"))),
    "interim answers": get(
        say(b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" + sized(b"x"))
    ),
    "a head in pieces": get(drip(sized(b"slow"))),
    "a megabyte": get(say(OK + b"Content-Length: %d\r\n\r\n" % MEGABYTE), f"fill={MEGABYTE}"),
    "a chunk of a megabyte": get(
        say(CHUNKED + b"%x\r\n" % MEGABYTE), f"fill={MEGABYTE}", say(b"\r\n" + chunked(b"end", trailers=b"A: b\r\n"))
    ),
    "OPTIONS": request("OPTIONS", say(b"HTTP/1.1 200 OK\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n")),
    "DELETE": request("DELETE", say(b"HTTP/1.1 204 Gone\r\n\r\n")),
    "a method that nobody knows": request("FROBNICATE", say(sized(b"done"))),
    "POST": post("body", say(sized(b"posted")), body=b"a=b"),
    "PUT": request("PUT", "body", say(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"), body=b"a=b"),
    "PATCH": request("PATCH", "body", say(sized(b"patched")), body=b"{}"),
    "GET with a body": request("GET", "body", say(sized(b"got")), body=b"question"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_the_backend_s_own(kept: Wire, backend: Backend, kind: str) -> None:
    with backend.wire() as alone:
        wanted = alone.ask(ANSWERS[kind])
    assert kept.ask(ANSWERS[kind]) == wanted
    assert kept.ask(get()).body == b"v1#1\n", "and nothing is left of it"


UNTIL_CLOSE = {
    "a body": get(say(OK + b"\r\nuntil the end"), "close"),
    "nothing": get(say(OK + b"\r\n"), "close"),
    "a body in pieces": get(drip(OK + b"\r\nuntil"), "close"),
    "a megabyte": get(say(OK + b"\r\n"), f"fill={MEGABYTE}", "close"),
    "half-closed": get(say(OK + b"\r\nuntil the end"), "finish", "silent"),
    "HTTP/1.0": get(say(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end"), "close"),
}


@pytest.mark.parametrize("kind", UNTIL_CLOSE)
def test_an_answer_that_ends_with_its_connection(door: Frontdoor, backend: Backend, kind: str) -> None:
    with backend.wire() as alone:
        wanted = alone.say(UNTIL_CLOSE[kind]).answer()
    with Wire(door.address) as wire:
        came = wire.say(UNTIL_CLOSE[kind]).answer()
    assert came.body == wanted.body
    said = wanted.head.replace(b"HTTP/1.0", b"HTTP/1.1")
    assert came.head in (said, said[:-2] + b"Connection: close\r\n\r\n")


def test_what_is_between_two_hops_stays_there(kept: Wire) -> None:
    hop = b"Connection: X-Secret, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\nX-Public: 2\r\n"
    answer = kept.ask(get(say(sized(b"x", hop))))
    assert dict(answer.fields) == {"x-public": "2", "content-length": "1"}


def test_a_backend_that_closes_is_no_reason_for_closing(kept: Wire) -> None:
    for _ in range(3):
        answer = kept.ask(get(say(sized(b"x", b"Connection: close\r\n")), "close"))
        assert (answer.body, answer.field("Connection")) == (b"x", "")


def test_a_client_who_asks_for_the_end_gets_it(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        answer = wire.ask(get(say(sized(b"x")), fields=b"Connection: close\r\n"))
        assert (answer.body, answer.field("Connection").lower()) == (b"x", "close")
        assert wire.rest() == (b"", "closed")


# -- clients who speak HTTP/1.0 ---------------------------------------------------------------------------------------


def old(*steps: str, fields: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.0\r\n%s\r\n" % (path(*steps), fields)


def asked_by_old(door: Frontdoor, *steps: str, fields: bytes = b"") -> Answer:
    """The answer, behind which the connection has ended."""
    with Wire(door.address) as wire:
        answer = wire.say(old(*steps, fields=fields)).answer()
        assert wire.rest() == (b"", "closed")
        return answer


def test_http_1_0_ends_with_its_answer(door: Frontdoor) -> None:
    assert asked_by_old(door, say(sized(b"hello"))).body == b"hello"
    assert asked_by_old(door, say(OK + b"\r\nhello"), "close").body == b"hello"


def test_http_1_0_gets_no_chunks(door: Frontdoor) -> None:
    for steps in (
        [say(CHUNKED + chunked(b"hello", b" you", trailers=b"X-Sum: 1\r\n"))],
        [drip(CHUNKED + chunked(b"hello", b" you"))],
    ):
        answer = asked_by_old(door, *steps)
        assert (answer.framed, answer.field("Transfer-Encoding")) == (b"hello you", "")
    many = asked_by_old(door, say(CHUNKED + b"%x\r\n" % MEGABYTE), f"fill={MEGABYTE}", say(b"\r\n0\r\n\r\n"))
    assert many.framed == noise(0, MEGABYTE)


def test_http_1_0_gets_no_interim_answers(door: Frontdoor) -> None:
    answer = asked_by_old(door, say(b"HTTP/1.1 103 Early Hints\r\n\r\n"), say(sized(b"x")))
    assert (answer.interim, answer.body) == ((), b"x")


def test_http_1_0_may_ask_for_more(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        for _ in range(3):
            answer = wire.say(old(say(sized(b"x")), fields=b"Connection: keep-alive\r\n")).answer()
            assert (answer.body, answer.field("Connection").lower()) == (b"x", "keep-alive")
        answer = wire.say(old(say(CHUNKED + chunked(b"x")), fields=b"Connection: keep-alive\r\n")).answer()
        assert (answer.body, answer.field("Connection").lower()) == (b"x", "close"), "its end cannot be seen otherwise"
        assert wire.rest() == (b"", "closed")


# -- requests ---------------------------------------------------------------------------------------------------------


def as_received(answer: Answer) -> tuple[bytes, bytes]:
    """The request that the backend got: its head without what frontdoor adds, and its body as it came."""
    head, _, body = answer.body.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.partition(b":")[0].lower().decode("latin-1") not in ADDED]
    return b"\r\n".join(lines) + b"\r\n\r\n", body


CHUNKS = b"Transfer-Encoding: chunked\r\n"
REQUESTS = {
    "a plain one": get("echo"),
    "a query": b"GET /echo?a=b&c=%20d;e=/../ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that could be made shorter": b"GET /a/../echo//./%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "order and case": get("echo", fields=b"zEbRa: 1\r\nAccept: */*\r\nCOOKIE: a=b\r\nApple: 1\r\nApple: 2\r\n"),
    "empty values and blanks": get("echo", fields=b"X-Empty:\r\nX-Tab:\tv\t\r\nX-None:v\r\n"),
    "obs-text": get("echo", fields=b"X-Name: J\xf6rg \xff\x80\r\n"),
    "cookies": get("echo", fields=b"Cookie: a=1; b=2\r\nCookie: c=3\r\n"),
    "HEAD": request("HEAD", "echo"),
    "a body": post("body", "echo", body=bytes(range(256))),
    "an empty body": post("body", "echo", body=b""),
    "PUT": request("PUT", "body", "echo", body=b"hello"),
    "a method that nobody knows": request("FROBNICATE", "body", "echo", body=b"hello"),
    "chunks": request("POST", "body", "echo", fields=CHUNKS) + chunked(b"a", b"hello" * 100),
    "chunks with extensions": request("POST", "body", "echo", fields=CHUNKS) + b'2;a=b;c="d"\r\nhi\r\n000\r\n\r\n',
    "trailers": request("POST", "body", "echo", fields=CHUNKS) + chunked(b"hi", trailers=b"X-Sum: 2\r\n"),
    "no chunks": request("POST", "body", "echo", fields=CHUNKS) + chunked(),
    "an empty line first": b"\r\n" + get("echo"),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_is_the_client_s_own(kept: Wire, backend: Backend, kind: str) -> None:
    data = REQUESTS[kind]
    method = "HEAD" if kind == "HEAD" else "GET"
    if method == "HEAD":
        with backend.wire() as alone:
            assert len(alone.say(data).answer(method).head) <= len(kept.say(data).answer(method).head)
        return
    head, _, body = data.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    answer = kept.say(data).answer()
    assert as_received(answer) == (head + b"\r\n\r\n", body)


def test_a_request_that_comes_byte_by_byte(door: Frontdoor) -> None:
    data = request("POST", "body", "echo", fields=CHUNKS + b"A: b\r\n") + chunked(b"hi", trailers=b"X-Sum: 2\r\n")
    with Wire(door.address) as wire:
        for byte in data:
            wire.say(bytes([byte]))
        head, _, body = data.partition(b"\r\n\r\n")
        assert as_received(wire.answer()) == (head + b"\r\n\r\n", body)


def test_http_1_0_is_sent_on_as_http_1_1(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        answer = wire.say(b"GET /echo HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").answer()
        assert as_received(answer)[0] == b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"


def test_what_is_between_two_hops_is_not_sent_on(kept: Wire) -> None:
    hop = b"Connection: keep-alive, X-Secret\r\nKeep-Alive: 5\r\nX-Secret: 1\r\nProxy-Connection: x\r\nX-Public: 2\r\n"
    assert as_received(kept.ask(get("echo", fields=hop)))[0] == get("echo", fields=b"X-Public: 2\r\n")


# -- one after the other ----------------------------------------------------------------------------------------------


def test_requests_sent_at_once_are_answered_in_their_order(door: Frontdoor) -> None:
    sent = [
        get(say(sized(b"first"))),
        get("sleep=0.1", say(sized(b"slow"))),
        post("body", say(sized(b"third")), body=b"x" * 5000),
        request("HEAD", say(OK + b"Content-Length: 99\r\n\r\n")),
        request("POST", "body", say(CHUNKED + chunked(b"fifth")), fields=CHUNKS) + chunked(b"abc"),
        get(say(sized(b"last"))),
    ]
    with Wire(door.address) as wire:
        wire.say(b"".join(sent))
        answers = [wire.answer(data.split(b" ", 1)[0].decode()).body for data in sent]
        assert answers == [b"first", b"slow", b"third", b"", b"fifth", b"last"]


def test_many_requests_sent_at_once(door: Frontdoor, backend: Backend) -> None:
    count = 300
    with Wire(door.address) as wire:
        wire.say(b"".join(get(say(sized(b"%d" % number))) for number in range(count)))
        assert [wire.answer().body for _ in range(count)] == [b"%d" % number for number in range(count)]


def test_a_client_who_has_finished_sending_still_gets_its_answers(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        wire.say(get("sleep=0.1", say(sized(b"one"))) + get(say(sized(b"two")))).finish()
        assert (wire.answer().body, wire.answer().body) == (b"one", b"two")
        assert wire.rest() == (b"", "closed")


def test_a_client_who_goes_away_takes_its_request_with_it(door: Frontdoor, backend: Backend) -> None:
    wire = Wire(door.address).say(get("silent", "gone-away"))
    until(lambda: backend.heads("gone-away"), "the request is there")
    number = backend.request("gone-away")["connection"]
    wire.reset()
    until(lambda: backend.ends[number] == "closed", "the backend is told")
    until(lambda: door.status()["streams"]["ended"].get("client_reset") == 1, "it is counted")


def test_expect_100_continue_is_the_backend_s_to_answer(kept: Wire, backend: Backend) -> None:
    wanted = b"HTTP/1.1 100 Continue\r\n\r\n"
    steps = (say(wanted), "body", "echo")
    kept.say(request("POST", *steps, fields=b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
    assert kept.head() == wanted
    head, body = as_received(kept.say(b"hello").answer())
    assert b"Expect: 100-continue\r\n" in head
    assert body == b"hello"


def test_expect_100_continue_that_is_refused(door: Frontdoor) -> None:
    refused = b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno"
    with Wire(door.address) as wire:
        wire.say(request("POST", say(refused), "close", fields=b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        answer = wire.answer()
        assert (answer.status, answer.body, answer.field("Connection")) == (417, b"no", "close")
        assert wire.rest() == (b"", "closed")


def test_an_answer_before_the_end_of_the_request(door: Frontdoor) -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    with Wire(door.address) as wire:
        wire.say(request("POST", say(early), "close", fields=b"Content-Length: 1000000\r\n") + b"x" * 1000)
        answer = wire.answer()
        assert (answer.status, answer.body) == (413, b"big")
        assert wire.rest() == (b"", "closed")


def test_a_whole_answer_before_the_end_of_the_request(door: Frontdoor) -> None:
    """Of a backend that has heard enough: what the client still sends is read, so that the answer reaches it."""
    with Wire(door.address) as wire:
        wire.say(request("POST", say(sized(b"enough")), "silent", fields=b"Content-Length: 3000000\r\n") + b"x" * 1000)
        assert wire.answer().body == b"enough"
        wire.say(b"x" * 1_000_000)
        assert wire.rest() == (b"", "closed")


def test_what_is_behind_the_last_request_is_no_request(door: Frontdoor, backend: Backend) -> None:
    with Wire(door.address) as wire:
        wire.say(get(fields=b"Connection: close\r\n") + get("behind-the-last"))
        assert wire.answer().body == b"v1#1\n"
        assert wire.rest() == (b"", "closed")
    assert not backend.heads("/behind-the-last")


def test_an_answer_before_the_end_of_a_request_that_goes_on(door: Frontdoor) -> None:
    """A backend that talks while it listens: both are whole."""
    with Wire(door.address) as wire:
        steps = (say(CHUNKED + b"5\r\nready\r\n"), "body", say(chunked(b"done")))
        wire.say(request("POST", *steps, fields=b"Content-Length: 5\r\n"))
        assert wire.head() == CHUNKED
        assert wire.some(10) == b"5\r\nready\r\n"
        assert wire.say(b"hello").some(len(chunked(b"done"))) == chunked(b"done")
        assert wire.ask(get()).body == b"v1#1\n"
