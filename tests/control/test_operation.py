from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.control.operation import MILESTONES, Operation


async def all_of(operation: Operation, until: str) -> list[Any]:
    with trio.fail_after(5):
        return [line.get("n", line.get("result", line["event"])) async for line in operation.follow(until)]


async def test_each_follower_sees_every_line_up_to_its_milestone() -> None:
    operation = Operation(3)
    operation.record({"event": "swap.started", "n": 0})
    operation.record({"event": "swap.switched", "n": 1})
    operation.reach("switched", "active", 0, "v2#2 is active")
    operation.record({"event": "drain.started", "n": 2})
    operation.reach("baked", "active", 0, "v2#2 is active")
    operation.record({"event": "drain.finished", "n": 3})
    operation.reach("drained", "cut", 6, "4 streams had to be closed", closed=4)
    operation.record({"event": "generation.stopped", "n": 4})
    assert await all_of(operation, "switched") == [0, 1, "active"]
    assert await all_of(operation, "baked") == [0, 1, 2, "active"]
    assert await all_of(operation, "drained") == [0, 1, 2, 3, "cut"]
    assert operation.finished
    outcome = operation.outcome("drained")
    assert outcome is not None
    assert (outcome["exit_code"], outcome["closed"], outcome["swap"]) == (6, 4, 3)


async def test_a_failure_is_the_outcome_of_what_was_not_reached() -> None:
    operation = Operation(1)
    operation.reach("switched", "active", 0, "switched")
    operation.fail("rolled_back", 7, "v2#2 failed in its probation; v1#1 serves again", output=["boom"])
    operation.fail("late", 1, "too late")
    assert await all_of(operation, "switched") == ["active"]
    assert await all_of(operation, "baked") == ["rolled_back"]
    assert await all_of(operation, "drained") == ["rolled_back"]


async def test_a_later_milestone_includes_the_earlier_and_outcomes_are_kept() -> None:
    operation = Operation(1)
    assert operation.outcome("switched") is None
    operation.reach("baked", "active", 0, "first")
    operation.reach("switched", "other", 1, "second")
    assert [(operation.outcome(m) or {}).get("result") for m in MILESTONES] == ["active"] * 3 + [None]
    assert not operation.finished


async def test_followers_wait_for_what_comes() -> None:
    operation = Operation(1)
    seen: list[list[Any]] = []

    async def follow() -> None:
        seen.append(await all_of(operation, "baked"))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        operation.record({"event": "swap.started", "n": 0})
        await trio.testing.wait_all_tasks_blocked()
        assert not seen
        operation.record({"event": "swap.switched", "n": 1})
        operation.fail("failed", 4, "no")
    assert seen == [[0, 1, "failed"]] * 3


async def test_who_has_seen_the_first_lines_follows_what_comes_after_them() -> None:
    operation = Operation(1)
    operation.record({"event": "swap.started", "n": 0})
    operation.reach("shared", "canary", 0, "v2#2 gets 5%")
    seen = operation.recorded
    operation.record({"event": "swap.switched", "n": 1})
    operation.reach("switched", "switched", 0, "v2#2 is active")
    assert seen == 1
    assert await all_of(operation, "shared") == [0, "canary"]
    with trio.fail_after(5):
        lines = [line.get("n", line.get("result")) async for line in operation.follow("switched", seen)]
        # The milestone was reached before: its outcome is all that there is.
        late = [line.get("n", line.get("result")) async for line in operation.follow("shared", operation.recorded)]
    assert (lines, late) == ([1, "switched"], ["canary"])


def test_another_milestone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not a milestone"):
        Operation(1).follow("done")


@given(before=st.integers(0, 12), after=st.integers(0, 12))
def test_memory_is_bounded_and_the_outcome_always_comes(before: int, after: int) -> None:
    operation = Operation(1, lines=5)
    for n in range(before):
        operation.record({"event": "backend.restarting", "n": n})
    operation.reach("switched", "active", 0, "ok")
    for n in range(before, before + after):
        operation.record({"event": "backend.restarting", "n": n})

    lines = trio.run(all_of, operation, "switched")
    first_kept = max(0, before + after - 5)
    kept = list(range(first_kept, before))
    # What comes after the milestone is none of its followers' business, lost or not.
    assert lines == (["events.dropped"] if first_kept and before else []) + kept + ["active"]


def test_another_noun_is_what_its_number_is_called() -> None:
    operation = Operation(7, noun="upgrade")
    operation.reach("drained", "upgraded", 0, "done")
    line = operation.outcome("switched")
    assert line is not None
    assert (line["upgrade"], "swap" in line) == (7, False)
