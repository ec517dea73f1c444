"""Connections to backends are kept, and die: a request that may be asked twice is, and no other."""

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.swarm import READY, UVICORN
from e2e.test_servers import COMMANDS, needs_node
from e2e.wire import Backend, Wire, get, http_door, post, raw, request, say, sized

Serve = Callable[..., Frontdoor]

DIES_LATER = ("later", "close")
"""The first request of a connection is answered, and the next one ends it."""


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door())
    shared.leave()


@pytest.fixture(scope="module")
def backend(door: Frontdoor) -> Backend:
    return Backend(door)


@pytest.fixture
def wire(door: Frontdoor, backend: Backend) -> Iterator[Wire]:
    """A client; one connection to the backend is kept, which has carried one request."""
    with Wire(door.address) as wire:
        while backend.still_open():  # those of the test before
            wire.ask(get("close"))
        assert wire.ask(get("who")).status == 200
        assert backend.still_open() == 1
        yield wire


def connections(backend: Backend, tag: str) -> list[int]:
    """The connections that requests with that in their heads came on."""
    return [each["connection"] for each in backend.requests if tag in each["head"]]


def test_one_connection_carries_one_request_after_the_other(wire: Wire, backend: Backend) -> None:
    for _ in range(5):
        wire.ask(get("who", "one-after-the-other"))
    assert len(set(connections(backend, "one-after-the-other"))) == 1
    assert backend.still_open() == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"])
def test_what_met_a_dead_connection_is_asked_once_more(wire: Wire, backend: Backend, method: str) -> None:
    steps = (*DIES_LATER, f"again-{method}")
    assert wire.say(request(method, *steps)).answer(method).status == 200
    kept, fresh = connections(backend, f"again-{method}")
    assert kept != fresh
    assert backend.ends[kept] == "closed here"
    first, second = backend.heads(f"again-{method}")
    assert first == second, "the same question, with the same id"


@pytest.mark.parametrize("method", ["POST", "PATCH", "FROBNICATE"])
def test_what_may_not_be_asked_twice_gets_a_connection_of_its_own(wire: Wire, backend: Backend, method: str) -> None:
    for _ in range(3):
        assert wire.ask(request(method, *DIES_LATER, f"once-{method}")).status == 200
    assert len(set(connections(backend, f"once-{method}"))) == 3
    assert wire.ask(request(method, "close", f"dies-{method}")).status == 502
    assert len(connections(backend, f"dies-{method}")) == 1


def test_a_body_is_not_sent_twice(wire: Wire, backend: Backend) -> None:
    for _ in range(3):
        assert wire.ask(request("PUT", "body", *DIES_LATER, "put-body", body=b"hello")).status == 200
    assert len(set(connections(backend, "put-body"))) == 3


def test_it_is_asked_once_more_and_not_twice(wire: Wire, backend: Backend) -> None:
    assert wire.ask(get("close", "always")).status == 502
    assert len(connections(backend, "always")) == 2


def test_who_was_answered_with_a_single_byte_is_not_asked_again(wire: Wire, backend: Backend) -> None:
    assert wire.ask(get("later", say(b"H"), "close", "single-byte")).status == 502
    assert len(connections(backend, "single-byte")) == 1


def test_a_first_request_is_not_asked_again(door: Frontdoor, wire: Wire, backend: Backend) -> None:
    """A new connection that dies says something of the backend, not of the connection's age."""
    wire.say(get("wait=both", "close", "first-of-all"))
    with Wire(door.address) as other:
        other.say(get("wait=both", "close", "first-of-all"))  # the kept one is taken already
        until(lambda: len(connections(backend, "first-of-all")) == 2, "both are there")
        door.touch("both")
        assert {wire.answer().status, other.answer().status} == {502}
    assert len(connections(backend, "first-of-all")) == 3, "that of the kept one was asked again, and the other was not"


def test_a_client_who_has_gone_is_not_asked_for_again(wire: Wire, backend: Backend, door: Frontdoor) -> None:
    wire.say(get("later", "wait=gone", "close", "client-gone"))
    until(lambda: connections(backend, "client-gone"), "the request is there")
    wire.reset()
    (number,) = connections(backend, "client-gone")
    door.touch("gone")
    until(lambda: backend.ends[number], "its connection is closed")
    with Wire(door.address) as other:
        assert other.ask(get("who")).status == 200
    assert len(connections(backend, "client-gone")) == 1


def test_idle_connections_are_closed_by_either_side(door: Frontdoor, wire: Wire, backend: Backend) -> None:
    """The backend's end is noticed at once; the next request does not even meet it."""
    assert wire.ask(get(say(sized(b"x")), "sleep=0.01", "close", "closes-when-idle")).status == 200
    (number,) = connections(backend, "closes-when-idle")
    until(lambda: backend.ends[number], "it is closed")
    assert wire.ask(get("who", "after-that")).status == 200
    assert len(connections(backend, "after-that")) == 1


# -- servers that close idle connections -------------------------------------------------------------------------------

CLIENTS, REQUESTS = 4, 250

IDLE = {
    "raw": (raw("--idle", "0.01"), 0.01),
    "uvicorn": ([option if option != "75" else "0" for option in UVICORN], 0.001),
    "node": (COMMANDS["node"], 0.01),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_node if name == "node" else ()) for name in IDLE])
def test_of_a_thousand_requests_to_a_server_that_closes_none_fails(serving: Serve, name: str) -> None:
    """Each comes at about the time at which the server closes the connection that was kept for it."""
    command, pause = IDLE[name]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {"PATH": path, "KEEP_ALIVE_MS": str(int(pause * 1000))}
    ready = READY if name != "raw" else {"check": "connect", "interval": "20ms"}
    door = serving(**http_door(backends={"*": {"command": command, "env": env}}, ready=ready))
    failures: list[str] = []
    address = door.address

    def client(number: int) -> None:
        rng = random.Random(number)
        try:
            with Wire(address) as wire:
                for _ in range(REQUESTS):
                    answer = wire.ask(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert answer.status == 200, answer
                    time.sleep(pause * rng.uniform(0.8, 1.2))
        except (OSError, AssertionError) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert door.logged("answer.broken") == []
    ended = until(lambda: (found := door.status()["streams"])["open"] == 0 and found["ended"], "all have left")
    assert ended["answered"] == CLIENTS * REQUESTS


@pytest.fixture
def serving(shared: Shared) -> Iterator[Serve]:
    """The same frontdoor with another door. It comes after the tests of the one that these share."""
    yield shared.anew
    shared.leave()


def test_posts_to_such_a_server_do_not_fail_either(serving: Serve) -> None:
    door = serving(**http_door(backends={"*": {"command": raw("--idle", "0.001")}}))
    with Wire(door.address) as wire:
        for number in range(300):
            body = b"%d" % number
            assert wire.ask(post("body", say(sized(body)), body=body)).body == body
