"""Pipes that a keeper at its limit could not take, as they are handed over again; under a mock clock."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frontdoor.keeper.link import Link, Refused
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.unkept import TRY_AGAIN, Unkept


class FakeKeeper:
    """It has room for so many."""

    def __init__(self) -> None:
        self.on_unkept: Callable[[Sequence[str], str], object] = lambda keys, why: None
        self.room = 0
        self.kept: list[str] = []
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None

    async def put(self, entries: Sequence[tuple[str, Any, Sequence[int]]]) -> None:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        self.meanwhile()
        if self.room <= 0:
            raise Refused(errno.EMFILE, "no room")
        self.room -= 1
        self.kept += [key for key, _, _ in entries]


class Scene:
    def __init__(self) -> None:
        self.keeper, self.relay, self.told = FakeKeeper(), SimpleNamespace(still=False), list[str]()
        self.unkept = Unkept(cast(Link, self.keeper), cast(Relay, self.relay), self.told.append)

    def refuse(self, *keys: str) -> None:
        self.keeper.on_unkept(keys, "full")

    def make(self, *keys: str) -> None:
        for index, key in enumerate(keys):
            self.unkept.made(key, Pipe(index, (10 * index, 10 * index + 1)))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("os.set_blocking", lambda fd, flag: None)  # the numbers are no descriptors
    return Scene()


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.unkept.run)
        await wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def later(clock: MockClock) -> None:
    await wait_all_tasks_blocked()  # until it sleeps
    clock.jump(TRY_AGAIN)
    await wait_all_tasks_blocked()


async def test_what_was_refused_is_told_and_handed_over_again_until_it_is_kept(
    scene: Scene, mock_clock: MockClock
) -> None:
    scene.make("pipe/0", "pipe/1", "pipe/2")
    async with running(scene):
        scene.refuse("pipe/1", "pipe/2")
        assert (len(scene.unkept), scene.told) == (2, ["full"])
        await later(mock_clock)
        assert (scene.told, scene.keeper.asked) == (["full", "no room"], 1), "the others would be refused, too"
        scene.keeper.room = 1
        await later(mock_clock)
        assert (scene.keeper.kept, len(scene.unkept)) == (["pipe/1"], 1)
        scene.keeper.room = 5
        await later(mock_clock)
        assert (scene.keeper.kept, len(scene.unkept)) == (["pipe/1", "pipe/2"], 0)
        asked = scene.keeper.asked
        await later(mock_clock)
        assert scene.keeper.asked == asked, "then there is peace"
        scene.refuse("pipe/0")
        await later(mock_clock)
        assert scene.keeper.kept[-1] == "pipe/0"


async def test_what_was_closed_is_not_handed_over(scene: Scene, mock_clock: MockClock) -> None:
    scene.make("pipe/0", "pipe/1")
    scene.keeper.room = 5
    async with running(scene):
        scene.refuse("pipe/0", "pipe/1")
        scene.unkept.closed("pipe/0")
        await later(mock_clock)
        assert scene.keeper.kept == ["pipe/1"]
    assert repr(scene.unkept) == "<Unkept: 0 of 1 pipes>"


async def test_one_that_is_replaced_while_it_is_handed_over_is_another(scene: Scene, mock_clock: MockClock) -> None:
    scene.make("pipe/0")
    scene.keeper.room = 1

    def replace() -> None:
        scene.unkept.closed("pipe/0")
        scene.make("pipe/0")
        scene.refuse("pipe/0")

    async with running(scene):
        scene.refuse("pipe/0")
        scene.keeper.meanwhile = replace
        await later(mock_clock)
        scene.keeper.meanwhile = lambda: None
        assert len(scene.unkept) == 1, "the new one is not kept"
        scene.keeper.room = 1
        await later(mock_clock)
        assert len(scene.unkept) == 0


async def test_nothing_is_handed_over_while_another_process_may_have_it(scene: Scene, mock_clock: MockClock) -> None:
    scene.make("pipe/0")
    scene.keeper.room = 1
    async with running(scene):
        scene.refuse("pipe/0")
        scene.relay.still = True
        await later(mock_clock)
        assert scene.keeper.asked == 0
        scene.relay.still = False
        await later(mock_clock)
        assert scene.keeper.kept == ["pipe/0"]


def test_what_nobody_has_made_here_is_nobody_s_business(scene: Scene) -> None:
    scene.refuse("pipe/7", "client/3")
    assert (len(scene.unkept), scene.told) == (0, [])
