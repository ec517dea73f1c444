"""Real servers behind frontdoor: what is open at the switch ends on the old version, and nothing is lost."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
from trio_websocket import wrap_client_stream

from e2e.harness import Frontdoor, until
from e2e.swarm import BACKENDS, EVERYTHING, READY, UVICORN, swaps_under_load
from load import Clients, table
from load.http import HttpConnection

Serve = Callable[..., Frontdoor]

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here: apt-get install nodejs")

COMMANDS = {
    "uvicorn": UVICORN,
    "gunicorn": ["gunicorn", "--chdir", BACKENDS, "-k", "asgi", "--keep-alive", "75", "-b", "unix:{socket}", "web:app"],
    "hypercorn": ["hypercorn", "-b", "unix:{socket}", "--keep-alive", "75", os.path.join(BACKENDS, "web.py") + ":app"],
    "trio-websocket": ["{python}", os.path.join(BACKENDS, "chat.py"), "--version", "{version}"],
    "node": ["node", os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "server.js")],
}
CLIENTS = dict.fromkeys(COMMANDS, EVERYTHING) | {
    "trio-websocket": dataclasses.replace(EVERYTHING, slow=0, stream=0, upload=0),
    "node": dataclasses.replace(EVERYTHING, websockets=0),
}

SERVERS = [pytest.param(name, marks=needs_node if name == "node" else ()) for name in COMMANDS]


def serving(anew: Serve, name: str) -> Frontdoor:
    """A door with that server behind it."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    backend = {"command": COMMANDS[name], "env": {"PATH": path}, "stop_timeout": "30s"}
    return anew(backends={"*": backend}, ready=READY)


@pytest.mark.parametrize("name", SERVERS)
def test_swaps_under_load(anew: Serve, name: str) -> None:
    door = serving(anew, name)
    outcome = trio.run(lambda: swaps_under_load(door, CLIENTS[name], ("v2", "v1")))
    result = outcome.result
    print(f"{name}: {result.total}, `frontdoor swap` took {max(outcome.swaps):.2f} s at the most")
    assert result.ok, table(result)
    assert set(result.generations) == {"v1#1", "v2#2", "v1#3"}

    until(lambda: len(door.logged("generation.stopped")) == 2, "what was replaced is stopped", 60)
    ledger = door.status()["streams"]
    assert ledger["accepted"] == result.total.connections == sum(ledger["ended"].values())
    assert set(ledger["ended"]) <= {"client_closed", "backend_closed"}, ledger
    exits = {exited["generation"]: exited["status"] for exited in door.logged("backend.exited")}
    assert set(exits.values()) <= {0, -15}, f"on its stop signal, in its own way: {exits}"


# -- the same, one thing after the other -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
def test_what_is_open_at_the_switch_ends_on_the_old_version(anew: Serve, name: str) -> None:
    trio.run(one_switch, serving(anew, name), CLIENTS[name])


async def one_switch(door: Frontdoor, able: Clients) -> None:
    """A connection of each kind that the server is able to: opened on v1, used to its end after the switch."""
    async with contextlib.AsyncExitStack() as opened:
        goes_on = [await opened.enter_async_context(kept_connection(door))]
        if able.websockets:
            goes_on.append(await opened.enter_async_context(websocket(door)))
        if able.stream:
            goes_on.append(await opened.enter_async_context(streamed_body(door)))
        if able.upload:
            goes_on.append(await opened.enter_async_context(half_sent_upload(door)))

        await trio.to_thread.run_sync(door.swap, "v2")
        assert await who_answers(door) == "v2#2"
        old = await trio.to_thread.run_sync(door.generation, "v1#1")
        assert (old["state"], old["streams"]["open"]) == ("draining", len(goes_on))
        for go_on in goes_on:
            await go_on()
    await trio.to_thread.run_sync(lambda: door.logs("generation.stopped", generation="v1#1"))


GoOn = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def kept_connection(door: Frontdoor) -> AsyncIterator[GoOn]:
    http = await HttpConnection.open(await address(door))
    assert (await http.request("GET", "/whoami")).generation == "v1#1"

    async def go_on() -> None:
        assert (await http.request("GET", "/whoami")).generation == "v1#1"
        assert (await http.request("GET", "/whoami", last=True)).generation == "v1#1"

    yield go_on
    await http.aclose()


@contextlib.asynccontextmanager
async def websocket(door: Frontdoor) -> AsyncIterator[GoOn]:
    async with await connect(door) as stream, trio.open_nursery() as nursery:
        ws = await wrap_client_stream(nursery, stream, "test", "/echo")
        assert json.loads(await ws.get_message())["generation"] == 1
        await ws.send_message("sent before the switch")

        async def go_on() -> None:
            assert await ws.get_message() == "sent before the switch"
            for number in range(100):
                await ws.send_message(f"message {number}")
            assert [await ws.get_message() for _ in range(100)] == [f"message {number}" for number in range(100)]

        yield go_on
        await ws.aclose()
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def streamed_body(door: Frontdoor) -> AsyncIterator[GoOn]:
    length = 200 * 100_000  # far more than what the buffers on the way take: it cannot end before it is read
    async with await connect(door) as stream:
        target = b"/stream?chunks=200&interval=0&size=100000"
        await stream.send_all(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        begun = bytes(await stream.receive_some())
        assert b"v1#1" in begun.partition(b"\r\n\r\n")[0]

        async def go_on() -> None:
            body = unchunked((begun + await rest(stream)).partition(b"\r\n\r\n")[2])
            assert body[length:] == f"\nsha256 {hashlib.sha256(body[:length]).hexdigest()}\n".encode()

        yield go_on


@contextlib.asynccontextmanager
async def half_sent_upload(door: Frontdoor) -> AsyncIterator[GoOn]:
    body = os.urandom(1 << 20)
    async with await connect(door) as stream:
        head = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all(head.encode() + body[: len(body) // 2])

        async def go_on() -> None:
            await stream.send_all(body[len(body) // 2 :])
            head, _, answer = (await rest(stream)).partition(b"\r\n\r\n")
            assert b"v1#1" in head
            wanted = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            assert json.loads(unchunked(answer) if b"chunked" in head.lower() else answer) == wanted

        yield go_on


# -- clients ----------------------------------------------------------------------------------------------------------


async def address(door: Frontdoor) -> str:
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    return f"{host}:{port}"


async def connect(door: Frontdoor) -> trio.SocketStream:
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    return await trio.open_tcp_stream(host, port)


async def who_answers(door: Frontdoor) -> str:
    """Who answers a new connection."""
    http = await HttpConnection.open(await address(door))
    answer = await http.request("GET", "/whoami", last=True)
    await http.aclose()
    return answer.generation


async def rest(stream: trio.SocketStream) -> bytes:
    """All that comes, to the end."""
    came = bytearray()
    with trio.fail_after(60):
        async for data in stream:
            came += data
    return bytes(came)


def unchunked(body: bytes) -> bytes:
    """A body without the framing of `Transfer-Encoding: chunked` (RFC 9112, 7.1)."""
    whole, at = bytearray(), 0
    while True:
        line = body.index(b"\r\n", at)
        size, at = int(body[at:line], 16), line + 2
        if not size:
            return bytes(whole)
        whole += body[at : at + size]
        at += size + 2
