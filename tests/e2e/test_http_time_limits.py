"""Time limits of an http door: whoever is too slow is cut, and told so where that is possible; others go on."""

import contextlib
import os
import statistics
import time
from collections.abc import Iterator

import pytest

from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.wire import OK, Backend, Wire, chunked, get, http_door, request, say

LIMIT = 0.4
"""Seconds, of each kind."""
LATE = 1.6
"""Seconds after which it must be over: frontdoor looks at the time four times a second, and machines are busy."""

LIMITS = dict.fromkeys(
    ("head_timeout", "body_timeout", "answer_timeout", "keepalive_timeout", "backend_keepalive"), f"{LIMIT}s"
)


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door(http=LIMITS))
    shared.leave()


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture
def wire(door: Frontdoor) -> Iterator[Wire]:
    """A client who has just come."""
    with Wire(door.address) as wire:
        yield wire


@contextlib.contextmanager
def over_in_time(door: Frontdoor, reason: str, count: int = 1) -> Iterator[None]:
    """What happens here takes as long as the limit says, and the ledger counts it under that reason."""
    before = ended(door, reason)
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert LIMIT * 0.9 < took < LATE, f"it took {took:.2f} s"
    until(lambda: ended(door, reason) == before + count, f"it is counted as {reason}: {door.status()['streams']}")


def ended(door: Frontdoor, reason: str) -> int:
    return int(door.status()["streams"]["ended"].get(reason, 0))


# -- clients -----------------------------------------------------------------------------------------------------------


def test_who_says_nothing_is_let_go(door: Frontdoor) -> None:
    with over_in_time(door, "idle_timeout"), Wire(door.address) as wire:
        assert wire.rest() == (b"", "closed")


def test_half_a_head_is_answered_408(door: Frontdoor) -> None:
    with over_in_time(door, "bad_request"), Wire(door.address) as wire:
        answer = wire.say(b"GET / HTTP/1.1\r\nHost: x\r\n").answer()
        assert (answer.status, answer.field("Connection")) == (408, "close")
        assert wire.rest() == (b"", "closed")


