"""A crowd that has never complained shows nothing: what it sees at a good door, and at doors with one thing wrong."""

import contextlib
import dataclasses
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from load import crowd as crowds
from load import endless
from load.crowd import Crowd, Pace, Party

ALL = [field.name for field in dataclasses.fields(Party) if field.name != "visitors"]
"""The kinds of those who last."""

ONLY_UP = {"uploads", "slow_apps", "finished_apps"}
"""Those for whom nothing but the end comes back."""

SPARED = 400
"""Bytes of each direction that are passed on as they are: heads, where not all that is wrong is noticed."""


class BadDoor:
    """Joins each client to the app; with a fault, does that one thing wrong in one direction of each connection."""

    def __init__(self, app: str, fault: str) -> None:
        self._app = app
        self._fault = fault
        self.cuts = trio.Event()

    async def handle(self, client: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with client, await trio.open_unix_socket(self._app) as backend, trio.open_nursery() as nursery:
                fault, _, where = self._fault.partition(" ")
                nursery.start_soon(self._pass_on, client, backend, fault if where == "up" else "")
                nursery.start_soon(self._pass_on, backend, client, fault if where != "up" else "")
                if self._fault == "cut":
                    await self.cuts.wait()
                    nursery.cancel_scope.cancel()

    async def _pass_on(self, source: trio.SocketStream, sink: trio.SocketStream, fault: str) -> None:
        passed = 0
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in source:
                passed += len(data)
                if passed > SPARED and fault:
                    data, fault = spoiled(bytes(data), fault), ""
                await sink.send_all(data)
            await sink.send_eof()


def spoiled(data: bytes, fault: str) -> bytes:
    middle = len(data) // 2
    match fault:
        case "lost":
            return data[:middle] + data[middle + 1 :]
        case "doubled":
            return data[:middle] + data[middle : middle + 1] + data[middle:]
        case "changed":
            return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        case "reordered":
            return data[middle:] + data[:middle]
        case _:
            return data


def quicker(folder: os.PathLike[str]) -> str:
    """The app, with a drip that comes to more than SPARED in no time."""
    path = os.path.join(folder, "endless.py")
    with open(endless.__file__) as original, open(path, "w") as copy:
        copy.write(original.read().replace(f"DRIP = {endless.DRIP}", "DRIP = 0.005"))
    return path


@pytest.fixture
def app(tmp_path: os.PathLike[str]) -> Iterator[str]:
    """The app's socket."""
    path = os.path.join(tmp_path, "app")
    command = [sys.executable, "-I", "-S", quicker(tmp_path), "--results", os.fspath(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "FRONTDOOR_SOCKET": path}, stderr=subprocess.DEVNULL) as process:
        yield path
        process.terminate()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a byte is missing, somebody waits for it."""
    monkeypatch.setattr(crowds, "PATIENCE", 1.0)
    monkeypatch.setattr(crowds, "ALIVE_WITHIN", 1.0)


async def is_served(app: str) -> None:
    """Wait until it listens: its socket is there a moment earlier."""
    while True:
        with contextlib.suppress(OSError):
            await (await trio.open_unix_socket(app)).aclose()
            return
        await trio.sleep(0.01)


@contextlib.asynccontextmanager
async def bad_door(app: str, fault: str) -> AsyncIterator[tuple[BadDoor, tuple[str, int]]]:
    await is_served(app)
    door = BadDoor(app, fault)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, door.handle, [listener])
        yield door, listener.socket.getsockname()
        nursery.cancel_scope.cancel()


def crowd(app: str, address: tuple[str, int], party: Party, *, size: int = 1 << 20) -> Crowd:
    return Crowd(address, party, Pace(rest=0.01, size=size), results=os.path.dirname(app), seed=1)


async def test_a_good_door_passes(app: str) -> None:
    party = Party(**dict.fromkeys((*ALL, "visitors"), 2))
    async with bad_door(app, "") as (_, address):
        all_of_them = crowd(app, address, party)
        async with all_of_them.present():
            for _ in range(3):
                await all_of_them.all_go_on()
    assert all_of_them.failures == []
    assert len(all_of_them) == 2 * len(ALL)
    assert all_of_them.visits > 0
    assert all_of_them.cut == 0
    assert min(all_of_them.moved[kind] for kind in ALL) > 0
    assert all_of_them.moved["uploads"] >= 2 << 20
    assert all_of_them.moved["downloads"] >= 2 << 20


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("fault", ["lost", "doubled", "changed", "reordered"])
@pytest.mark.usefixtures("impatient")
async def test_a_byte_that_is_wrong_is_noticed(app: str, kind: str, fault: str) -> None:
    async with bad_door(app, f"{fault} {'up' if kind in ONLY_UP else 'down'}") as (_, address):
        one = crowd(app, address, Party(**{kind: 1}), size=100_000)
        async with one.present():
            with trio.move_on_after(2):
                while not one.failures:
                    await trio.sleep(0.01)
    assert one.failures


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.usefixtures("impatient")
async def test_a_cut_is_noticed(app: str, kind: str) -> None:
    async with bad_door(app, "cut") as (door, address):
        one = crowd(app, address, Party(**{kind: 1}))
        async with one.present():
            await one.all_go_on()
            door.cuts.set()
            with trio.move_on_after(3):
                while not one.failures:
                    await trio.sleep(0.01)
    assert one.failures


async def test_a_visitor_who_is_young_may_be_cut_and_an_old_one_may_not(
    app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bad_door(app, "cut") as (door, address):
        young = crowd(app, address, Party(visitors=20))
        async with young.present():
            await trio.sleep(0.3)
            door.cuts.set()
            await trio.sleep(0.1)
        assert young.failures == []
        assert young.cut > 0

    monkeypatch.setattr(crowds, "SLACK", -1.0)
    async with bad_door(app, "cut") as (door, address):
        old = crowd(app, address, Party(visitors=20))
        async with old.present():
            await trio.sleep(0.3)
            door.cuts.set()
            await trio.sleep(0.1)
        assert old.failures
        assert all("s old" in failure for failure in old.failures)


async def test_nobody_there_is_a_failure(tmp_path: os.PathLike[str]) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()
    await listener.aclose()
    nobody = Crowd(address, Party(visitors=1), Pace(), results=os.fspath(tmp_path), seed=1)
    async with nobody.present():
        await trio.sleep(0.1)
    (failure,) = nobody.failures
    assert "visitors 1: refused: " in failure


async def test_who_is_not_served_any_more_is_a_failure(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bad_door(app, "") as (_, address):
        one = crowd(app, address, Party(websockets=1))
        async with one.present():
            monkeypatch.setattr(crowds, "ALIVE_WITHIN", 0.2)

            async def long(rng: random.Random) -> None:
                await trio.sleep(1)

            monkeypatch.setattr(one, "_rest", long)
            await trio.sleep(0.1)  # its last rest of the usual length is over
            await one.all_go_on()
        assert one.failures == ["websockets 1: nothing for 0.2 s"]
