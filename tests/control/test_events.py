from __future__ import annotations

import re

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.control.events import VOCABULARY, Bus, Event, timestamp


def test_an_event_has_its_name_time_and_number_first() -> None:
    bus = Bus()
    said = bus.publish("swap.switched", door="main", version=None, swap=1, streams=0)
    assert list(said) == ["event", "time", "seq", "door", "swap", "streams"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert bus.publish("paused")["seq"] == said["seq"] + 1


def test_a_name_outside_the_vocabulary_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"swap\.swiched"):
        Bus().publish("swap.swiched")


def test_the_vocabulary_is_the_contracts() -> None:
    assert len(VOCABULARY) == 28
    assert timestamp().endswith("Z")


def test_subscribers_hear_everything_in_order() -> None:
    bus = Bus()
    heard: list[Event] = []
    bus.publish("paused")
    bus.subscribe(heard.append)
    expected = [bus.publish("resumed"), bus.publish("paused")]
    assert heard == expected


@given(published=st.integers(0, 30), asked=st.integers(0, 30))
def test_history_is_the_last_of_what_is_kept(published: int, asked: int) -> None:
    bus = Bus(history=10)
    for n in range(published):
        bus.publish("paused", n=n)
    assert [event["n"] for event in bus.history(asked)] == list(range(published))[-min(asked, 10) :][: min(asked, 10)]


async def test_a_follower_gets_history_then_what_comes_then_the_end() -> None:
    bus = Bus()
    for n in range(3):
        bus.publish("paused", n=n)
    async with bus.follow(2) as follower:
        bus.publish("paused", n=3)
        bus.close()
        assert [event["n"] async for event in follower] == [1, 2, 3]
    assert not bus.followers
    async with bus.follow() as follower:
        assert [event async for event in follower] == []


async def test_a_follower_that_does_not_keep_up_loses_the_oldest_and_is_told() -> None:
    bus = Bus(queue=5)
    async with bus.follow() as follower:
        for n in range(12):
            bus.publish("paused", n=n)
        first = await anext(follower)
        assert (first["event"], first["count"]) == ("events.dropped", 7)
        assert [(await anext(follower))["n"] for _ in range(5)] == [7, 8, 9, 10, 11]


async def test_a_follower_wakes_for_each_event() -> None:
    bus = Bus()
    seen: list[int] = []

    async def read(task_status: trio.TaskStatus[None]) -> None:
        async with bus.follow() as follower:
            task_status.started()
            async for event in follower:
                seen.append(event["n"])  # noqa: PERF401 - it is to be seen at once

    async with trio.open_nursery() as nursery:
        await nursery.start(read)
        for n in range(3):
            bus.publish("paused", n=n)
            await trio.testing.wait_all_tasks_blocked()
            assert seen == list(range(n + 1))
        nursery.cancel_scope.cancel()
    assert not bus.followers
