import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from frontdoor.policy.generation import Generation, Happening, Seat, State
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.swap import ABORTABLE, TABLE, UNDER_WAY, Command, Event, Move, OutOfPlace, Phase, step
from frontdoor.policy.switchboard import Switchboard

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


# -- the table and what it commands, carried out on a real route ----------------------------------------------------


@dataclass(eq=False)
class Swap:
    """A swap, and what has become of it."""

    old: Generation
    phase: Phase = Phase.ASKED
    candidate: Generation | None = None
    commands: list[Command] = field(default_factory=list)
    """Those that were carried out."""
    events: list[Event] = field(default_factory=list)
    """Those that were in place."""


class Swaps(RuleBasedStateMachine):
    """Swaps to which anything happens at any time, while streams come and go.

    Each command is carried out as the door does it. A switch that is asked for is made at the event that reports it:
    what comes in between is what the door looks for in that instant, an abort or the end of the candidate.
    """

    def __init__(self) -> None:
        super().__init__()
        self.board = Switchboard()
        self.ledger = Ledger()
        self.generations: list[Generation] = []
        self.swaps: list[Swap] = []
        self.leases: list[Seat] = []

    @initialize()
    def the_first_generation_serves(self) -> None:
        self.serves = self.start()
        self.serves.happen(Happening.PROVED_READY, 0.0)
        self.board.switch(self.serves, 0.0)

    def start(self) -> Generation:
        number = len(self.generations) + 1
        generation = Generation(f"v{number}", number, since=0.0)
        generation.seats.append(Seat(generation, 0, f"run/g{number}/0.sock", up=True))
        self.generations.append(generation)
        return generation

    # -- what happens -----------------------------------------------------------------------------------------------

    def of(self, *phases: Phase) -> list[Swap]:
        return [swap for swap in self.swaps if swap.phase in phases]

    @precondition(lambda self: not self.of(*UNDER_WAY))
    @rule()
    def a_swap_is_asked_for(self) -> None:
        self.swaps.append(Swap(self.serves))

    @precondition(lambda self: self.of(*set(Phase) - FINAL))
    @rule(data=st.data())
    def it_goes_well(self, data: st.DataObject) -> None:
        """Else few would come as far as a switch: most of what the table knows is failures."""
        swap = data.draw(st.sampled_from(self.of(*set(Phase) - FINAL)))
        (event,) = [event for phase, event in TABLE if phase is swap.phase and event not in FAILURES]
        self.happens(swap, event)

    @precondition(lambda self: self.of(*set(Phase) - FINAL))
    @rule(data=st.data())
    def what_the_table_knows(self, data: st.DataObject) -> None:
        swap = data.draw(st.sampled_from(self.of(*set(Phase) - FINAL)))
        self.happens(swap, data.draw(st.sampled_from([event for phase, event in TABLE if phase is swap.phase])))

    @precondition(lambda self: self.swaps)
    @rule(data=st.data(), event=st.sampled_from(Event))
    def anything(self, data: st.DataObject, event: Event) -> None:
        swap = data.draw(st.sampled_from(self.swaps))
        if (swap.phase, event) in TABLE:
            self.happens(swap, event)
        else:
            with pytest.raises(OutOfPlace):
                step(swap.phase, event)

    def happens(self, swap: Swap, event: Event) -> None:
        phase, commands = step(swap.phase, event)
        if event is Event.PROVED_READY:
            assert swap.candidate is not None
            swap.candidate.happen(Happening.PROVED_READY, 0.0)
        elif event is Event.SWITCHED:
            self.switch(swap)
        elif event is Event.DRAINED:
            for seat in [seat for seat in self.leases if seat.generation is swap.old]:
                self.end(seat, Reason.DRAIN_CLOSED)
            swap.old.happen(Happening.EMPTIED, 0.0)
        swap.phase = phase
        swap.events.append(event)
        for command in commands:
            self.carry_out(swap, command)

    def carry_out(self, swap: Swap, command: Command) -> None:
        swap.commands.append(command)
        if command is Command.START:
            swap.candidate = self.start()
        elif command is Command.STOP_CANDIDATE:
            assert swap.candidate is not None
            swap.candidate.happen(Happening.ABANDONED if swap.phase is Phase.ABORTED else Happening.FAILED, 0.0)
        elif command is Command.DRAIN:
            assert swap.old.state is State.DRAINING

    def switch(self, swap: Swap) -> None:
        assert swap.commands[-1] is Command.SWITCH, "what nobody has asked for"
        assert swap.candidate is not None
        assert self.board.switch(swap.candidate, 0.0) is swap.old
        self.serves = swap.candidate

    @rule()
    def a_client_comes(self) -> None:
        self.ledger.accept()
        seat = self.board.lease()
        assert seat is not None
        assert seat.generation is self.serves
        self.leases.append(seat)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), reason=st.sampled_from(Reason))
    def a_stream_ends(self, data: st.DataObject, reason: Reason) -> None:
        self.end(data.draw(st.sampled_from(self.leases)), reason)

    def end(self, seat: Seat, reason: Reason) -> None:
        self.leases.remove(seat)
        self.board.release(seat)
        self.ledger.end(reason)

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def one_is_active_and_only_a_switch_changes_which(self) -> None:
        assert [generation for generation in self.generations if generation.state is State.ACTIVE] == [self.serves]
        assert self.board.active is self.serves

    @invariant()
    def until_its_switch_a_swap_changes_nothing(self) -> None:
        for swap in self.of(*UNDER_WAY - {Phase.BAKING}):
            assert swap.old is self.serves
            assert swap.candidate is None or swap.candidate.total == 0

    @invariant()
    def a_swap_that_failed_has_never_been_switched(self) -> None:
        for swap in self.of(Phase.FAILED, Phase.ABORTED):
            assert Event.SWITCHED not in swap.events
            assert swap.candidate is not None
            assert swap.candidate.state in (State.FAILED, State.STOPPING)
            assert (swap.candidate.open, swap.candidate.total) == (0, 0)

    @invariant()
    def it_is_switched_once_and_never_after_an_abort(self) -> None:
        for swap in self.swaps:
            assert swap.commands.count(Command.SWITCH) <= 1
            assert swap.events.count(Event.SWITCHED) <= 1
            assert not {Event.SWITCHED, Event.ABORT} <= set(swap.events)
            assert swap.commands.count(Command.FINISH) == (swap.phase in FINAL)

    @invariant()
    def the_ledger_adds_up(self) -> None:
        assert self.ledger.accepted == self.ledger.open + sum(self.ledger.ended.values())
        assert self.ledger.open == len(self.leases) == sum(generation.open for generation in self.generations)
        assert {seat.generation.state for seat in self.leases} <= {State.ACTIVE, State.DRAINING}


TestSwaps = Swaps.TestCase
# A machine that is busy with something else is no failure: no deadline.
TestSwaps.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
