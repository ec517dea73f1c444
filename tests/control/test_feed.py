from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.control.feed import Feed, timestamp


def test_a_time_is_utc_with_milliseconds_and_of_one_length() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_000_000_000.25) == "2001-09-09T01:46:40.250Z"
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert timestamp(noon.astimezone(timezone(timedelta(hours=2)))) == "2026-11-22T12:00:00.000Z"
    assert len(timestamp()) == len(timestamp(0))


@given(published=st.integers(0, 30), asked=st.integers(0, 30))
def test_history_is_the_last_of_what_is_kept(published: int, asked: int) -> None:
    feed = Feed(history=10)
    for n in range(published):
        feed.add({"n": n})
    assert [event["n"] for event in feed.history(asked)] == list(range(published))[-min(asked, 10) :][: min(asked, 10)]


async def test_a_follower_gets_history_then_what_comes_then_the_end() -> None:
    feed = Feed()
    for n in range(3):
        feed.add({"n": n})
    async with feed.follow(2) as follower:
        feed.add({"n": 3})
        feed.close()
        assert [event["n"] async for event in follower] == [1, 2, 3]
    assert not feed.followers
    async with feed.follow() as follower:
        assert [event async for event in follower] == []


async def test_a_follower_that_does_not_keep_up_loses_the_oldest_and_is_told() -> None:
    feed = Feed(queue=5)
    async with feed.follow() as follower:
        for n in range(12):
            feed.add({"n": n})
        first = await anext(follower)
        assert (first["event"], first["count"]) == ("events.dropped", 7)
        assert [(await anext(follower))["n"] for _ in range(5)] == [7, 8, 9, 10, 11]


async def test_a_follower_wakes_for_each_event() -> None:
    feed = Feed()
    seen: list[int] = []

    async def read(task_status: trio.TaskStatus[None]) -> None:
        async with feed.follow() as follower:
            task_status.started()
            async for event in follower:
                seen.append(event["n"])  # noqa: PERF401 - it is to be seen at once

    async with trio.open_nursery() as nursery:
        await nursery.start(read)
        for n in range(3):
            feed.add({"n": n})
            await trio.testing.wait_all_tasks_blocked()
            assert seen == list(range(n + 1))
        nursery.cancel_scope.cancel()
    assert not feed.followers


async def test_what_is_not_wanted_takes_no_room() -> None:
    feed = Feed(queue=3)
    feed.add({"n": 1})
    feed.add({"n": 2})
    async with feed.follow(1, lambda said: said["n"] % 2 == 1) as follower:
        for n in range(3, 8):
            feed.add({"n": n})
        feed.close()
        assert [said.get("n", said.get("count")) async for said in follower] == [1, 3, 5, 7]


async def test_entering_yields_to_nobody() -> None:
    feed = Feed(history=0)
    following = feed.follow()
    with trio.testing.assert_no_checkpoints():  # else a line could come between what is past and what is followed
        follower = await following.__aenter__()
    feed.add({"n": 1})
    assert await anext(follower) == {"n": 1}
    await following.__aexit__(None, None, None)
    assert not feed.followers
    assert feed.history() == []
