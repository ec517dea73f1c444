"""The chat is told that it drains: its clients are asked to come back, one after the other, and it goes on serving."""

import contextlib
import importlib
import itertools
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from backends.running import ROOT, App
from backends.test_chat import chat, get, say
from load.http import HttpConnection


async def asked_to_come_back(ws: WebSocketConnection) -> float:
    """When, on trio's clock, it was closed with 1012, "service restart"."""
    with trio.fail_after(10), contextlib.suppress(ConnectionClosed):
        while True:
            await ws.get_message()
    assert ws.closed is not None
    assert ws.closed.code == 1012
    return trio.current_time()


def told(app: App) -> None:
    app.process.send_signal(signal.SIGUSR1)


async def test_it_asks_its_clients_to_come_back_and_goes_on_serving(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws") as ada, v1.websocket("/ws") as bob, v1.websocket("/echo") as w:
        await get(ada, "hello")
        await get(bob, "hello")
        await w.get_message()
        kept = await HttpConnection.open(f"unix:{v1.socket}")
        assert (await kept.request("GET", "/healthz")).status == 200

        told(v1)
        for ws in (ada, bob, w):
            await asked_to_come_back(ws)
        assert (await kept.request("GET", "/healthz")).status == 200, "who has a connection keeps it"
        await kept.aclose()
        assert (await v1.get("/whoami")).generation == "v1#7", "and new ones are served"
        assert await v1.stop() == 0


async def test_nobody_is_there_to_be_asked(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        told(v1)
        told(v1)
        assert (await v1.get("/healthz")).status == 200
        assert await v1.stop() == 0


async def test_what_is_said_on_another_process_meanwhile_is_told_to_who_comes_back(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, chat(tmp_path, 8, version="v2") as v2, v2.websocket("/ws") as bob:
        async with v1.websocket("/ws") as ada:
            await get(ada, "hello")
            await say(ada, "before")
            seen = (await get(ada, "message"))["id"]
            told(v1)
            await asked_to_come_back(ada)
        await get(bob, "hello")
        await get(bob, "message")
        for number in range(3):
            await say(bob, f"while away {number}", name="Bob")
            await get(bob, "message")
        async with v2.websocket(f"/ws?since={seen}") as ada:
            assert (await get(ada, "hello"))["version"] == "v2"
            await say(ada, "before")  # sent again, because she cannot know that it had been kept
            await say(ada, "typed while away")
            heard = [(await get(ada, "message"))["text"] for _ in range(4)]
            assert heard == ["while away 0", "while away 1", "while away 2", "typed while away"]


# -- on a clock of its own: who is asked, and when --------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """backends/chat.py, in this process."""
    monkeypatch.syspath_prepend(os.path.join(ROOT, "backends"))
    return importlib.import_module("chat")


@pytest.fixture
def app(module: ModuleType, tmp_path: Path) -> Any:
    return module.App(module.Identity("v1", 7, 1, ""), module.Room(module.History(str(tmp_path / "history"))))


def connected(nursery: trio.Nursery, app: Any) -> Any:
    """A client's end of a new connection."""
    client, server = trio.testing.memory_stream_pair()
    nursery.start_soon(app.connection, server)
    return client


async def echo(nursery: trio.Nursery, client: Any) -> WebSocketConnection:
    """A WebSocket on it that has been greeted."""
    ws = await wrap_client_stream(nursery, client, "test", "/echo")
    await ws.get_message()
    return ws


async def test_clients_are_asked_evenly(
    module: ModuleType, app: Any, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACE", 10)
    times: list[float] = []

    async def note(ws: WebSocketConnection) -> None:
        times.append(await asked_to_come_back(ws))

    for clients, seconds in ((4, 0.75), (40, 3.9)):  # few: over a second; many: no more than PACE in any second
        times.clear()
        await trio.sleep(module.LATE)
        async with trio.open_nursery() as nursery:
            opened = [await echo(nursery, connected(nursery, app)) for _ in range(clients)]
            began = trio.current_time()
            async with trio.open_nursery() as noting:
                for ws in opened:
                    noting.start_soon(note, ws)
                noting.start_soon(app.drain)
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert times[0] == began
            assert times[-1] - began == pytest.approx(seconds)
            assert min(gaps) == pytest.approx(max(gaps))
            nursery.cancel_scope.cancel()


async def test_who_comes_late_is_asked_too_but_who_comes_after_a_rollback_stays(
    module: ModuleType, app: Any, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        idle = connected(nursery, app)  # before it is told, and asks for a WebSocket long after
        await trio.testing.wait_all_tasks_blocked()
        await app.drain()
        late = await echo(nursery, connected(nursery, app))
        assert await asked_to_come_back(late) <= trio.current_time() + module.SPREAD
        await trio.sleep(30)
        await asked_to_come_back(await echo(nursery, idle))

        here_to_stay = await echo(nursery, connected(nursery, app))
        await trio.sleep(30)
        await here_to_stay.send_message("still here")
        assert await here_to_stay.get_message() == "still here"
        nursery.start_soon(app.drain)  # the next swap
        await asked_to_come_back(here_to_stay)
        nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_answer_holds_nobody_up(
    module: ModuleType, app: Any, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        client = connected(nursery, app)
        head = b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await client.send_all(
            head + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await client.receive_some()).startswith(b"HTTP/1.1 101 ")
        await client.receive_some()  # its greeting
        began = trio.current_time()
        with trio.fail_after(60):
            await app.drain()
        assert trio.current_time() - began <= module.GOODBYE
        close = await client.receive_some()
        assert close[:1] == b"\x88", "RFC 6455, 5.5.1: a close frame"
        assert close[2:4] == (1012).to_bytes(2, "big")
        assert await client.receive_some() == b"", "and then the connection is closed"
        nursery.cancel_scope.cancel()


# -- the history ------------------------------------------------------------------------------------------------------


async def test_who_comes_back_after_hundreds_of_messages_misses_none(module: ModuleType, tmp_path: Path) -> None:
    room = module.Room(module.History(str(tmp_path / "history")))
    for number in range(450):
        await room.history.add(name="Bob", text=str(number), via="v1#1", key=str(number))
    assert await numbers(room, since=30, up_to=450) == list(range(31, 451))
    assert await numbers(room, since=0, up_to=450) == list(range(251, 451)), "who is new sees the newest"


async def numbers(room: Any, *, since: int, up_to: int) -> list[int]:
    found: list[int] = []
    with trio.fail_after(10):
        async with contextlib.aclosing(room.since(since)) as messages:
            async for number, _ in messages:
                found.append(number)
                if number == up_to:
                    break
    return found
