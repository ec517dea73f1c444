import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from frontdoor.policy.generation import Generation, Happening, Seat, State
from frontdoor.policy.history import Past
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.roster import RUNNING, STANDING_BY, Full, standing_by, to_send_away
from frontdoor.policy.share import WHOLE, Share
from frontdoor.policy.swap import ABORTABLE, TABLE, UNDER_WAY, Command, Event, Move, OutOfPlace, Phase, step
from frontdoor.policy.switchboard import Switchboard

FINAL = {Phase.DONE, Phase.FAILED, Phase.ABORTED, Phase.VETOED, Phase.SWITCHED_BACK}
FAILURES = {Event.VETO, Event.CANDIDATE_FAILED, Event.DEADLINE, Event.FOUND_WANTING, Event.ABORT}
NO_CANDIDATE_YET = {Phase.ASKED, Phase.VETTING}
NO_STREAM_YET = {Phase.STARTING, Phase.PROBING, Phase.READY, Phase.SWITCHING}
"""The phases in which there is a candidate, and it has had no stream."""
CANARIES = {Phase.CANARY, Phase.PROMOTING}
"""Those in which it has its share of the streams."""
BEFORE_SWITCH = NO_STREAM_YET | CANARIES
"""The phases in which there is a candidate, and the old generation is still the active one."""
BEGINNINGS = (Phase.ASKED, Phase.RESUMED)

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


def test_every_phase_can_be_reached_from_a_beginning() -> None:
    reached = {move.phase for beginning in BEGINNINGS for way in ways(beginning) for _, move in way}
    assert reached == set(Phase) - set(BEGINNINGS)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_but_the_final_ones_has_a_way_out_and_every_way_ends(phase: Phase) -> None:
    assert any(at is phase for at, _ in TABLE) == (phase not in FINAL)
    assert all((way[-1][1].phase if way else phase) in FINAL for way in ways(phase))


def test_the_way_to_done_has_one_switch_between_the_proof_and_the_drain() -> None:
    done = [way for way in ways() if way[-1][1].phase is Phase.DONE]
    assert len(done) == 4  # what is started or taken, at once or as a canary first
    for way in done:
        events = [event for event, _ in way]
        (proof,) = {Event.PROVED_READY, Event.TAKEN} & set(events)
        go = [Event.TRIED, Event.PROMOTED] if Event.TRIED in events else [Event.AGREED]
        order = [Event.ALLOWED, proof, *go, Event.SWITCHED, Event.BAKED, Event.DRAINED]
        assert [event for event in events if event in order] == order
        ordered = [Command.ASK, Command.START, Command.PROBE, Command.AGREE, Command.SHARE, Command.SWITCH]
        ordered += [Command.BAKE, Command.DRAIN, Command.FINISH]
        if proof is Event.TAKEN:
            ordered.remove(Command.PROBE)  # it has proved it when it was started
        if Event.TRIED not in events:
            ordered.remove(Command.SHARE)
        assert commands(way) == ordered


def test_nothing_is_started_before_the_hook_has_agreed() -> None:
    assert [line for line, move in TABLE.items() if Command.START in move.commands] == [(Phase.VETTING, Event.ALLOWED)]
    for way in ways():
        if way[-1][1].phase is Phase.VETOED:
            assert commands(way) == [Command.ASK, Command.FINISH]


def test_streams_are_asked_for_only_when_all_have_agreed_and_they_only_when_the_candidate_is_ready() -> None:
    assert {line for line, move in TABLE.items() if Command.SWITCH in move.commands} == {
        (Phase.READY, Event.AGREED),
        (Phase.CANARY, Event.PROMOTED),
    }
    assert {line for line, move in TABLE.items() if Command.SHARE in move.commands} == {
        (Phase.READY, Event.TRIED),
        (Phase.RESUMED, Event.CANARY_GOES_ON),  # which was ready when it became a canary
    }
    assert {line for line, move in TABLE.items() if move.phase is Phase.READY} == {
        (Phase.PROBING, Event.PROVED_READY),
        (Phase.STARTING, Event.TAKEN),
    }
    assert all(Command.AGREE in move.commands for move in TABLE.values() if move.phase is Phase.READY)


