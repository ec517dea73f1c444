from __future__ import annotations

import time
from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frontdoor.control.events import Bus
from frontdoor.control.feed import Follower
from frontdoor.door import live as module
from frontdoor.door.live import HOLDS, LOOK, PAST, SAMPLE, Live
from frontdoor.door.status import Carried, Look
from frontdoor.policy.generation import Generation


class Stirring:
    """The relay, as far as it says whether anything happens there."""

    def __init__(self) -> None:
        self.events = 0
        self._more = trio.Event()

    def happen(self) -> None:
        self.events += 1
        self._more.set()
        self._more = trio.Event()

    async def stirred(self, seen: int) -> int:
        while self.events == seen:
            await self._more.wait()
        return self.events


class House:
    """One door with v1#1 active, as much of it as is looked at; ``looks``: how often the whole state was made."""

    def __init__(self) -> None:
        self.v1 = Generation("v1", 1, 0.0)
        self.ledger = Some(accepted=0)
        self.stirring = Stirring()
        self.bus = Bus()
        self.looks = 0
        self.sums: dict[Any, Any] = {}
        world = Some(bus=self.bus, protection=self.stirring, log=Some(dropped=7))
        self.door = Some(
            name="main",
            world=world,
            ledger=self.ledger,
            fleet=Some(generations={1: self.v1}),
            switchboard=Some(active=self.v1),
            draining={},
        )
        doors: Any = [self.door]
        self.live = Live(_Doors(doors, world), self.look, lambda: 0.4)  # type: ignore[arg-type]

    async def look(self) -> Look:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        return Look({"pid": 4711}, self.sums)

    def streams(self, number: int) -> None:
        """So many more are accepted."""
        self.ledger.accepted += number
        self.v1.open += number
        self.stirring.happen()


class _Doors(list[Any]):
    def __init__(self, doors: list[Any], world: Any) -> None:
        super().__init__(doors)
        self.world = world


@pytest.fixture
async def house(nursery: trio.Nursery, autojump_clock: MockClock) -> House:
    house = House()
    nursery.start_soon(house.live.run)
    await wait_all_tasks_blocked()
    return house


async def hear(follower: Follower, event: str) -> Any:
    """The next one of that kind."""
    async for said in follower:
        if said["event"] == event:
            return said
    raise AssertionError("it has ended")


async def test_who_watches_hears_the_past_then_the_state_each_second(house: House, autojump_clock: MockClock) -> None:
    async with house.live.follow() as follower:
        past = await hear(follower, "live.past")
        assert [sample["doors"]["main"]["open"] for sample in past["samples"]] == [{"v1#1": 0}]
        began = trio.current_time()
        first = await hear(follower, "live.state")
        assert (first["status"], first["lag_ms"], first["log"]) == ({"pid": 4711}, 0.4, {"dropped": 7})
        for _ in range(5):
            await hear(follower, "live.state")
        assert trio.current_time() - began == pytest.approx(5 * LOOK)


async def test_an_event_is_told_at_once_and_a_state_soon_after_it(house: House, autojump_clock: MockClock) -> None:
    house.bus.publish("swap.started", door="main", swap=1)
    async with house.live.follow() as follower:
        past = await hear(follower, "live.past")
        assert [event["event"] for event in past["events"]] == ["swap.started"]
        await hear(follower, "live.state")
        await trio.sleep(LOOK / 2)
        began = trio.current_time()
        said = house.bus.publish("swap.switched", door="main", swap=1)
        assert await hear(follower, "swap.switched") is said
        await hear(follower, "live.state")
        assert trio.current_time() - began <= module.SOON


async def test_a_storm_of_events_makes_few_states(house: House, autojump_clock: MockClock) -> None:
    async with house.live.follow() as follower:
        await hear(follower, "live.state")
        before = house.looks
        for _ in range(1000):
            house.bus.publish("hook.failed", door="main")
            await trio.sleep(0.001)
        assert house.looks - before <= 1 / module.SOON + 1


async def test_one_state_is_made_for_all_and_none_for_nobody(house: House, autojump_clock: MockClock) -> None:
    house.bus.publish("paused", door="main")
    await trio.sleep(100)
    assert house.looks == 0
    async with house.live.follow() as one, house.live.follow() as other:
        assert await hear(one, "live.state") is await hear(other, "live.state")
        assert house.looks == 1
    await trio.sleep(100)
    assert house.looks <= 2  # the one that was on its way
    assert "0 watch" in repr(house.live)


async def test_the_past_is_kept_for_who_comes_later_and_only_where_something_changed(
    house: House, autojump_clock: MockClock
) -> None:
    for number in (3, 4):
        house.streams(number)
        await trio.sleep(1.5 * SAMPLE)
    house.stirring.happen()  # bytes have moved, nobody has come
    await trio.sleep(60)
    async with house.live.follow() as follower:
        samples = (await hear(follower, "live.past"))["samples"]
    assert [(each["doors"]["main"]["accepted"], each["doors"]["main"]["open"]) for each in samples] == [
        (0, {"v1#1": 0}),
        (3, {"v1#1": 3}),
        (7, {"v1#1": 7}),
    ]


async def test_the_past_is_a_quarter_of_an_hour_at_the_most(house: House, autojump_clock: MockClock) -> None:
    for _ in range(2 * PAST):
        house.streams(1)
        await trio.sleep(SAMPLE)
    async with house.live.follow() as follower:
        assert len((await hear(follower, "live.past"))["samples"]) == PAST


async def test_with_nothing_to_do_it_sleeps(house: House, autojump_clock: MockClock) -> None:
    sampled: list[float] = []
    stirred = house.stirring.stirred

    async def counted(seen: int) -> int:
        sampled.append(trio.current_time())
        return await stirred(seen)

    house.stirring.stirred = counted  # type: ignore[method-assign]
    house.streams(1)
    await trio.sleep(3600)
    assert len(sampled) <= 2


async def test_what_holds_a_drain_is_its_oldest_streams(
    house: House, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "shown", lambda stream, now: {"id": stream.number})
    monkeypatch.setattr(module, "lives", lambda stream: stream.number != 1)
    carried = Carried(house.v1)
    carried.streams = [Some(number=number) for number in range(50)]  # type: ignore[misc]
    house.sums = {house.v1: carried}
    house.door.draining = {1: Some(backend=Some(generation=house.v1))}
    async with house.live.follow() as follower:
        holds = (await hear(follower, "live.state"))["holds"]
    assert [stream["id"] for stream in holds["main"]["v1#1"]] == [0, *range(2, HOLDS + 1)]


async def test_a_state_that_cannot_be_made_is_said_and_the_next_one_is_told(
    house: House, autojump_clock: MockClock
) -> None:
    look, said = house.live._look, []
    house.door.world.log.error = lambda event, **fields: said.append(event)

    async def broken() -> Look:
        house.live._look = look
        raise RuntimeError("a mistake")

    house.live._look = broken
    async with house.live.follow() as follower:
        assert (await hear(follower, "live.state"))["status"] == {"pid": 4711}
    assert said == ["live.broken"]


async def test_one_who_does_not_read_costs_a_bounded_number_of_states(house: House, autojump_clock: MockClock) -> None:
    async with house.live.follow() as follower:
        await trio.sleep(10 * module.QUEUE * LOOK)
        assert (await anext(follower))["event"] == "events.dropped"
        waiting = 0
        while follower.waiting() is not None:
            waiting += 1
        assert waiting <= module.QUEUE + 1


def test_samples_have_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795424400.5)
    assert House().live._now()["time"] == "2026-11-23T09:00:00.500Z"
