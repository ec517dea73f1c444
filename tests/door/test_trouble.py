"""What counts as trouble on the side where new streams go."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest

from frontdoor.door import trouble as module
from frontdoor.door.trouble import TROUBLED_FOR, trouble
from frontdoor.policy.generation import Generation, Seat

NOW = 1000.0


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", Some(monotonic=lambda: NOW))


def generation(name: str, number: int, *, ups: tuple[bool, ...] = (True,)) -> Generation:
    it = Generation(name, number, 0.0)
    it.seats += [Seat(it, process, "", up=up) for process, up in enumerate(ups)]
    return it


def door(active: Generation | None, canary: Generation | None = None, *, waiting: int = 0) -> Any:
    listener = Some(waiting=lambda gate: {"main's": waiting}[gate])
    return Some(gate="main's", world=Some(listener=listener), switchboard=Some(active=active, canary=canary))


def test_nothing_is_wrong() -> None:
    assert trouble(door(generation("v1", 1))) == ""
    assert trouble(door(generation("v1", 1), generation("v2", 2))) == ""
    assert trouble(door(None)) == "", "nothing serves any more, and nothing will: there is nothing to wait for"


@pytest.mark.parametrize(
    ("waiting", "words"), [(1, "1 client waits for a backend"), (3, "3 clients wait for a backend")]
)
def test_somebody_waits(waiting: int, words: str) -> None:
    assert trouble(door(generation("v1", 1), waiting=waiting)) == words


@pytest.mark.parametrize(("ups", "wrong"), [((False,), True), ((False, False), True), ((False, True), False)])
def test_none_of_its_processes_is_up(ups: tuple[bool, ...], wrong: bool) -> None:
    assert trouble(door(generation("v2", 2, ups=ups))) == ("no process of v2#2 is up" if wrong else "")


def test_one_that_is_dead_is_not_up_though_nobody_has_said_so_yet() -> None:
    active = generation("v2", 2)
    active.seats[0].gone = lambda: True
    assert trouble(door(active)) == "no process of v2#2 is up"


def test_trouble_lasts_for_some_seconds() -> None:
    active = generation("v2", 2)
    for ago, wrong in ((0.0, True), (TROUBLED_FOR - 0.1, True), (TROUBLED_FOR, False)):
        active.conduct.crashed(NOW - ago)
        assert bool(trouble(door(active))) is wrong
    active.conduct.dialled(0.25, NOW)
    assert trouble(door(active)) == "a process of v2#2 has exited, or a dial of it failed or took long"


def test_new_streams_go_to_a_canary_too() -> None:
    canary = generation("v3", 3)
    canary.conduct.dial_failed(0, NOW)
    assert "of v3#3" in trouble(door(generation("v2", 2), canary))
    assert trouble(door(generation("v2", 2), generation("v3", 3, ups=(False,)))) == "no process of v3#3 is up"