@pytest.mark.parametrize(("phase", "event"), [line for line in TABLE if line[1] in FAILURES])
def test_after_a_failure_the_old_one_has_all_new_streams_and_the_candidate_loses_what_it_had(
    phase: Phase, event: Event
) -> None:
    move = step(phase, event)
    undo = {
        **dict.fromkeys(NO_CANDIDATE_YET, ()),
        **dict.fromkeys(NO_STREAM_YET, (Command.STOP_CANDIDATE,)),
        **dict.fromkeys(CANARIES, (Command.WITHDRAW,)),  # it has streams, and they may finish
        Phase.BAKING: (Command.SWITCH_BACK,),
    }
    assert move.commands == (*undo[phase], Command.FINISH)
    ends = {Event.VETO: Phase.VETOED, Event.ABORT: Phase.ABORTED}
    if phase in NO_CANDIDATE_YET | NO_STREAM_YET:
        assert move.phase is ends.get(event, Phase.FAILED)
    else:
        by_hand_before_the_switch = event is Event.ABORT and phase in CANARIES
        assert move.phase is (Phase.ABORTED if by_hand_before_the_switch else Phase.SWITCHED_BACK)
    assert list(ways(move.phase)) == [[]]


def test_a_candidate_can_fail_and_be_given_up_in_every_phase_before_the_switch_and_in_its_probation() -> None:
    happens = {event: {phase for phase, at in TABLE if at is event} for event in FAILURES}
    assert happens[Event.CANDIDATE_FAILED] == NO_STREAM_YET | {Phase.PROMOTING}
    # A canary is watched, and so is what has been switched to: there a failure has to be more than one that happens.
    assert happens[Event.FOUND_WANTING] == {Phase.CANARY, Phase.BAKING}
    assert happens[Event.ABORT] == BEFORE_SWITCH | {Phase.VETTING, Phase.BAKING}
    assert happens[Event.DEADLINE] == {Phase.PROBING}
    assert happens[Event.VETO] == {Phase.VETTING}


def test_who_gives_a_swap_up_before_the_switch_is_heard_in_every_phase() -> None:
    # ASKED has no line for it: BEGIN comes in the same instant, and the hook is asked after that.
    assert ABORTABLE == BEFORE_SWITCH | NO_CANDIDATE_YET
    assert {move.phase for (phase, _), move in TABLE.items() if phase is Phase.ASKED} == {Phase.VETTING}


def test_what_has_had_streams_is_never_just_stopped() -> None:
    had = {Event.TRIED, Event.SWITCHED, Event.CANARY_GOES_ON, Event.PROBATION_GOES_ON}
    for (_, event), move in TABLE.items():
        for way in ways(move.phase) if event in had else ():
            assert Command.STOP_CANDIDATE not in commands(way)


def test_once_switched_there_is_a_way_back_until_the_probation_is_over_and_none_after_it() -> None:
    assert [line for line, move in TABLE.items() if Command.SWITCH_BACK in move.commands] == [
        (Phase.BAKING, Event.FOUND_WANTING),
        (Phase.BAKING, Event.ABORT),
    ]
    for (_, event), move in TABLE.items():
        if event is Event.SWITCHED:
            assert move == Move(Phase.BAKING, (Command.BAKE,))
        elif event is Event.BAKED:
            assert [rest[-1][1].phase for rest in ways(move.phase)] == [Phase.DONE]


def test_what_another_process_goes_on_with_has_the_ways_that_it_had() -> None:
    goes_on = {
        Event.CANARY_GOES_ON: (Phase.READY, Event.TRIED),
        Event.PROBATION_GOES_ON: (Phase.SWITCHING, Event.SWITCHED),
    }
    for event, (phase, before) in goes_on.items():
        assert step(Phase.RESUMED, event) == step(phase, before)