def test_a_head_that_drips_is_no_better(door: Frontdoor, wire: Wire) -> None:
    """It is the whole head that has so much time, not each of its bytes."""
    wire.sock.settimeout(LIMIT / 10)
    came, began = b"", time.monotonic()
    for byte in get(fields=b"X-Long: " + b"l" * 200 + b"\r\n"):
        wire.say(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            came = wire.sock.recv(9)
        if came:
            break
    assert came + wire.sock.recv(3) == b"HTTP/1.1 408"
    assert time.monotonic() - began < LATE


def test_a_second_head_has_its_time_from_its_first_byte(door: Frontdoor, wire: Wire) -> None:
    for _ in range(3):
        wire.ask(get())
        time.sleep(LIMIT / 2)
    with over_in_time(door, "bad_request"):
        assert wire.say(b"GET").answer().status == 408


def test_half_a_body_is_answered_408(door: Frontdoor, wire: Wire, backend: Backend) -> None:
    wire.say(request("POST", "digest", "half-a-body", fields=b"Content-Length: 10\r\n") + b"hello")
    with over_in_time(door, "idle_timeout"):
        answer = wire.answer()
        assert (answer.status, answer.field("Connection")) == (408, "close")
    assert wire.rest() == (b"", "closed")
    until(lambda: backend.ends[backend.request("half-a-body")["connection"]] == "closed", "the backend is told")


def test_a_body_that_comes_slowly_but_comes_is_whole(wire: Wire) -> None:
    wire.say(request("POST", "digest", fields=b"Content-Length: 10\r\n"))
    for byte in b"0123456789":
        time.sleep(LIMIT / 4)
        wire.say(bytes([byte]))
    assert wire.answer().json["length"] == 10


def test_a_connection_without_requests_is_closed(door: Frontdoor, wire: Wire) -> None:
    wire.ask(get())
    began = time.monotonic()
    assert wire.rest() == (b"", "closed")
    assert LIMIT * 0.9 < time.monotonic() - began < LATE


def test_a_client_who_does_not_read_is_cut(door: Frontdoor, backend: Backend) -> None:
    steps = (say(OK + b"Content-Length: 50000000\r\n\r\n"), "fill=50000000", "does-not-read")
    with Wire(door.address, small_buffers=True) as wire, over_in_time(door, "idle_timeout"):
        wire.say(get(*steps))
        until(lambda: backend.heads("does-not-read"), "the request is there")
        number = backend.request("does-not-read")["connection"]
        until(lambda: backend.ends[number], "the backend is rid of him")
    assert backend.ends[number] in ("reset", "closed")


def test_a_client_who_reads_slowly_but_reads_gets_all(door: Frontdoor) -> None:
    size = 6_000_000
    with Wire(door.address, small_buffers=True) as wire:
        wire.say(get(say(OK + b"Content-Length: %d\r\n\r\n" % size), f"fill={size}"))
        wire.head()
        began, came = time.monotonic(), 0
        while time.monotonic() - began < 3 * LIMIT:
            came += len(wire.some(10_000))
            time.sleep(0.02)
        assert came < size / 2, "he is slow"
        assert len(wire.some(size - came)) == size - came


# -- backends ----------------------------------------------------------------------------------------------------------


def test_a_backend_that_does_not_answer_is_504(door: Frontdoor, wire: Wire, backend: Backend) -> None:
    with over_in_time(door, "idle_timeout"):
        assert wire.ask(get("silent", "no-answer")).status == 504
    assert wire.ask(get()).body == b"v1#1\n", "the client's connection is as good as before"
    until(lambda: backend.ends[backend.request("no-answer")["connection"]] == "closed", "its connection is not used")
    said = door.logs("answer.broken", request="GET /silent/no-answer")
    assert "no answer within 0.4 s" in said["reason"]


def test_the_time_for_an_answer_begins_with_the_end_of_the_request(door: Frontdoor, wire: Wire) -> None:
    wire.say(request("POST", "body", "silent", fields=b"Transfer-Encoding: chunked\r\n"))
    for _ in range(4):
        time.sleep(LIMIT / 2)
        wire.say(b"1\r\nx\r\n")
    with over_in_time(door, "idle_timeout"):
        assert wire.say(b"0\r\n\r\n").answer().status == 504


def test_interim_answers_are_no_answer(door: Frontdoor, wire: Wire) -> None:
    with over_in_time(door, "idle_timeout"):
        answer = wire.ask(get(say(b"HTTP/1.1 102 Processing\r\n\r\n"), "silent"))
        assert (len(answer.interim), answer.status) == (1, 504)


def test_an_answer_that_has_begun_may_take_its_time(wire: Wire) -> None:
    """Events for a page, with hours between them."""
    events = say(OK + b"Transfer-Encoding: chunked\r\n\r\n"), "sleep=1.2", say(chunked(b"event"))
    assert wire.ask(get(*events)).body == b"event"


def test_idle_connections_to_a_backend_are_closed(wire: Wire, backend: Backend) -> None:
    wire.ask(get("who", "kept-for-a-while"))
    number = backend.request("kept-for-a-while")["connection"]
    began = time.monotonic()
    until(lambda: backend.ends[number] == "closed", "it is closed")
    assert LIMIT * 0.8 < time.monotonic() - began < LATE


# -- many --------------------------------------------------------------------------------------------------------------

MANY = 1000
PATIENCE = 4.0
"""Seconds for a head, in the door that they come to."""


def test_many_who_drip_cost_little_and_others_go_on(shared: Shared) -> None:
    door = shared.anew(**http_door(http={"head_timeout": f"{PATIENCE}s"}))
    part = get(fields=b"Cookie: " + b"c" * 200 + b"\r\n")[:-4]
    pid = door.status()["door_pid"]
    with contextlib.ExitStack() as stack, Wire(door.address) as other:
        other.ask(get())
        before = resident(pid)
        began = time.monotonic()
        slow = [stack.enter_context(Wire(door.address)) for _ in range(MANY)]
        for each in slow:
            each.say(part[: len(part) // 2])
        for each in slow:
            each.say(part[len(part) // 2 :])
        latencies = []
        for number in range(100):
            slow[number].say(b"!")
            asked = time.monotonic()
            assert other.ask(get()).status == 200
            latencies.append(time.monotonic() - asked)
        assert door.status()["streams"]["open"] == MANY
        each_costs = (resident(pid) - before) / MANY
        median = statistics.median(latencies)
        print(
            f"{MANY} half heads of {len(part)} bytes: {each_costs / 1024:.1f} KiB each;"
            f" {median * 1000:.2f} ms for a request beside them"
        )
        assert time.monotonic() - began < PATIENCE, "this machine is too slow to see them all at once"
        assert each_costs < 8192
        assert median < 0.05
        assert all(each.answer().status == 408 for each in slow)
        assert time.monotonic() - began < PATIENCE + 2 * LATE
        assert other.ask(get()).status == 200
    until(lambda: door.status()["streams"]["open"] == 0, "all are gone")
    shared.leave()


def resident(pid: int) -> int:
    """Bytes of memory that the process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
