"""Upgrades through an http door: after the 101 a connection is a plain stream, which stays with its version."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
import trio

from browser import CHROMIUM, chromium
from e2e.harness import Frontdoor, until
from e2e.shared import Shared
from e2e.swarm import READY, swaps_under_load
from e2e.test_browser import CHAT, arrive, connected, connections, errors, heard
from e2e.test_browser import say as type_and_send
from e2e.test_servers import CLIENTS, COMMANDS, SERVERS
from e2e.wire import Backend, Wire, get, http_door, post, say
from load import table

Serve = Callable[..., Frontdoor]

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: anything\r\n\r\n"
UPGRADE = b"Connection: keep-alive, Upgrade\r\nUpgrade: anything\r\n"


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """The tests of this file that need nothing special share it. Those with a door of their own come after them."""
    yield shared.anew(**http_door())
    shared.leave()


@pytest.fixture
def own(shared: Shared) -> Iterator[Serve]:
    """A door of its own, in the same frontdoor."""
    yield shared.anew
    shared.leave()


def tunnel(*more: str) -> bytes:
    """A request whose connection becomes an echo."""
    return get(say(SWITCH), "tunnel", *more, fields=UPGRADE)


def echoes(wire: Wire, data: bytes = b"still there?") -> bool:
    return wire.say(data).some(len(data)) == data


# -- heads and what is read ahead --------------------------------------------------------------------------------------


def test_what_is_behind_the_heads_is_the_new_protocol_s(door: Frontdoor) -> None:
    """Both sides speak on at once, without waiting for the other: not a byte is lost, and their order stays."""
    ahead = b"client's " * 2000
    with Wire(door.address) as wire:
        wire.say(get(say(SWITCH + b"server's "), "tunnel", fields=UPGRADE) + ahead)
        assert wire.head() == SWITCH
        assert wire.some(9 + len(ahead)) == b"server's " + ahead
        assert echoes(wire)


def test_the_backend_is_asked_for_the_upgrade(door: Frontdoor) -> None:
    backend = Backend(door)
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    with Wire(door.address) as wire:
        wire.say(get("asked-for", say(SWITCH), "tunnel", fields=UPGRADE + key)).head()
        (head,) = backend.heads("asked-for")
    assert b"\r\nUpgrade: anything\r\n" in head
    assert key in head
    assert b"keep-alive" not in head.lower(), "that was for this hop"


def test_an_upgrade_on_a_connection_that_had_requests_before(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        wire.ask(get())
        wire.say(get("sleep=0.1", "who") + tunnel() + b"behind")
        assert wire.answer().body == b"v1#1\n"
        assert wire.head() == SWITCH
        assert wire.some(6) == b"behind"
        assert echoes(wire)


def test_each_side_may_finish_on_its_own(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        wire.say(get(say(SWITCH), "sleep=0.1", say(b"the rest"), "close", fields=UPGRADE)).head()
        wire.finish()
        assert wire.rest() == (b"the rest", "closed")


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"426 Upgrade Required"])
def test_an_upgrade_that_is_refused_is_a_plain_request(door: Frontdoor, status: bytes) -> None:
    with Wire(door.address) as wire:
        answer = wire.ask(get(say(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nno" % status), fields=UPGRADE))
        assert (answer.head[9:].split(b"\r")[0], answer.body) == (status, b"no")
        assert wire.ask(get()).body == b"v1#1\n", "and its connection goes on"


def test_an_upgrade_with_a_body_is_sent_on_without_the_upgrade(door: Frontdoor) -> None:
    """As curl asks for HTTP/2 with a POST: two protocols' bytes in one connection could not be told apart."""
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    with Wire(door.address) as wire:
        seen = wire.ask(post("body", "echo", fields=h2c, body=b"hello")).body.lower()
        assert b"upgrade" not in seen
        assert b"http2-settings" not in seen
        assert seen.endswith(b"\r\n\r\nhello")
        assert wire.ask(post("body", say(SWITCH), "tunnel", fields=UPGRADE, body=b"x")).status == 502


def test_101_is_believed_only_by_who_has_asked(door: Frontdoor) -> None:
    with Wire(door.address) as wire:
        assert wire.ask(get(say(SWITCH), "tunnel")).status == 502
        assert wire.ask(get(say(SWITCH), "tunnel", fields=b"Upgrade: anything\r\n")).status == 502, "not in Connection"
        assert wire.ask(get()).body == b"v1#1\n"


