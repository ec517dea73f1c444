"""A drain: whom it closes and when, what it waits for, and what the next door process knows of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace as Some
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from door.drains import Scene, on_trios_clock
from frontdoor.control.operation import Operation
from frontdoor.door import draining
from frontdoor.door.draining import Draining, report
from frontdoor.door.notes import DrainNote
from frontdoor.door.trouble import TROUBLED_FOR
from frontdoor.policy.generation import State

Drains = Callable[..., Scene]

PROBATION = "the probation of the new generation"
FAILED = "a process of v2#2 has exited, or a dial of it failed or took long"


@pytest.fixture
def drains(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Drains:
    """A drain of so many streams: within 60 s, the last 10 s of which are for closing."""
    on_trios_clock(monkeypatch)

    def scene(streams: int, **drain: Any) -> Scene:
        it = Scene(nursery, **drain)
        it.join(streams)
        return it

    return scene


# -- whom it closes -----------------------------------------------------------------------------------------------


async def test_the_oldest_is_closed_first_and_one_after_the_other(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(10, close_grace="3s")
    await scene.run(until=70)
    assert scene.order == [*range(1, 11)]
    assert scene.closed_at == [51, 52, 53, 54, 55, 56, 57, 58, 59, 60]
    assert scene.relay.graces == {3.0}
    assert scene.draining.closed == 10


async def test_the_one_that_has_been_idle_longest_is_closed_first_as_things_are_then(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(5, close_first="idle")
    for number, stamp in ((1, 9.0), (2, 5.0), (3, 1.0), (4, 5.0), (5, 2.0)):
        scene.stream(number).stamp = stamp
    await scene.run(until=53)
    assert scene.order == [3]
    scene.stream(5).stamp = 20.0  # it was the next one
    await scene.at(70)
    assert scene.order == [3, 2, 4, 1, 5], "of those that are idle as long, the oldest"


async def test_who_leaves_by_himself_is_not_closed_and_makes_the_closing_slower(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(10)
    await scene.run(until=55)
    assert scene.closed_at == [51, 52, 53, 54, 55]
    for number in (6, 7, 8):
        scene.leaves(number)
    await scene.at(70)
    assert scene.closed_at[5:] == [59, 60]
    assert scene.draining.closed == 7


async def test_who_says_goodbye_is_not_closed_once_more_before_the_deadline(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(2)
    scene.relay.polite = False
    scene.stream(1).deadline = 1e9  # the client has finished, and the backend has not answered yet
    await scene.run(until=59.9)
    assert (scene.order, scene.draining.closed) == ([], 0)
    await scene.at(60)
    assert scene.order == [2, 1, 2], "the first has to be quick about it now, and so has the second"
    assert scene.draining.closed == 1
    scene.leaves(1)
    scene.leaves(2)
    await scene.at(61)
    assert [event for _, event, _ in scene.said("drain.finished")] == ["drain.finished"]


async def test_no_more_than_the_rate_are_closed_in_a_second(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(40, close_over="1s", close_rate=2)
    assert scene.draining.status()["closes_from_s"] == 59
    await scene.run(until=70)
    assert all(sum(at <= each < at + 1 for each in scene.closed_at) <= 2 for at in scene.closed_at)
    assert [scene.closed_at[0], scene.closed_at[-1]] == pytest.approx([40.5, 60], abs=0.3)


async def test_a_drain_without_an_end_closes_nobody(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(3, timeout="never", close_over="10m")
    status = scene.draining.status()
    assert (status["closes_from_s"], status["deadline_s"]) == (None, None)
    await scene.run(until=1e6)
    assert scene.order == []


# -- how it ends --------------------------------------------------------------------------------------------------


async def test_with_its_last_stream_it_is_stopped_and_that_is_said(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(2)
    await scene.run()
    scene.leaves(2)
    await scene.at(5)
    assert not scene.draining.finished.is_set()
    scene.leaves(1)
    assert scene.draining.ending, "it has not taken note of that yet"
    await scene.at(6)
    assert scene.events == [
        (0, "drain.started", {"swap": 7, "streams": 2}),
        (5, "drain.finished", {"swap": 7, "closed": 0}),
    ]
    assert (scene.old.state, scene.stopped, scene.door.draining) == (State.STOPPING, [scene.old], {})
    assert scene.draining.finished.is_set()
    assert not scene.draining.ending


async def test_it_may_be_kept_warm_instead(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(0)
    scene.keep = 900.0
    await scene.run()
    assert (scene.old.state, scene.kept, scene.stopped) == (State.WARM, [900.0], [])
    assert scene.draining.finished.is_set()


async def test_it_stays_while_somebody_may_need_it_even_without_a_stream(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(0)
    swaps = [trio.Event(), trio.Event()]
    for swap in swaps:
        scene.draining.reserve(swap)
    await scene.run(until=100)
    swaps[0].set()
    await scene.at(101)
    assert (scene.old.state, scene.stopped, scene.said("drain.finished")) == (State.DRAINING, [], [])
    assert 1 in scene.door.draining
    swaps[1].set()
    await scene.at(102)
    assert (scene.old.state, scene.stopped) == (State.STOPPING, [scene.old])


@pytest.mark.parametrize("streams", [0, 2])
async def test_taken_back_it_is_left_alone(drains: Drains, autojump_clock: MockClock, streams: int) -> None:
    scene = drains(streams)
    swap = trio.Event()
    scene.draining.reserve(swap)
    await scene.run(until=1)
    scene.draining.recall()
    assert scene.draining.finished.is_set(), "who waits for its end need not wait any longer"
    swap.set()
    await scene.at(100)
    assert (scene.order, scene.stopped, scene.old.state) == ([], [], State.DRAINING)
    assert scene.said("drain.finished") == []


# -- what it waits for --------------------------------------------------------------------------------------------


async def test_nobody_is_closed_in_a_probation_and_its_time_does_not_count(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(4, timeout="10s", close_over="4s")
    probation = trio.Event()
    scene.draining.hold(probation)
    await scene.run(until=5)
    assert scene.draining.status()["waits"] == PROBATION
    assert scene.said("drain.waits") == [], "there is nothing yet that it would wait with"
    await scene.at(30)
    assert scene.order == []
    probation.set()
    await scene.at(50)
    assert scene.said("drain.waits", "drain.resumed") == [(6, "drain.waits", PROBATION), (30, "drain.resumed", None)]
    assert scene.closed_at == pytest.approx([31, 32, 33, 34])


async def test_each_of_two_swaps_can_hold_it(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(1)
    swaps = [trio.Event(), trio.Event(), trio.Event()]
    for swap in swaps:
        scene.draining.hold(swap)
    await scene.run(until=100)
    for swap in (swaps[1], swaps[2]):
        swap.set()
    await scene.at(200)
    assert (scene.order, scene.draining.status()["waits"]) == ([], PROBATION)
    swaps[0].set()
    await scene.at(220)
    assert scene.order == [1]


async def test_a_probation_that_is_over_in_time_is_not_mentioned(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(2)
    probation = trio.Event()
    scene.draining.hold(probation)
    await scene.run(until=30)
    probation.set()
    await scene.at(31)
    assert scene.draining.status() == {"closed": 0, "waits": None, "closes_from_s": 19, "deadline_s": 29}
    await scene.at(70)
    assert scene.said("drain.waits", "drain.resumed") == []
    assert scene.closed_at == [55, 60]


async def test_it_waits_while_there_is_trouble_where_it_would_send_them(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(10)
    await scene.run(until=53.5)
    assert scene.closed_at == [51, 52, 53]
    scene.trouble()
    await scene.at(56)
    assert scene.draining.status()["waits"] == FAILED
    scene.trouble()  # and once more: it is waited from here on
    await scene.at(80)
    (began, _, why), (ended, _, _) = scene.said("drain.waits", "drain.resumed")
    assert (began, why) == (54, FAILED)
    assert 56 + TROUBLED_FOR <= ended < 56 + TROUBLED_FOR + 0.5
    late = ended - 54
    assert scene.closed_at[3:] == pytest.approx([at + late for at in (54, 55, 56, 57, 58, 59, 60)], abs=0.2)


async def test_trouble_before_it_closes_anybody_is_not_its_business(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(1)
    await scene.run(until=40)
    scene.trouble()
    scene.draining.changed()  # it looks
    await scene.at(41)
    assert scene.draining.status()["waits"] is None
    await scene.at(70)
    assert scene.said("drain.waits") == []
    assert scene.closed_at == [60]


async def test_not_even_the_deadline_is_a_reason_to_send_them_into_trouble(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(3)
    scene.relay.polite = False
    scene.stream(1).deadline = 1e9
    scene.waiting = 2
    await scene.run(until=300)
    assert scene.order == []
    assert scene.draining.status()["waits"] == "2 clients wait for a backend"
    scene.waiting = 0
    await scene.at(320)
    assert sorted(set(scene.order)) == [1, 2, 3]


# -- by hand ------------------------------------------------------------------------------------------------------


async def test_now_waits_for_nothing_and_knows_no_rate(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(5, close_rate=1)
    scene.draining.hold(trio.Event())
    scene.waiting = 1
    await scene.run(until=2)
    assert scene.draining.hasten(0.0) == 5
    await scene.at(2.1)
    assert scene.closed_at == [2, 2, 2, 2, 2]
    assert scene.events[1] == (2, "drain.started", {"streams": 5, "over_s": 0.0})


async def test_over_some_time_they_are_closed_evenly_and_what_it_waits_for_it_still_waits_for(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(8)
    scene.door.settings.drain = scene.door.settings.drain.model_copy(update={"close_over": 4.0, "timeout": 6.0})
    scene.draining = Draining(scene.door, scene.backend, 7)
    await scene.run(until=3.1)
    assert scene.closed_at == [2.5, 3]
    assert scene.draining.hasten(12.0) == 6
    await scene.at(5)
    scene.trouble()
    await scene.at(40)
    assert scene.said("drain.waits")[0][2] == FAILED
    later = [after - before for before, after in zip(scene.closed_at[3:], scene.closed_at[4:], strict=False)]
    assert min(later) >= 1.6
    assert scene.draining.closed == 8, "those of before count, too"


async def test_what_frontdoor_has_closed_itself_counts_as_closed(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(1)
    scene.draining.cut += 1
    assert (scene.draining.closed, scene.draining.note().closed) == (1, 1)


# -- after a crash of the door process ----------------------------------------------------------------------------


async def test_the_next_door_process_goes_on_with_what_is_left_of_the_time(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(10)
    first = scene.draining
    scene.draining.hasten(20.0)
    async with trio.open_nursery() as process:
        process.start_soon(first.run)
        await scene.at(6.5)
        process.cancel_scope.cancel()
    assert scene.closed_at == [2, 4, 6]
    note = first.note()
    assert (note.begins, note.deadline) == pytest.approx((0, 20), abs=1e-3)
    assert note == DrainNote(note.begins, note.deadline, closed=3, swap=7)
    scene.events.clear()
    scene.go_on(note)
    await scene.run(until=30)
    assert scene.closed_at[3:] == pytest.approx([6.5 + 13.5 / 7 * n for n in range(1, 8)], abs=0.2)
    assert [event for _, event, _ in scene.events] == ["drain.finished"], "that it was begun was said then"
    assert scene.events[0][2] == {"swap": 7, "closed": 10}


async def test_if_its_time_has_run_out_in_between_it_waits_all_the_same(
    drains: Drains, autojump_clock: MockClock
) -> None:
    scene = drains(2)
    note = scene.draining.note()
    await scene.at(500)
    scene.go_on(note)
    scene.waiting = 1
    await scene.run(until=600)
    assert scene.order == []
    scene.waiting = 0
    await scene.at(620)
    assert scene.order == [1, 2]


async def test_now_is_still_now_for_it(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(3, close_rate=1)
    scene.draining.hasten(0.0)
    await scene.at(0.5)
    scene.go_on(scene.draining.note())
    scene.waiting = 1
    await scene.run(until=1)
    assert len(scene.closed_at) == 3


async def test_never_is_still_never(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(1, timeout="never", close_over="10m")
    note = scene.draining.note()
    assert (note.begins, note.deadline) == (None, None)
    scene.go_on(note)
    await scene.run(until=1e6)
    assert scene.order == []


async def test_without_a_note_it_has_all_its_time(drains: Drains, autojump_clock: MockClock) -> None:
    scene = drains(1)
    await scene.at(500)
    scene.go_on(None)
    assert math.isclose(cast(float, scene.draining.status()["deadline_s"]), 60)
    assert scene.draining.swap is None


# -- telling its processes ----------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int | None]]:
    """When they were told, and of which swap."""
    times: list[tuple[float, int | None]] = []

    async def tell(door: object, backend: object, swap: int | None) -> None:
        times.append((round(trio.current_time(), 1), swap))
        await trio.sleep(5)

    monkeypatch.setattr(draining, "tell", tell)
    return times


async def test_they_are_told_once_and_the_next_door_process_knows(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(1, notify="SIGUSR1")
    await scene.run(until=1)
    assert told == [(0, 7)]
    assert scene.posted == [True], "before that: told twice is worse than not at all"
    scene.go_on(scene.draining.note())
    await scene.run(until=2)
    assert told == [(0, 7)]


async def test_nobody_is_told_where_the_config_does_not_say_so(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(1)
    await scene.run(until=1)
    assert (told, scene.posted) == ([], [])


async def test_they_are_told_when_the_probation_is_over(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(1, notify="http:/drain")
    probation = trio.Event()
    scene.draining.hold(probation)
    await scene.run(until=20)
    assert (told, scene.draining.note().notified) == ([], False)
    probation.set()
    await scene.at(21)
    assert told == [(20, 7)]


async def test_they_are_not_told_if_it_serves_again(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(1, notify="http:/drain")
    probation = trio.Event()
    scene.draining.hold(probation)
    await scene.run(until=20)
    scene.draining.recall()
    probation.set()
    await scene.at(30)
    assert told == []


async def test_nobody_is_told_where_no_stream_is_open(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(0, notify="SIGUSR1")
    await scene.run(until=1)
    assert (told, scene.posted) == ([], [])


async def test_with_the_last_stream_nobody_waits_for_their_answer(
    drains: Drains, autojump_clock: MockClock, told: list[tuple[float, int | None]]
) -> None:
    scene = drains(1, notify="http:/drain")
    await scene.run(until=1)
    scene.leaves(1)
    await scene.at(2)
    assert scene.said("drain.finished") == [(1, "drain.finished", None)]


# -- what those are told who wait for the end ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drain", "says"),
    [
        (None, ("drained", 0, "v2#2 is active; v1#1 is drained, no stream had to be closed")),
        (Some(recalled=False, closed=0), ("drained", 0, "v2#2 is active; v1#1 is drained, no stream had to be closed")),
        (Some(recalled=False, closed=1), ("drained", 6, "v2#2 is active; 1 stream of v1#1 had to be closed")),
        (Some(recalled=True, closed=1), ("recalled", 1, "v1#1 was made active again before it was drained")),
    ],
)
def test_the_outcome_of_a_drain(drain: Any, says: tuple[str, int, str]) -> None:
    operation = Operation(7)
    report(operation, "v2#2", "v1#1", drain)
    outcome = operation.outcome("drained")
    assert outcome is not None
    assert (outcome["result"], outcome["exit_code"], outcome["message"]) == says
    assert outcome.get("closed") == (None if drain is not None and drain.recalled else drain.closed if drain else 0)
