import itertools
from collections.abc import Iterator

import pytest

from frontdoor.policy.swap import ABORTABLE, TABLE, UNDER_WAY, Command, Event, Move, OutOfPlace, Phase, step

FINAL = {Phase.DONE, Phase.FAILED, Phase.ABORTED}
FAILURES = {Event.CANDIDATE_FAILED, Event.DEADLINE, Event.ABORT}
BEFORE_SWITCH = {Phase.STARTING, Phase.PROBING, Phase.READY}
"""The phases in which there is a candidate, and the old generation is still the active one."""

Way = list[tuple[Event, Move]]


def ways(start: Phase = Phase.ASKED, behind: tuple[Phase, ...] = ()) -> Iterator[Way]:
    """Every way through the table from ``start`` to an end."""
    assert start not in behind, f"a swap could go round in circles: {behind} {start}"
    lines = [(event, move) for (phase, event), move in TABLE.items() if phase is start]
    if not lines:
        yield []
    for event, move in lines:
        for rest in ways(move.phase, (*behind, start)):
            yield [(event, move), *rest]


def commands(way: Way) -> list[Command]:
    return [command for _, move in way for command in move.commands]


def test_every_phase_can_be_reached_from_the_start() -> None:
    assert {Phase.ASKED} | {move.phase for way in ways() for _, move in way} == set(Phase)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_but_the_final_ones_has_a_way_out_and_every_way_ends(phase: Phase) -> None:
    assert any(at is phase for at, _ in TABLE) == (phase not in FINAL)
    assert all((way[-1][1].phase if way else phase) in FINAL for way in ways(phase))


def test_the_way_to_done_has_one_switch_between_the_proof_and_the_drain() -> None:
    done = [way for way in ways() if way[-1][1].phase is Phase.DONE]
    assert done
    for way in done:
        assert commands(way).count(Command.SWITCH) == 1
        order = [commands(way).index(c) for c in (Command.START, Command.PROBE, Command.SWITCH, Command.DRAIN)]
        assert order == sorted(order)
        events = [event for event, _ in way]
        assert events.index(Event.PROVED_READY) < events.index(Event.SWITCHED) < events.index(Event.DRAINED)


def test_the_switch_is_asked_for_only_when_the_candidate_was_proved_ready() -> None:
    assert [line for line, move in TABLE.items() if Command.SWITCH in move.commands] == [
        (Phase.PROBING, Event.PROVED_READY)
    ]


@pytest.mark.parametrize(("phase", "event"), [line for line in TABLE if line[1] in FAILURES])
def test_after_a_failure_the_candidate_is_stopped_and_nothing_is_switched(phase: Phase, event: Event) -> None:
    assert phase in BEFORE_SWITCH
    move = step(phase, event)
    assert move.commands == (Command.STOP_CANDIDATE, Command.FINISH)
    assert move.phase is (Phase.ABORTED if event is Event.ABORT else Phase.FAILED)
    assert list(ways(move.phase)) == [[]]


def test_a_candidate_can_fail_and_be_given_up_in_every_phase_before_the_switch() -> None:
    assert {phase for phase, event in TABLE if event is Event.CANDIDATE_FAILED} == BEFORE_SWITCH
    assert {phase for phase, event in TABLE if event is Event.ABORT} == BEFORE_SWITCH == ABORTABLE
    assert {phase for phase, event in TABLE if event is Event.DEADLINE} == {Phase.PROBING}


def test_once_switched_no_way_stops_the_candidate() -> None:
    after = [way[[event for event, _ in way].index(Event.SWITCHED) :] for way in ways(Phase.READY) if len(way) > 1]
    assert after
    for way in after:
        assert Command.STOP_CANDIDATE not in commands(way)
        assert way[-1][1].phase is Phase.DONE


def test_every_swap_reports_once_and_last() -> None:
    for way in ways():
        assert commands(way).count(Command.FINISH) == 1
        assert commands(way)[-1] is Command.FINISH


def test_another_swap_may_begin_when_this_one_is_settled_though_the_old_one_still_drains() -> None:
    assert set(Phase) - UNDER_WAY == FINAL | {Phase.DRAINING}


@pytest.mark.parametrize(("phase", "event"), [line for line in itertools.product(Phase, Event) if line not in TABLE])
def test_what_is_not_in_the_table_is_out_of_place(phase: Phase, event: Event) -> None:
    with pytest.raises(OutOfPlace, match=str(phase)):
        step(phase, event)
