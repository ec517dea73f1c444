"""An http door while there is nobody to answer: requests wait, and who has waited too long is told so."""

import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.wire import Answer, Backend, Wire, get, http_door, post, raw, redated, request, say, sized

Serve = Callable[..., Shared]

A_WHILE = 0.3
"""Seconds. Who is not held is answered in some milliseconds."""


@pytest.fixture(scope="module")
def frontdoor(shared: Shared) -> Shared:
    """The one that all these tests have a door of."""
    return shared


@pytest.fixture
def serve(frontdoor: Shared) -> Iterator[Serve]:
    """A door for this test, whose backends start when the file `go` is there."""

    def started(**changes: Any) -> Shared:
        frontdoor.touch("go")
        return frontdoor.anew(
            **http_door(backends={"*": {"command": raw("--wait-for", frontdoor.path("go"))}}, **changes)
        )

    yield started
    frontdoor.leave()


def kill_backend(door: Frontdoor) -> None:
    """Its only process dies; the next one is not ready before `go` is there."""
    os.unlink(door.path("go"))
    os.kill(door.process("v1#1")["pid"], signal.SIGKILL)
    until(lambda: door.process("v1#1")["state"] != "up", "its death is known")


def waits(wire: Wire) -> bool:
    """Whether nothing comes for a while."""
    return not select.select([wire.sock], [], [], A_WHILE)[0]


# -- a backend that is restarting --------------------------------------------------------------------------------------


def test_requests_wait_for_a_backend_that_is_restarting(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "20s"})
    with Wire(door.address) as kept, Wire(door.address) as new:
        assert kept.ask(get()).status == 200
        kill_backend(door)
        kept.say(get("who"))
        new.say(post("body", say(sized(b"posted")), body=b"x" * 100_000))
        assert waits(kept)
        assert waits(new)
        door.touch("go")
        assert kept.answer().body == b"v1#1\n"
        assert new.answer().body == b"posted"
    assert door.process("v1#1")["restarts"] == 1


def test_who_waits_too_long_is_told_when_to_come_again(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "400ms"})
    with Wire(door.address) as wire, Wire(door.address) as head, Wire(door.address) as posts:
        kill_backend(door)
        posts.say(request("POST", "digest", fields=b"Content-Length: 5\r\n"))  # and no body yet
        answer = wire.ask(get())
        assert (answer.status, answer.field("Retry-After")) == (503, "5")
        assert_is_a_page(answer, 503)
        assert head.ask(request("HEAD")).status == 503
        assert posts.answer().field("Connection") == "close", "its body may still come, and is no request"
        door.touch("go")
        until(lambda: door.process("v1#1")["state"] == "up", "it is back")
        assert wire.ask(get()).body == b"v1#1\n"
        assert head.ask(get()).body == b"v1#1\n"
    until(lambda: door.status()["streams"]["open"] == 0, "nobody is left")
    assert door.status()["streams"]["ended"]["no_backend"] == 3


def test_who_leaves_while_he_waits_is_not_asked_for(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "20s"})
    kill_backend(door)
    wire = Wire(door.address).say(get("left"))
    until(lambda: door.status()["streams"]["open"] == 1, "he is there")
    wire.reset()
    until(lambda: door.status()["streams"]["open"] == 0, "he is gone")
    door.touch("go")
    with Wire(door.address) as other:
        assert other.ask(get()).status == 200
    assert not Backend(door).heads("/left")


# -- pause -------------------------------------------------------------------------------------------------------------


def test_requests_on_open_connections_wait_until_the_pause_is_over(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "20s"})
    with Wire(door.address) as kept, Wire(door.address) as busy:
        assert kept.ask(get()).status == 200
        backend = Backend(door)
        busy.say(get("wait=finish", "who"))
        until(lambda: backend.heads("wait=finish"), "a request is under way")
        assert door.run("pause").returncode == 0
        kept.say(get("held") + get("held"))
        with Wire(door.address) as new:
            new.say(get("held"))
            assert waits(kept)
            assert waits(new)
            assert not backend.heads("/held")
            door.touch("finish")
            assert busy.answer().body == b"v1#1\n", "what is under way goes on"
            door.swap("v2")
            assert waits(kept)
            assert door.run("resume").returncode == 0
            assert [each.answer().body for each in (kept, kept, new)] == [b"v2#2\n"] * 3
        assert busy.ask(get()).body == b"v2#2\n"


def test_a_pause_that_is_too_long_for_them(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "400ms"})
    with Wire(door.address) as kept:
        kept.ask(get())
        assert door.run("pause").returncode == 0
        answer = kept.ask(get("held"))
        assert answer.status == 503
        assert answer.field("Retry-After")
        assert_is_a_page(answer, 503)
        assert door.run("resume").returncode == 0
        assert kept.ask(get()).body == b"v1#1\n", "his connection goes on"
        assert not Backend(door).heads("/held")