def test_connect_is_refused(door: Frontdoor) -> None:
    backend = Backend(door)
    with Wire(door.address) as wire:
        assert wire.ask(b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n").status == 501
    assert not backend.heads("CONNECT")


# -- swaps and crashes -------------------------------------------------------------------------------------------------


def test_it_stays_with_its_version_and_is_a_stream_like_any(own: Serve) -> None:
    door = own(**http_door())
    with Wire(door.address) as upgraded, Wire(door.address) as plain:
        upgraded.say(tunnel()).head()
        assert plain.ask(get()).body == b"v1#1\n"
        until(lambda: door.status()["streams"]["open"] == 1, "the plain one is between two requests: no stream")
        door.swap("v2")
        assert plain.ask(get()).body == b"v2#2\n"
        assert echoes(upgraded)
        assert door.generation("v1#1")["state"] == "draining"
        assert door.generation("v1#1")["streams"]["open"] == 1
    door.logs("generation.stopped", generation="v1#1")
    until(lambda: door.status()["streams"]["open"] == 0, "all have left")
    ended = door.status()["streams"]["ended"]
    assert ended == {"answered": 2, "client_closed": 1}


def test_it_lives_through_the_death_of_the_door_process(own: Serve) -> None:
    door = own(**http_door())
    with Wire(door.address) as upgraded, Wire(door.address) as plain:
        upgraded.say(tunnel() + b"ahead").head()
        assert upgraded.some(5) == b"ahead"
        assert plain.ask(get()).body == b"v1#1\n"
        pid = door.status()["door_pid"]
        until(lambda: door.control.ask("/v1/status")["vault"]["streams"] == 1, "it is protected")
        os.kill(pid, signal.SIGKILL)
        assert echoes(upgraded, b"x" * 100_000)
        assert plain.rest()[0] == b"", "an idle connection without an upgrade ends"
        until(lambda: _serves_again(door, pid), "another one serves")
        with Wire(door.address) as new:
            assert new.ask(get()).body == b"v1#1\n"
        assert echoes(upgraded)
        assert door.generation("v1#1")["streams"]["open"] == 1
        door.swap("v2")
        assert echoes(upgraded)
    door.logs("generation.stopped", generation="v1#1")


def _serves_again(door: Frontdoor, killed: int) -> bool:
    with contextlib.suppress(Exception):
        status = door.status()
        return bool(status["door_pid"] != killed and status["active"])
    return False


# -- real servers and a real browser -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [param for param in SERVERS if "gunicorn" not in param.values])
def test_servers_under_load(own: Serve, name: str) -> None:
    """WebSockets, uploads, streamed bodies and kept connections, through one swap: each request to whom it belongs."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    backend = {"command": COMMANDS[name], "env": {"PATH": path}, "stop_timeout": "30s"}
    door = own(protocol="http", backends={"*": backend}, ready=READY)
    outcome = trio.run(lambda: swaps_under_load(door, CLIENTS[name], ("v2",), per_request=True))
    result = outcome.result
    print(f"{name}: {result.total}, `frontdoor swap` took {max(outcome.swaps):.2f} s")
    assert result.ok, table(result)
    assert set(result.generations) == {"v1#1", "v2#2"}
    until(lambda: door.logged("generation.stopped"), "what was replaced is stopped", 60)
    assert door.logged("answer.broken") == []
    (exited,) = door.logged("backend.exited")
    assert exited["status"] in (0, -15), "on its stop signal, in its own way"


@pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no chromium here: apt-get install chromium")
def test_the_chat_in_a_browser(own: Serve) -> None:
    door = own(protocol="http", backends={"*": {"command": CHAT}}, ready=READY)
    trio.run(visit, door)


async def visit(door: Frontdoor) -> None:
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    async with chromium() as browser:
        ada = await arrive(browser, f"http://{host}:{port}/", "Ada", "v1#1")
        await type_and_send(ada, "on v1")
        await heard(ada, "on v1", "v1#1")
        await trio.to_thread.run_sync(door.swap, "v2")
        await type_and_send(ada, "still on v1")
        await heard(ada, "still on v1", "v1#1")
        assert await connections(ada) == (1, 0)
        # The same browser, on the connections that it has kept for its requests.
        bob = await arrive(browser, f"http://{host}:{port}/", "Bob", "v2#2")
        await heard(bob, "still on v1", "v1#1")
        await connected(bob, "v2#2")
        assert await errors(ada) == []
        assert await errors(bob) == []
