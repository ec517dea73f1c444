"""Limits of an http door: heads and bodies that are too large are refused, whoever says how large they are."""

from collections.abc import Iterator

import pytest

from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.wire import Backend, Wire, chunked, get, http_door, path, post, request, say

MAX_HEAD, MAX_BODY = 4096, 100_000
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EXPECT = b"Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door(http={"max_head": "4KiB", "max_body": f"{MAX_BODY}B"}))
    shared.leave()


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture
def wire(door: Frontdoor) -> Iterator[Wire]:
    """A client; when it has left, others are served."""
    with Wire(door.address) as wire:
        yield wire
    with Wire(door.address) as other:
        assert other.ask(get()).body == b"v1#1\n"


def test_a_body_as_large_as_it_may_be(wire: Wire) -> None:
    assert wire.ask(post("digest", body=b"x" * MAX_BODY)).json["length"] == MAX_BODY
    parts = [b"x" * 1000] * (MAX_BODY // 1000)
    assert wire.say(request("POST", "digest", fields=CHUNKED) + chunked(*parts)).answer().json["length"] == MAX_BODY


def test_a_body_that_is_said_to_be_too_large_is_not_even_read(wire: Wire, backend: Backend) -> None:
    answer = wire.ask(request("POST", "digest", "said", fields=b"Content-Length: %d\r\n" % (MAX_BODY + 1)))
    assert (answer.status, answer.field("Connection")) == (413, "close")
    assert wire.rest() == (b"", "closed")
    assert not backend.heads("/said")


def test_a_client_who_sends_a_large_body_all_the_same_can_read_the_answer(wire: Wire) -> None:
    """A socket that is closed with something unread resets the connection, and with it goes the answer."""
    body = b"x" * 10 * MAX_BODY
    assert wire.ask(post("digest", body=body)).status == 413
    assert wire.rest() == (b"", "closed")


def test_a_large_body_that_waits_to_be_asked_for_is_not(wire: Wire, backend: Backend) -> None:
    wire.say(request("POST", "digest", "waits", fields=EXPECT + b"Content-Length: %d\r\n" % (MAX_BODY + 1)))
    answer = wire.answer()
    assert (answer.interim, answer.status) == ((), 413)
    assert not backend.heads("/waits")


def test_a_body_that_waits_to_be_asked_for_is_if_it_is_not_too_large(wire: Wire) -> None:
    wire.say(request("POST", say(CONTINUE), "digest", fields=EXPECT + b"Content-Length: %d\r\n" % MAX_BODY))
    assert wire.head() == CONTINUE
    assert wire.say(b"x" * MAX_BODY).answer().json["length"] == MAX_BODY


def test_chunks_that_are_too_much_together(wire: Wire, backend: Backend) -> None:
    wire.say(request("POST", "digest", "chunks", fields=CHUNKED))
    for _ in range(MAX_BODY // 10_000):
        wire.say(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    answer = wire.say(b"1\r\nx\r\n").answer()
    assert (answer.status, answer.field("Connection")) == (413, "close")
    assert wire.rest() == (b"", "closed")
    number = backend.request("/chunks")["connection"]
    until(lambda: backend.ends[number] == "closed", "the backend does not wait for the rest")


def test_a_single_chunk_that_is_said_to_be_too_large(wire: Wire) -> None:
    answer = wire.say(request("POST", "digest", fields=CHUNKED) + b"fffffffff\r\n" + b"x" * 2 * MAX_BODY).answer()
    assert answer.status == 413


def test_a_head_as_large_as_it_may_be(wire: Wire) -> None:
    empty = get(fields=b"X: \r\n")
    full = get(fields=b"X: " + b"x" * (MAX_HEAD - len(empty)) + b"\r\n")
    assert len(full) == MAX_HEAD
    assert wire.ask(full).status == 200


@pytest.mark.parametrize("end", [b"\r\n", b"\r\n\r\n"], ids=["without end", "whole"])
def test_a_head_that_is_too_large(wire: Wire, backend: Backend, end: bytes) -> None:
    fields = b"".join(b"X-%d: y\r\n" % number for number in range(2000))
    answer = wire.say(b"GET /too-large HTTP/1.1\r\nHost: x\r\n" + fields.removesuffix(b"\r\n") + end).answer()
    assert (answer.status, answer.field("Connection")) == (431, "close")
    assert wire.rest() == (b"", "closed")
    assert not backend.heads("/too-large")


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["without end", "whole"])
def test_a_target_that_is_too_long(wire: Wire, backend: Backend, end: bytes) -> None:
    answer = wire.say(b"GET " + path("too-long" * 1000) + end).answer()
    assert (answer.status, answer.field("Connection")) == (414, "close")
    assert wire.rest() == (b"", "closed")
    assert not backend.heads("/too-long")


def test_a_head_that_drips_and_is_too_large(wire: Wire) -> None:
    wire.say(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for number in range(MAX_HEAD // 10 - 10):
        wire.say(b"X-%05d:\r\n" % number)
    assert wire.say(b"X: " + b"x" * 100).answer().status == 431


def test_what_is_sent_at_once_with_other_requests_is_counted_on_its_own(wire: Wire) -> None:
    """Each head has its limit; what is behind it is another's."""
    some = get(fields=b"X: " + b"x" * 3000 + b"\r\n")
    wire.say(some * 20)
    assert [wire.answer().status for _ in range(20)] == [200] * 20


def test_these_are_counted_as_bad_requests(door: Frontdoor) -> None:
    ended = door.status()["streams"]["ended"]
    assert ended["bad_request"] >= 8
    assert set(ended) <= {"answered", "bad_request", "client_closed"}, ended