def test_who_leaves_in_a_pause_is_forgotten(serve: Serve) -> None:
    door = serve(limits={"hold_timeout": "20s"})
    wire = Wire(door.address)
    wire.ask(get())
    assert door.run("pause").returncode == 0
    wire.say(get("held"))
    until(lambda: door.status()["streams"]["open"] == 1, "it waits")
    wire.reset()
    until(lambda: door.status()["streams"]["open"] == 0, "it is gone")
    assert door.run("resume").returncode == 0
    with Wire(door.address) as other:
        assert other.ask(get()).status == 200
    assert not Backend(door).heads("/held")


# -- too many, and other rules ----------------------------------------------------------------------------------------


def test_idle_connections_make_room_for_who_has_something_to_ask(serve: Serve) -> None:
    door = serve(limits={"connections": 3})
    with Wire(door.address) as first, Wire(door.address) as second, Wire(door.address) as third:
        idle = (first, second, third)
        assert [wire.ask(get()).status for wire in idle] == [200] * 3
        new = Wire(door.address)
        assert new.ask(get()).status == 200
        assert idle[0].rest() == (b"", "closed"), "the one that has been idle for the longest time"
        assert idle[1].ask(get()).status == 200
        busy = [wire.say(get("wait=not-busy", "who")) for wire in (idle[1], idle[2], new)]
        backend = Backend(door)
        until(lambda: len(backend.heads("wait=not-busy")) == 3, "all are busy")
        with Wire(door.address) as late:
            late.say(get())
            assert waits(late), "nobody is sent away for him"
            door.touch("not-busy")
            assert [wire.answer().status for wire in busy] == [200] * 3
            assert late.answer().status == 200
        new.close()


def test_a_reload_holds_for_the_next_request_of_an_open_connection(serve: Serve) -> None:
    door = serve()
    with Wire(door.address) as wire:
        assert wire.ask(post("digest", body=b"x" * 5000)).status == 200
        door.change(**http_door(http={"max_body": "1KiB"}))
        assert door.outcome("/v1/reload", {})["exit_code"] == 0
        assert wire.ask(get()).status == 200
        assert wire.ask(post("digest", body=b"x" * 5000)).status == 413


# -- pages -------------------------------------------------------------------------------------------------------------


def assert_is_a_page(answer: Answer, status: int) -> None:
    """One of frontdoor's own: small and plain."""
    assert answer.field("Content-Type") == "text/plain; charset=utf-8"
    assert answer.field("Cache-Control") == "no-store"
    assert answer.field("Date")
    lines = answer.body.decode().split("\n")
    assert lines[0].startswith(f"{status} ")
    assert len(answer.body) < 500


def test_pages_of_one_s_own(serve: Serve, frontdoor: Shared) -> None:
    os.mkdir(frontdoor.path("pages"))
    page = "<!doctype html><title>{status} {reason}</title><p>{message}</p><code>{request_id}</code>{unknown}"
    frontdoor.write(page, "pages/502.html")
    frontdoor.write("it was you", "pages/400.html")
    door = serve(http={"error_pages": frontdoor.path("pages")})
    with Wire(door.address) as wire:
        answer = wire.ask(get("close"))
        assert (answer.status, answer.field("Content-Type")) == (502, "text/html; charset=utf-8")
        text = answer.body.decode()
        assert text.startswith("<!doctype html><title>502 Bad Gateway</title><p>the backend ")
        assert text.endswith("</code>{unknown}")
        shown = re.search("<code>(.+)</code>", text)
        assert shown
        assert f"X-Request-Id: {shown[1]}\r\n".encode() in Backend(door).heads("/close")[-1], "one can look it up"
        own = sized(b"the app's own").replace(b"200 OK", b"502 Bad Gateway")
        assert wire.ask(get(say(own))).body == b"the app's own", "what a backend says is never replaced"
        assert wire.say(b"nonsense\r\n\r\n").answer().body == b"it was you"
    with Wire(door.address) as wire:
        assert_is_a_page(wire.ask(request("CONNECT")), 501)


def test_a_page_has_no_body_for_head(serve: Serve) -> None:
    door = serve()
    with Wire(door.address) as wire:
        whole = wire.ask(get("close"))
        head = wire.ask(request("HEAD", "close"))
        id_length = len(whole.body.split()[-1])
        assert redated(head.head) == redated(whole.head)
        assert int(head.field("Content-Length")) == len(whole.body)
        assert id_length > 8
        assert wire.ask(get()).body == b"v1#1\n"