def test_every_swap_reports_once_and_last() -> None:
    for way in itertools.chain.from_iterable(map(ways, BEGINNINGS)):
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

    name: str | None
    """What is to be taken, if it is there: a version or an id; None: a new generation is started."""
    phase: Phase = Phase.ASKED
    old: Generation | None = None
    candidate: Generation | None = None
    taken: bool = False
    total: int = 0
    """The candidate's streams when it became the candidate."""
    past: Past | None = None
    """Where a rollback led before the switch."""
    commands: list[Command] = field(default_factory=list)
    """Those that were carried out."""
    events: list[Event] = field(default_factory=list)
    """Those that were in place."""


class Swaps(RuleBasedStateMachine):
    """Swaps to which anything happens at any time, while streams come and go and warm generations cool.

    Each command is carried out as the door does it. A switch that is asked for is made at the event that reports it:
    what comes in between is what the door looks for in that instant, an abort or the end of the candidate. The old
    generation is not sent away, even if it has no stream, while there may be a way back to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.board = Switchboard()
        self.ledger = Ledger()
        self.generations: list[Generation] = []
        self.swaps: list[Swap] = []
        self.leases: list[Seat] = []
        self.past: Past | None = None

    @initialize(most=st.integers(2, 5))
    def the_first_generation_serves(self, most: int) -> None:
        self.most = most
        self.serves = self.start()
        self.serves.happen(Happening.PROVED_READY, 0.0)
        self.board.switch(self.serves, 0.0)

    def start(self) -> Generation:
        number = len(self.generations) + 1
        generation = Generation(f"v{1 + number % 3}", number, since=0.0)
        generation.seats.append(Seat(generation, 0, f"run/g{number}/0.sock", up=True))
        self.generations.append(generation)
        return generation

    # -- what happens -----------------------------------------------------------------------------------------------

    def of(self, *phases: Phase) -> list[Swap]:
        return [swap for swap in self.swaps if swap.phase in phases]

    def standing(self, *states: State) -> list[Generation]:
        return [generation for generation in self.generations if generation.state in states]

    @precondition(lambda self: not self.of(*UNDER_WAY))
    @rule(data=st.data())
    def a_swap_is_asked_for(self, data: st.DataObject) -> None:
        ids = [generation.id for generation in self.standing(*STANDING_BY)]
        names = [None, "v1", "v2", "v3", *ids, *([self.past.id] if self.past else [])]
        name = data.draw(st.sampled_from(names))
        if name is None or standing_by(self.generations, name) is None:
            try:
                to_send_away(self.generations, self.most, self.past)
            except Full:
                return  # refused: nothing has changed
        self.swaps.append(Swap(name))

    @precondition(lambda self: self.of(*set(Phase) - FINAL))
    @rule(data=st.data())
    def it_goes_well(self, data: st.DataObject) -> None:
        """Else few would come as far as a switch: most of what the table knows is failures."""
        swap = data.draw(st.sampled_from(self.of(*set(Phase) - FINAL)))
        well = [event for event in self.possible(swap) if event not in FAILURES] or [Event.CANDIDATE_FAILED]
        self.happens(swap, data.draw(st.sampled_from(well)))

    @precondition(lambda self: self.of(*set(Phase) - FINAL))
    @rule(data=st.data())
    def what_the_table_knows(self, data: st.DataObject) -> None:
        swap = data.draw(st.sampled_from(self.of(*set(Phase) - FINAL)))
        self.happens(swap, data.draw(st.sampled_from(self.possible(swap))))

    @precondition(lambda self: self.swaps)
    @rule(data=st.data(), event=st.sampled_from(Event))
    def anything(self, data: st.DataObject, event: Event) -> None:
        swap = data.draw(st.sampled_from(self.swaps))
        if (swap.phase, event) not in TABLE:
            with pytest.raises(OutOfPlace):
                step(swap.phase, event)
        elif event in self.possible(swap):
            self.happens(swap, event)

    def possible(self, swap: Swap) -> list[Event]:
        """What the table knows, but for what cannot be, as things are."""
        cannot = {Event.STARTED if swap.taken else Event.TAKEN}
        if swap.candidate is not None and swap.candidate.state not in {State.READY} | STANDING_BY:
            cannot |= {Event.SWITCHED, Event.TRIED}  # it was taken, and has been stopped since
        return [event for phase, event in TABLE if phase is swap.phase and event not in cannot]

    def happens(self, swap: Swap, event: Event) -> None:
        phase, commands = step(swap.phase, event)
        if event is Event.PROVED_READY:
            assert swap.candidate is not None
            swap.candidate.happen(Happening.PROVED_READY, 0.0)
        elif event is Event.SWITCHED:
            self.switch(swap)
        elif event is Event.DRAINED and swap.old is not None and swap.old.state is State.DRAINING:
            # Else it has been taken back since, or its last stream has ended by itself.
            for seat in [seat for seat in self.leases if seat.generation is swap.old]:
                self.end(seat, Reason.DRAIN_CLOSED)
            swap.old.happen(Happening.KEPT_WARM, 0.0)
        elif event is Event.TRIED:
            assert swap.candidate is not None
            self.board.try_out(swap.candidate, Share(2_500), 0.0)
        swap.phase = phase
        swap.events.append(event)
        for command in commands:
            self.carry_out(swap, command)

    def carry_out(self, swap: Swap, command: Command) -> None:
        swap.commands.append(command)
        if command is Command.START:
            self.take_or_start(swap)
        elif command is Command.STOP_CANDIDATE:
            assert swap.candidate is not None
            if not swap.taken:  # else it goes on as it was: it may have streams
                aborted = swap.phase is Phase.ABORTED
                swap.candidate.happen(Happening.ABANDONED if aborted else Happening.FAILED, 0.0)
        elif command is Command.WITHDRAW:
            assert self.board.withdraw(0.0) is swap.candidate
        elif command is Command.SWITCH_BACK:
            assert swap.old is not None
            assert self.board.switch(swap.old, 0.0) is swap.candidate
            self.serves, self.past = swap.old, swap.past
        elif command is Command.DRAIN:
            assert swap.old is not None
            assert swap.old.state in STANDING_BY | {State.STOPPING}

    def take_or_start(self, swap: Swap) -> None:
        swap.old = self.board.active
        swap.candidate = standing_by(self.generations, swap.name) if swap.name is not None else None
        swap.taken = swap.candidate is not None
        if swap.candidate is None:
            # There was room when it was asked for, or one to take: a swap that has been let in finds room still.
            for warm in to_send_away(self.generations, self.most, self.past):
                warm.happen(Happening.COOLED, 0.0)
            swap.candidate = self.start()
        swap.total = swap.candidate.total

    def switch(self, swap: Swap) -> None:
        assert swap.commands[-1] is Command.SWITCH, "what nobody has asked for"
        assert swap.candidate is not None
        assert self.board.switch(swap.candidate, 0.0) is swap.old
        swap.past = self.past
        self.past = Past(self.serves.version, self.serves.number)
        self.serves = swap.candidate

    @precondition(lambda self: self.standing(State.DRAINING, State.WARM))
    @rule(data=st.data(), kept=st.booleans())
    def a_generation_goes_on_its_way(self, data: st.DataObject, kept: bool) -> None:
        """Its last stream has ended, or it has been warm for long enough, whatever else is under way."""
        generation = data.draw(st.sampled_from(self.standing(State.DRAINING, State.WARM)))
        if any(swap.old is generation for swap in self.of(Phase.BAKING)):
            return
        if generation.state is State.WARM:
            generation.happen(Happening.COOLED, 0.0)
        elif not generation.open:
            generation.happen(Happening.KEPT_WARM if kept else Happening.EMPTIED, 0.0)

    @rule(count=st.integers(1, 5))
    def clients_come(self, count: int) -> None:
        for _ in range(count):
            self.ledger.accept()
            seat = self.board.lease()
            assert seat is not None
            assert seat.generation in (self.serves, self.canary)
            self.leases.append(seat)

    @property
    def canary(self) -> Generation | None:
        """The model's word for it: the candidate of the swap that has come so far."""
        found = [swap.candidate for swap in self.of(*CANARIES)]
        return found[0] if found else None

    @precondition(lambda self: self.canary)
    @rule(part=st.integers(0, WHOLE))
    def somebody_gives_it_another_share(self, part: int) -> None:
        self.board.set_share(part)

    @precondition(lambda self: self.of(*CANARIES, Phase.BAKING))
    @rule()
    def the_door_process_dies(self) -> None:
        """What is left: the generations, as they stand, and where the swap was. What was young is lost with it."""
        (swap,) = self.of(*CANARIES, Phase.BAKING)
        canary, baking = self.canary, swap.phase is Phase.BAKING
        if swap.phase is Phase.PROMOTING:
            assert swap.commands.pop() is Command.SWITCH  # it was asked for, and not made
        for seat in list(self.leases):
            self.end(seat, Reason.LOST)
        self.board = Switchboard()
        self.serves.state = State.READY
        self.board.switch(self.serves, 0.0)
        if canary is not None:
            self.board.try_out(canary, Share(2_500), 0.0)
        swap.phase = Phase.RESUMED
        self.happens(swap, Event.PROBATION_GOES_ON if baking else Event.CANARY_GOES_ON)

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
        assert self.standing(State.ACTIVE) == [self.serves]
        assert self.board.active is self.serves

    @invariant()
    def there_is_a_canary_while_its_swap_is_there_and_no_longer(self) -> None:
        assert self.board.canary is self.canary
        assert (self.board.share is None) == (self.canary is None)
        assert self.canary is None or self.canary.state is State.READY

    @invariant()
    def until_its_switch_a_swap_changes_nothing(self) -> None:
        for swap in self.of(*ABORTABLE):
            assert (swap.candidate is None) == (swap.old is None) == (swap.phase in NO_CANDIDATE_YET)
            assert swap.old in (None, self.serves)
            assert swap.candidate is None or swap.phase in CANARIES or swap.candidate.total == swap.total

    @invariant()
    def a_swap_that_failed_has_never_been_switched(self) -> None:
        for swap in self.of(Phase.FAILED, Phase.ABORTED, Phase.VETOED):
            assert Event.SWITCHED not in swap.events
            assert (swap.candidate is None) == (Command.START not in swap.commands)
            if swap.candidate is not None and not swap.taken and Event.TRIED not in swap.events:
                assert swap.candidate.state in (State.FAILED, State.STOPPING)
                assert (swap.candidate.open, swap.candidate.total) == (0, 0)

    @invariant()
    def it_is_switched_once_and_never_after_an_abort(self) -> None:
        for swap in self.swaps:
            assert swap.commands.count(Command.SWITCH) <= 1
            assert swap.events.count(Event.SWITCHED) <= 1
            assert swap.commands.count(Command.FINISH) == (swap.phase in FINAL)
            events = [event for event in swap.events if event in {Event.SWITCHED} | FAILURES]
            assert events[:1] == [Event.SWITCHED] or Event.SWITCHED not in events

    @invariant()
    def after_a_switch_there_is_one_way_back_and_it_is_as_if_nothing_had_been(self) -> None:
        for swap in self.swaps:
            assert swap.commands.count(Command.SWITCH_BACK) <= 1
            assert Command.SWITCH_BACK not in swap.commands or Event.SWITCHED in swap.events
        last = self.swaps[-1] if self.swaps else None
        if last is not None and last.phase is Phase.SWITCHED_BACK:
            assert self.serves is last.old
            assert Event.SWITCHED not in last.events or self.past == last.past

    @invariant()
    def there_are_never_more_than_may_run(self) -> None:
        assert sum(generation.state in RUNNING for generation in self.generations) <= self.most

    @invariant()
    def the_ledger_adds_up(self) -> None:
        assert self.ledger.accepted == self.ledger.open + sum(self.ledger.ended.values())
        assert self.ledger.open == len(self.leases) == sum(generation.open for generation in self.generations)
        canaries = {State.READY} if self.canary is not None else set()
        assert {seat.generation.state for seat in self.leases} <= {State.ACTIVE, State.DRAINING} | canaries


TestSwaps = Swaps.TestCase
# A machine that is busy with something else is no failure: no deadline.
TestSwaps.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
