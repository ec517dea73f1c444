"""A pause, and how it ends by itself."""

from __future__ import annotations

import math
from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frontdoor.door import pausing
from frontdoor.door.pausing import Pausing


class Door:
    """As much of a door as its pause looks at."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.lets_in = True
        self.leaving = False
        self.gate = Some(paused=False)
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.noted: list[bool] = []
        self.let_go: list[bool] = []
        """Each time when requests that waited went on: whether clients were let in already."""
        self.world = Some(nursery=nursery, stopping=trio.Event(), listener=Some(close=self._close))
        self.world.exchanges = Some(resumed=self._let_go)
        self.pausing = Pausing(self)  # type: ignore[arg-type]

    def _close(self, gate: object) -> None:
        assert gate is self.gate
        self.lets_in = False

    def _let_go(self, gate: object) -> None:
        assert gate is self.gate
        assert not self.gate.paused, "what waited goes on, and does not wait anew"
        self.let_go.append(self.lets_in)

    def accept(self) -> None:
        self.lets_in = not self.pausing.paused

    def say(self, event: str, **fields: Any) -> None:
        self.events.append((round(trio.current_time(), 1), event, {k: v for k, v in fields.items() if v is not None}))

    async def remember(self) -> None:
        self.noted.append(self.pausing.paused)


@pytest.fixture
def door(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(pausing, "time", Some(monotonic=trio.current_time))
    return Door(nursery)


BY_ITSELF = ("resumed", {"reason": "the time of the pause is over"})


def resumed(door: Door) -> list[float]:
    return [at for at, event, _ in door.events if event == "resumed"]


async def test_without_a_time_it_lasts(door: Door, autojump_clock: MockClock) -> None:
    door.pausing.pause()
    await trio.sleep(50_000)
    assert (door.lets_in, door.pausing.paused, door.pausing.left) == (False, True, None)
    door.pausing.resume()
    assert (door.lets_in, door.pausing.paused, door.pausing.left) == (True, False, None)
    assert door.events == [(0, "paused", {}), (50_000, "resumed", {})]


async def test_requests_on_open_connections_wait_too_and_go_on_first(door: Door) -> None:
    door.pausing.pause()
    assert door.gate.paused
    door.pausing.resume()
    assert (door.gate.paused, door.let_go) == (False, [False])
    assert door.lets_in


async def test_on_its_way_out_a_paused_door_lets_requests_go_on(door: Door) -> None:
    door.pausing.pause()
    door.pausing.let_go()
    assert (door.gate.paused, door.let_go, door.pausing.paused) == (False, [False], True)


async def test_with_a_time_it_resumes_by_itself_and_that_is_noted(door: Door, autojump_clock: MockClock) -> None:
    door.pausing.pause(30.0)
    await trio.sleep(29.5)
    assert (door.lets_in, door.pausing.left) == (False, 0.5)
    await trio.sleep(1)
    assert (door.lets_in, door.pausing.paused, door.pausing.left) == (True, False, None)
    assert door.events == [(0, "paused", {"for_s": 30.0}), (30, *BY_ITSELF)]
    assert door.noted == [False]


@pytest.mark.parametrize(("second", "ends"), [(5.0, [15]), (60.0, [70]), (None, [])])
async def test_a_second_pause_takes_the_place_of_the_time(
    door: Door, autojump_clock: MockClock, second: float | None, ends: list[float]
) -> None:
    door.pausing.pause(30.0)
    await trio.sleep(10)
    door.pausing.pause(second)
    await trio.sleep(1000)
    assert resumed(door) == ends


async def test_resumed_before_its_time_it_does_so_once_and_ends_no_later_one(
    door: Door, autojump_clock: MockClock
) -> None:
    door.pausing.pause(30.0)
    await trio.sleep(10)
    door.pausing.resume()
    door.pausing.pause()
    await trio.sleep(1000)
    assert (resumed(door), door.lets_in) == ([10], False)


async def test_resumed_before_its_time_it_does_not_say_so_once_more(door: Door, autojump_clock: MockClock) -> None:
    door.pausing.pause(30.0)
    door.pausing.resume()
    await trio.sleep(1000)
    assert resumed(door) == [0]


async def test_resumed_in_the_very_instant_in_which_its_time_is_over(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = trio.Event()

    async def sleep(seconds: float) -> None:
        await over.wait()

    monkeypatch.setattr(pausing, "trio", Some(sleep=sleep, CancelScope=trio.CancelScope))
    door.pausing.pause(30.0)
    await wait_all_tasks_blocked()
    over.set()  # it can be cancelled no more, and has not gone on yet
    door.pausing.resume()
    door.pausing.pause()
    await wait_all_tasks_blocked()
    assert door.pausing.paused
    assert len(resumed(door)) == 1


@pytest.mark.parametrize(("until", "ends"), [(20.0, [20]), (-5.0, [0]), (math.inf, [])])
async def test_the_next_door_process_goes_on_with_what_is_left(
    door: Door, autojump_clock: MockClock, until: float, ends: list[float]
) -> None:
    door.pausing.restore(until)
    door.accept()  # as a door does when it begins
    assert not door.lets_in, "not even for a moment, though its time may be over"
    assert door.gate.paused
    assert door.events == [], "that it is paused was said then"
    await trio.sleep(1000)
    assert (resumed(door), door.lets_in) == (ends, bool(ends))


@pytest.mark.parametrize("why", ["frontdoor stops", "it is not in the config any more"])
async def test_on_its_way_out_it_lets_in_nobody_new(door: Door, autojump_clock: MockClock, why: str) -> None:
    door.pausing.pause(30.0)
    if why == "frontdoor stops":
        door.world.stopping.set()
    else:
        door.leaving = True
    await trio.sleep(1000)
    assert (resumed(door), door.lets_in) == ([], False)
