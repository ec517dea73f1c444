"""Backends that do not speak HTTP as they should: 502, or an end that the client can tell; and the door goes on."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.wire import OK, Backend, Wire, chunked, drip, get, http_door, post, request, say, sized

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NO_MORE = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it. When all clients have left, nothing of them is left over, and nobody is busy."""
    door = shared.anew(**http_door())
    pid = door.status()["door_pid"]
    before = descriptors(pid)
    yield door
    until(lambda: descriptors(pid) <= before + KEPT, "nothing is left open")
    worked = ticks(pid)
    time.sleep(0.5)
    assert ticks(pid) - worked <= 5, "of fifty, while nothing is asked of it"
    shared.leave()


KEPT = 16
"""Descriptors that may be kept for a next time: of pipes, and of connections to backends."""


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def ticks(pid: int) -> int:
    """Hundredths of a second of CPU that the process has used (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture(scope="module")
def stays(door: Frontdoor) -> Iterator[Wire]:
    """A client who has nothing to do with it."""
    with Wire(door.address) as wire:
        yield wire


@pytest.fixture(autouse=True)
def _goes_on(stays: Wire, door: Frontdoor, backend: Backend) -> Iterator[None]:
    """After each of these tests others are served, and no connection is used again that something was wrong with."""
    yield
    for _ in range(3):
        assert stays.ask(get("who")).body == b"v1#1\n"
    requests = backend.requests
    for number in {each["connection"] for each in requests}:
        heads = [each["head"] for each in requests if each["connection"] == number]
        assert not any("/bad" in head for head in heads[:-1]), "what was bad is the last on its connection"
    assert door.status()["streams"]["open"] == 0


# -- nothing of the answer was passed on yet ------------------------------------------------------------------------


def bad(*steps: str) -> bytes:
    return get("bad", *steps)


NO_ANSWER = {
    "nothing": bad("close"),
    "garbage": bad(say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "garbage without end": bad(say(b"\0" * 5000), "close"),
    "too much garbage": bad("fill=400000"),
    "an endless head": bad(say(OK), say(b"X: y\r\n" * 50), *[say(b"X-Long: " + b"l" * 4000)] * 3, "fill=300000"),
    "half a status line": bad(say(b"HTTP/1."), "close"),
    "half a head": bad(say(OK + b"Content-Length: 5\r\nX-Ha"), "close"),
    "half a head, dripping": bad(drip(OK + b"X: "), "close"),
    "another protocol": bad(say(b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n")),
    "no such version": bad(say(b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n")),
    "a status of two digits": bad(say(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")),
    "a status of four digits": bad(say(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")),
    "status 099": bad(say(b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n")),
    "a number that is none": bad(say(OK + b"Content-Length: five\r\n\r\nhello")),
    "a length below nothing": bad(say(OK + b"Content-Length: -5\r\n\r\nhello")),
    "two lengths": bad(say(OK + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello")),
    "both kinds of length": bad(say(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    "a coding that nobody knows": bad(say(OK + b"Transfer-Encoding: gzip\r\n\r\nhello")),
    "a blank before the colon": bad(say(OK + b"Content-Length : 5\r\n\r\nhello")),
    "a folded line": bad(say(OK + b"X: y\r\n z\r\nContent-Length: 0\r\n\r\n")),
    "a line that is no field": bad(say(OK + b"hello\r\nContent-Length: 0\r\n\r\n")),
    "a bare CR": bad(say(OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n")),
    "NUL": bad(say(OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n")),
    "101 that nobody asked for": bad(
        say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    ),
    "100 and then nothing": post("bad", say(b"HTTP/1.1 102 Processing\r\n\r\n"), "close", body=b"x"),
    "chunks that are none, at once": bad(say(CHUNKED + b"hello\r\n")),
    "a reset": post("bad", "reset", body=b"x" * 200_000),
}


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_502_where_nothing_was_said_yet(door: Frontdoor, kind: str) -> None:
    with Wire(door.address) as wire:
        answer = wire.ask(NO_ANSWER[kind])
        assert answer.status == 502
        assert b"502" in answer.body
        assert b"v1#1" not in answer.body, "what is behind the door is not for everybody"
        if answer.field("Connection") != "close":
            assert wire.ask(get("who")).body == b"v1#1\n", "the client's connection is as good as before"


# -- a part was passed on ---------------------------------------------------------------------------------------------

CUT = {
    "fewer bytes than said": bad(say(OK + b"Content-Length: 100\r\n\r\n0123456789"), "close"),
    "none of those that were said": bad(say(OK + b"Content-Length: 100\r\n\r\n"), "close"),
    "fewer of many": bad(say(OK + b"Content-Length: 3000000\r\n\r\n"), "fill=2999999", "close"),
    "a chunk cut short": bad(say(CHUNKED + b"ff\r\nhello"), "close"),
    "no last chunk": bad(say(CHUNKED + b"5\r\nhello\r\n"), "close"),
    "half of the end": bad(say(CHUNKED + b"5\r\nhello\r\n0\r\n"), "close"),
    "a chunk's size that is none": bad(say(CHUNKED + b"5\r\nhello\r\n"), "sleep=0.05", say(b"xyz\r\nhello\r\n")),
    "a chunk longer than said": bad(say(CHUNKED + b"5\r\nhello\r\n"), "sleep=0.05", say(b"5\r\nhello!\r\n0\r\n\r\n")),
    "a trailer that is none": bad(say(CHUNKED + b"5\r\nhello\r\n"), "sleep=0.05", say(b"0\r\ntrailer\r\n\r\n")),
    "a reset": post("bad", say(OK + b"Content-Length: 100\r\n\r\nhello"), "reset", body=b"x" * 200_000),
}


@pytest.mark.parametrize("kind", CUT)
def test_the_client_can_tell_that_the_answer_is_not_whole(door: Frontdoor, kind: str) -> None:
    with Wire(door.address) as wire:
        wire.say(CUT[kind])
        head = wire.head()
        body, _ = wire.rest()
        assert head.startswith(OK)
        assert b"502" not in body, "a second answer would be taken for a part of the first"
        if b"chunked" in head:
            assert not body.endswith(b"0\r\n\r\n")
        else:
            assert len(body) < int(head.partition(b"Length: ")[2].split(b"\r")[0])


def test_a_reset_is_passed_on_where_the_end_would_say_that_all_is_there(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        wire.say(post("bad", say(OK + b"\r\nhalf of it"), "sleep=0.05", "reset", body=b"x" * 200_000))
        body, end = wire.rest()
        assert body.startswith(OK) or not body  # a reset may overtake what was sent
        assert end == "reset"


def test_a_backend_that_is_killed_in_the_middle(door: Frontdoor) -> None:
    with Wire(door.address) as silent, Wire(door.address) as half:
        silent.say(post("bad", "silent", body=b"not to be sent twice"))
        half.say(bad(say(OK + b"Content-Length: 100\r\n\r\nhello"), "silent"))
        half.head()
        backend = Backend(door)
        until(lambda: len(backend.heads("/bad")) >= 2, "both are there")
        pid = door.process("v1#1")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert silent.answer().status == 502
        assert half.rest()[0] == b"hello"
    # One that is dying takes connections as long as its socket is there.
    until(lambda: door.process("v1#1")["pid"] not in (pid, None), "another process is there")
    with Wire(door.address) as wire:
        assert wire.ask(get("who")).body == b"v1#1\n", "it waits for the one that takes its place"


# -- more than there should be ----------------------------------------------------------------------------------------

MORE = {
    "more bytes than said": (bad(say(sized(b"hello") + b"you")), b"hello"),
    "two answers": (bad(say(sized(b"hello") * 2)), b"hello"),
    "bytes behind the last chunk": (bad(say(CHUNKED + chunked(b"hello") + b"you")), b"hello"),
    "a body for HEAD": (request("HEAD", "bad", say(sized(b"hello"))), b""),
    "a body of 204": (bad(say(b"HTTP/1.1 204 No Content\r\n\r\nhello")), b""),
    "a body of 304": (bad(say(b"HTTP/1.1 304 Not Modified\r\n\r\nhello")), b""),
}


@pytest.mark.parametrize("kind", MORE)
def test_what_is_too_much_reaches_nobody(door: Frontdoor, kind: str) -> None:
    asked, wanted = MORE[kind]
    with Wire(door.address) as wire:
        for _ in range(3):
            assert wire.ask(asked).body == wanted
            assert wire.ask(get("who")).body == b"v1#1\n"


def test_what_a_backend_says_to_nobody_ends_its_connection(door: Frontdoor, backend: Backend) -> None:
    with Wire(door.address) as wire:
        wire.ask(get("bad", "talks", say(sized(b"x")), "wait=talk", say(sized(b"to nobody"))))
        number = backend.request("talks")["connection"]
        door.touch("talk")
        until(lambda: backend.ends[number], "it is closed")
        assert wire.ask(get("who")).body == b"v1#1\n"


# -- what is said of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "steps", "reason", "told"),
    [
        ("bad/garbage", [say(b"SSH-2.0\r\n\r\n")], "first line", None),
        ("bad/nothing", ["close"], "closed the connection without an answer", None),
        ("bad/half-a-head", [say(OK), "close"], "in the middle of the head", None),
        ("bad/half", [say(OK + b"Content-Length: 9\r\n\r\n"), "close"], "in the middle of the answer", 200),
        ("bad/chunks", [say(CHUNKED + b"5\r\nhello\r\n"), "sleep=0.05", say(b"x\r\n")], "chunk", 200),
        ("bad/more", [say(sized(b"hello") + b"you")], "more than", 200),
    ],
)
def test_the_log_says_which_backend_and_what(
    door: Frontdoor, path: str, steps: list[str], reason: str, told: int | None
) -> None:
    asked = get(path, *steps, fields=NO_MORE)

    def is_said() -> bool:
        """Not every one is: there may be thousands."""
        with Wire(door.address) as wire:
            wire.say(asked).rest()
        return bool(door.logged("answer.broken", request=f"GET /{path}/{'/'.join(steps)}"[:204]))

    until(is_said, "it is said")
    said = door.logged("answer.broken", request=f"GET /{path}/{'/'.join(steps)}"[:204])[0]
    assert (said["level"], said["generation"], said["process"]) == ("warning", "v1#1", 0)
    assert reason in said["reason"]
    assert said.get("client_told") == told
    assert said["count"] >= 1
