"""Switchboard, generations, ledger and drain together, as the door process uses them, in every order of events."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from frontdoor.policy.drain import Drain
from frontdoor.policy.generation import ENDED, Generation, Happening, Impossible, Seat, State
from frontdoor.policy.history import Past
from frontdoor.policy.ledger import CELLS, Ledger, Reason
from frontdoor.policy.roster import RUNNING, STANDING_BY, Full, standing_by, to_send_away
from frontdoor.policy.switchboard import Switchboard

draws = st.data()
unlike_others = (Reason.LOST, Reason.DRAIN_CLOSED, Reason.PROXY_HEADER)
reasons = st.sampled_from([reason for reason in Reason if reason not in unlike_others])

MAY_HOLD_LEASES = {State.ACTIVE, State.DRAINING}
CANDIDATE = {State.STARTING, State.READY}
SWITCHABLE = {State.READY, State.DRAINING, State.WARM}


def generation_with(*up: bool, number: int = 1, state: State = State.READY) -> Generation:
    """A generation with a seat for each of ``up``."""
    generation = Generation(f"v{1 + (number - 1) % 3}", number, since=0.0, state=state)
    generation.seats += [Seat(generation, n, f"run/g{number}/{n}.sock", up=is_up) for n, is_up in enumerate(up)]
    return generation


def test_a_stream_in_the_middle_of_a_swap() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    assert board.lease() is None
    old, new = generation_with(True, number=1), generation_with(True, number=2)
    assert board.switch(old, 1.0) is None
    lease = board.lease()
    assert lease is old.seats[0]
    assert board.switch(new, 2.0) is old
    assert (old.state, new.state, board.active) == (State.DRAINING, State.ACTIVE, new)
    assert (old.open, emptied) == (1, [])
    assert board.lease() is new.seats[0]
    board.release(lease)
    assert (old.open, old.total, emptied) == (0, 1, [old])


def test_new_streams_go_to_the_least_loaded_process_that_is_up() -> None:
    board = Switchboard()
    generation = generation_with(True, False, True, True)
    board.switch(generation, 1.0)
    taken = [board.lease() for _ in range(6)]
    assert [seat.process for seat in taken if seat] == [0, 2, 3, 0, 2, 3]
    board.release(generation.seats[2])
    generation.seats[1].up = True
    again = [board.lease() for _ in range(4)]
    assert [seat.process for seat in again if seat] == [1, 1, 2, 0]


def test_a_process_that_did_not_take_the_stream_just_now_is_passed_over() -> None:
    board = Switchboard()
    generation = generation_with(True, True, False)
    board.switch(generation, 1.0)
    first, second, down = generation.seats
    assert board.lease(but=[first]) is second
    assert board.lease(but=[second]) is first
    assert board.lease(but=[first, second]) is None  # though the third is down: nobody is asked twice
    assert board.lease(but=[down]) is first
    assert (generation.open, generation.total) == (3, 3)


def test_a_dial_that_failed_was_no_stream() -> None:
    board = Switchboard()
    generation = generation_with(True)
    board.switch(generation, 1.0)
    seat = board.lease()
    assert seat is not None
    assert (generation.open, generation.total, seat.open) == (1, 1, 1)
    board.forgo(seat)
    assert (generation.open, generation.total, seat.open) == (0, 0, 0)


def test_a_stream_that_lives_through_a_crash_has_its_place_again() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    drains = generation_with(False, True, state=State.DRAINING)
    drains.total = 2  # as it was noted, a moment too early
    for _ in range(3):
        board.retake(drains.seats[0])  # its process is not up: it may be again, and the stream says what becomes of it
    assert (drains.open, drains.total, [seat.open for seat in drains.seats]) == (3, 3, [3, 0])
    for _ in range(3):
        assert not emptied
        board.release(drains.seats[0])
    assert emptied == [drains]
    drains.total = 10
    board.retake(drains.seats[1])
    assert drains.total == 10


def test_who_gives_up_the_last_lease_of_a_draining_generation_empties_it_too() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    old = generation_with(True, number=1)
    board.switch(old, 1.0)
    seat = board.lease()
    assert seat is not None
    board.switch(generation_with(True, number=2), 2.0)
    board.forgo(seat)
    assert emptied == [old]


def test_a_generation_that_drains_is_taken_back_with_its_streams() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    old, new = generation_with(True, number=1), generation_with(True, number=2)
    board.switch(old, 1.0)
    stays, leaves = board.lease(), board.lease()
    assert stays is leaves is old.seats[0]
    board.switch(new, 2.0)
    lease = board.lease()
    assert lease is new.seats[0]
    assert board.switch(old, 3.0) is new
    assert (old.state, new.state, board.active) == (State.ACTIVE, State.DRAINING, old)
    assert (old.open, old.total, old.since) == (2, 2, 3.0)
    assert board.lease() is old.seats[0]
    for _ in range(3):
        board.release(old.seats[0])
    assert (old.open, emptied) == (0, [])  # it does not drain any more: without a stream it is idle
    board.release(lease)
    assert emptied == [new]
    assert board.switch(new, 4.0) is old  # and the other way round, though it has none


def test_a_warm_generation_is_taken_back_as_it_is() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    old, new = generation_with(True, number=1, state=State.WARM), generation_with(True, number=2)
    board.switch(new, 1.0)
    assert board.switch(old, 2.0) is new
    seat = board.lease()
    assert seat is old.seats[0]
    assert board.switch(new, 3.0) is old
    board.release(seat)
    assert emptied == [old]
    assert (old.state, new.state, old.total) == (State.DRAINING, State.ACTIVE, 1)


def test_a_switch_to_the_active_one_changes_nothing() -> None:
    board = Switchboard()
    generation = generation_with(True)
    board.switch(generation, 1.0)
    with pytest.raises(Impossible):
        board.switch(generation, 2.0)
    assert (board.active, generation.state, generation.since) == (generation, State.ACTIVE, 1.0)


def test_a_door_that_is_taken_away_drains_what_it_has() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    assert board.retire(0.5) is None  # it had not begun to serve
    generation = generation_with(True)
    board.switch(generation, 1.0)
    seat = board.lease()
    assert seat is not None
    assert board.retire(2.0) is generation
    assert (board.active, generation.state, generation.since) == (None, State.DRAINING, 2.0)
    assert board.lease() is None
    assert emptied == []
    board.release(seat)
    assert emptied == [generation]
    assert board.retire(3.0) is None
    assert repr(board) == "<Switchboard to None>"


def test_a_door_that_is_being_stopped_is_not_taken_away_as_well() -> None:
    board = Switchboard()
    generation = generation_with(True)
    board.switch(generation, 1.0)
    generation.happen(Happening.STOPPED, 2.0)
    with pytest.raises(Impossible):
        board.retire(3.0)
    assert (board.active, generation.state, generation.since) == (generation, State.STOPPING, 2.0)


@pytest.mark.parametrize("state", sorted(set(State) - SWITCHABLE))
def test_a_switch_to_what_is_not_ready_changes_nothing(state: State) -> None:
    board = Switchboard()
    old, new = generation_with(True, number=1), generation_with(True, number=2, state=state)
    board.switch(old, 1.0)
    with pytest.raises(Impossible):
        board.switch(new, 2.0)
    assert (board.active, old.state, old.since, new.state) == (old, State.ACTIVE, 1.0, state)


def test_when_frontdoor_stops_there_are_no_more_leases_and_no_more_switches() -> None:
    board = Switchboard()
    old, new = generation_with(True, number=1), generation_with(True, number=2)
    board.switch(old, 1.0)
    old.happen(Happening.STOPPED, 2.0)
    assert board.lease() is None  # its process is still up, and about to get its stop signal
    with pytest.raises(Impossible):
        board.switch(new, 3.0)
    assert (board.active, old.state, new.state) == (old, State.STOPPING, State.READY)
    assert repr(board) == "<Switchboard to <Generation v1#1 stopping, 0 open>>"


@dataclass(eq=False)
class Lease:
    """A stream's number, and the seat that it was given."""

    number: int
    seat: Seat


class Traffic(RuleBasedStateMachine):
    """Streams come and go while swaps, crashes and drains happen; beside it a model that only counts."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = memoryview(bytearray(8 * CELLS)).cast("Q")
        self.ledger = Ledger(self.memory)
        self.told: list[Generation] = []
        self.board = Switchboard(self.told.append)
        self.generations: list[Generation] = []
        self.drains: dict[int, Drain] = {}
        self.now = 100.0
        self.past: Past | None = None
        # The model:
        self.leases: list[Lease] = []
        self.unseated = 0
        """Clients that were accepted, and still owe the PROXY header that they must begin with."""
        self.accepted = 0
        self.ended: Counter[str] = Counter()
        self.totals: Counter[int] = Counter()
        self.emptied: list[Generation] = []

    # -- generations ------------------------------------------------------------------------------------------------

    def of(self, *states: State) -> list[Generation]:
        return [generation for generation in self.generations if generation.state in states]

    @property
    def active(self) -> Generation | None:
        found = self.of(State.ACTIVE)
        return found[0] if found else None

    @initialize(processes=st.integers(1, 3))
    def first_generation(self, processes: int) -> None:
        self.start(processes)
        self.prove(self.generations[0])
        self.switch_to(self.generations[0])

    @precondition(lambda self: len(self.of(*CANDIDATE)) < 3)
    @rule(processes=st.integers(1, 3))
    def start(self, processes: int) -> None:
        number = len(self.generations) + 1
        self.generations.append(generation_with(*[False] * processes, number=number, state=State.STARTING))

    @precondition(lambda self: self.of(State.STARTING))
    @rule(data=draws)
    def a_candidate_is_ready(self, data: st.DataObject) -> None:
        self.prove(data.draw(st.sampled_from(self.of(State.STARTING))))

    def prove(self, generation: Generation) -> None:
        for seat in generation.seats:
            seat.up = True
        generation.happen(Happening.PROVED_READY, self.now)

    @precondition(lambda self: self.of(*CANDIDATE))
    @rule(data=draws, how=st.sampled_from([Happening.FAILED, Happening.ABANDONED]))
    def a_candidate_fails(self, data: st.DataObject, how: Happening) -> None:
        data.draw(st.sampled_from(self.of(*CANDIDATE))).happen(how, self.now)

    @precondition(lambda self: self.active and self.of(*SWITCHABLE))
    @rule(data=draws)
    def switch(self, data: st.DataObject) -> None:
        self.switch_to(data.draw(st.sampled_from(self.of(*SWITCHABLE))))

    @precondition(lambda self: self.active and self.of(*STANDING_BY))
    @rule(data=draws)
    def one_is_taken_back(self, data: st.DataObject) -> None:
        """A swap with --reuse, or a rollback: by the version's name, or by the generation's."""
        one = data.draw(st.sampled_from(self.of(*STANDING_BY)))
        found = standing_by(self.generations, data.draw(st.sampled_from([one.version, one.id])))
        assert found is not None
        assert found.version == one.version
        assert found.number >= one.number
        before = found.open, found.total
        self.switch_to(found)
        assert (found.open, found.total) == before

    @precondition(lambda self: self.past is not None and self.active)
    @rule()
    def rollback(self) -> None:
        assert self.past is not None
        found = standing_by(self.generations, self.past.id)
        if found is not None:
            assert found.number == self.past.number
            self.switch_to(found)

    @precondition(lambda self: self.active)
    @rule(processes=st.integers(1, 3), count=st.integers(1, 3))
    def swap_under_load(self, processes: int, count: int) -> None:
        """All of it at once: what is worth trying comes after it."""
        self.clients_come(count)
        self.start(processes)
        self.prove(self.generations[-1])
        self.switch_to(self.generations[-1])

    @precondition(lambda self: self.not_to_be_switched_to())
    @rule(data=draws)
    def a_switch_that_cannot_be_changes_nothing(self, data: st.DataObject) -> None:
        before = self.standing()
        with pytest.raises(Impossible):
            self.board.switch(data.draw(st.sampled_from(self.not_to_be_switched_to())), self.now)
        assert self.standing() == before

    def not_to_be_switched_to(self) -> list[Generation]:
        stopped = self.board.active is not None and self.active is None
        return [generation for generation in self.generations if generation.state not in SWITCHABLE or stopped]

    def switch_to(self, generation: Generation) -> None:
        before = self.active
        old = self.board.switch(generation, self.now)
        assert old is before
        assert self.board.active is generation
        self.drains.pop(generation.number, None)  # one that is taken back drains no more
        if old is not None:
            self.drains[old.number] = Drain(self.now, timeout=60.0, close_over=20.0)
            self.past = Past(old.version, old.number)

    def standing(self) -> tuple[Generation | None, list[tuple[State, float]]]:
        return self.board.active, [(generation.state, generation.since) for generation in self.generations]

    @precondition(lambda self: self.active and len(self.generations) > 4)
    @rule()
    def the_door_is_taken_away(self) -> None:
        """By a reload. It may come back with another one."""
        before = self.active
        assert before is not None
        assert self.board.retire(self.now) is before
        assert (self.board.active, before.state) == (None, State.DRAINING)
        self.drains[before.number] = Drain(self.now, timeout=60.0, close_over=20.0)

    @precondition(lambda self: self.board.active is None and self.of(*SWITCHABLE))
    @rule(data=draws)
    def the_door_comes_back(self, data: st.DataObject) -> None:
        self.switch_to(data.draw(st.sampled_from(self.of(*SWITCHABLE))))

    @precondition(lambda self: self.of(State.WARM))
    @rule(data=draws)
    def a_warm_one_cools(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.of(State.WARM))).happen(Happening.COOLED, self.now)

    @rule(most=st.integers(2, 6))
    def room_is_made_for_one_more(self, most: int) -> None:
        before = self.standing()
        try:
            gone = to_send_away(self.generations, most, self.past)
        except Full:
            assert len(self.of(*RUNNING - {State.WARM})) >= most
            assert self.standing() == before
            return
        assert self.standing() == before  # to say who has to go sends nobody away
        for generation in gone:
            assert not generation.open
            generation.happen(Happening.COOLED, self.now)
        assert not gone or len(self.of(*RUNNING)) == most - 1
        assert len(self.of(*RUNNING)) < most

    @precondition(lambda self: self.of(State.ACTIVE, *STANDING_BY))
    @rule(data=draws)
    def a_process_crashes_or_is_up_again(self, data: st.DataObject) -> None:
        serves = self.active or data.draw(st.sampled_from(self.of(*STANDING_BY)))
        down = [seat for seat in serves.seats if not seat.up]
        seat = data.draw(st.sampled_from(down or serves.seats))
        seat.up = not seat.up

    @precondition(lambda self: self.of(State.STOPPING))
    @rule(data=draws)
    def the_processes_are_gone(self, data: st.DataObject) -> None:
        generation = data.draw(st.sampled_from(self.of(State.STOPPING)))
        for seat in generation.seats:
            seat.up = False
        generation.happen(Happening.GONE, self.now)

    # -- streams ----------------------------------------------------------------------------------------------------

    def take_seat(self) -> Seat | None:
        """Lease, and compare with what the model says."""
        up = [seat for seat in self.active.seats if seat.up] if self.active else []
        loads = {seat: self.load(seat) for seat in up}
        seat = self.board.lease()
        assert (seat is None) == (not up)
        if seat is not None:
            assert loads[seat] == min(loads.values())  # a KeyError here: it is not up, or not on the active one
        return seat

    def load(self, seat: Seat) -> int:
        return sum(lease.seat is seat for lease in self.leases)

    @rule(count=st.integers(1, 5))
    def clients_come(self, count: int) -> None:
        for _ in range(count):
            self.ledger.accept()
            self.accepted += 1
            seat = self.take_seat()
            if seat is None:
                self.end_without_lease(Reason.NO_BACKEND)
            else:
                self.totals[seat.generation.number] += 1
                self.leases.append(Lease(self.accepted, seat))

    @rule()
    def a_client_comes_that_owes_a_header(self) -> None:
        self.ledger.accept()
        self.accepted += 1
        self.unseated += 1

    @precondition(lambda self: self.unseated)
    @rule(valid=st.booleans())
    def it_sends_one(self, valid: bool) -> None:
        self.unseated -= 1
        if not valid:
            self.end_without_lease(Reason.PROXY_HEADER)
        elif (seat := self.take_seat()) is None:
            self.end_without_lease(Reason.NO_BACKEND)
        else:
            self.totals[seat.generation.number] += 1
            self.leases.append(Lease(self.accepted, seat))

    @rule()
    def a_dial_fails(self) -> None:
        self.ledger.accept()
        self.accepted += 1
        seat = self.take_seat()
        if seat is not None:
            self.board.forgo(seat)
        self.end_without_lease(Reason.NO_BACKEND)

    @precondition(lambda self: self.leases)
    @rule(data=draws)
    def a_dial_that_took_long_fails(self, data: st.DataObject) -> None:
        """There may have been a switch since the lease: that is the case to try."""
        draining = [lease for lease in self.leases if lease.seat.generation.state is State.DRAINING]
        lease = data.draw(st.sampled_from(draining or self.leases))
        self.totals[lease.seat.generation.number] -= 1
        self.give_back(lease)
        self.board.forgo(lease.seat)
        self.end_without_lease(Reason.NO_BACKEND)

    @precondition(lambda self: self.leases)
    @rule(data=draws, reason=reasons)
    def a_stream_ends(self, data: st.DataObject, reason: Reason) -> None:
        self.end(data.draw(st.sampled_from(self.leases)), reason)

    @precondition(lambda self: len(self.leases) > 15)
    @rule()
    def everybody_leaves(self) -> None:
        for lease in list(self.leases):
            self.end(lease, Reason.CLIENT_CLOSED)
        assert self.ledger.open - self.unseated == sum(generation.open for generation in self.generations) == 0

    def end(self, lease: Lease, reason: Reason) -> None:
        self.give_back(lease)
        self.board.release(lease.seat)
        self.end_without_lease(reason)

    def give_back(self, lease: Lease) -> None:
        """The model's side of a release: what it expects to be told."""
        generation = lease.seat.generation
        self.leases.remove(lease)
        if generation.state is State.DRAINING and not self.on(generation):
            self.emptied.append(generation)

    def end_without_lease(self, reason: Reason) -> None:
        self.ledger.end(reason)
        self.ended[reason.value] += 1

    def on(self, generation: Generation) -> list[Lease]:
        return [lease for lease in self.leases if lease.seat.generation is generation]

    # -- drains -----------------------------------------------------------------------------------------------------

    @rule(seconds=st.floats(0.1, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.of(State.DRAINING))
    @rule(data=draws, happening=st.sampled_from([Happening.EMPTIED, Happening.KEPT_WARM]))
    def the_drain_is_looked_at(self, data: st.DataObject, happening: Happening) -> None:
        generation = data.draw(st.sampled_from(self.of(State.DRAINING)))
        drain = self.drains[generation.number]
        due = drain.due(self.now, generation.open)
        assert not due or self.now >= drain.begins
        assert due == generation.open or self.now < drain.deadline
        for lease in self.on(generation)[:due]:
            self.end(lease, Reason.DRAIN_CLOSED)
        if self.on(generation):
            with pytest.raises(Impossible, match="streams are open"):
                generation.happen(happening, self.now)
        else:
            kept = happening is Happening.KEPT_WARM
            assert generation.happen(happening, self.now) is (State.WARM if kept else State.STOPPING)

    # -- frontdoor itself -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.leases and len(self.generations) > 3)
    @rule()
    def the_door_process_dies(self) -> None:
        """What is left: the ledger's memory, and the generations with their numbers and totals."""
        self.ledger = Ledger(self.memory)
        lost = len(self.leases) + self.unseated
        assert self.ledger.open == lost
        assert self.ledger.restore() == lost
        self.ended["lost"] += lost
        self.leases.clear()
        self.unseated = 0
        self.told.clear()
        self.emptied.clear()
        self.board = Switchboard(self.told.append)
        self.generations = [self.restored(generation) for generation in self.generations]

    def restored(self, old: Generation) -> Generation:
        if old.state in ENDED:
            return old
        new = generation_with(*[seat.up for seat in old.seats], number=old.number, state=State.STOPPING)
        new.total = old.total
        if old.state is State.ACTIVE:
            new.state = State.READY
            self.board.switch(new, self.now)
        return new

    @precondition(lambda self: self.active and len(self.generations) > 6)
    @rule()
    def frontdoor_stops(self) -> None:
        for lease in list(self.leases):
            self.end(lease, Reason.SHUTDOWN)
        for generation in self.of(State.ACTIVE, *STANDING_BY, *CANDIDATE):
            generation.happen(Happening.STOPPED, self.now)

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_is_active_and_the_route_leads_to_it(self) -> None:
        assert len(self.of(State.ACTIVE)) <= 1
        if self.active is not None:
            assert self.board.active is self.active
        else:
            assert self.board.active is None or self.board.active.state in (State.STOPPING, State.STOPPED)

    @invariant()
    def no_retired_generation_has_a_lease(self) -> None:
        assert {lease.seat.generation.state for lease in self.leases} <= MAY_HOLD_LEASES

    @invariant()
    def every_lease_is_counted_once(self) -> None:
        for generation in self.generations:
            assert generation.open == len(self.on(generation)) == sum(seat.open for seat in generation.seats)
            assert [seat.open for seat in generation.seats] == [self.load(seat) for seat in generation.seats]
            assert generation.total == self.totals[generation.number]

    @invariant()
    def the_ledger_adds_up(self) -> None:
        assert self.ledger.accepted == self.accepted == self.ledger.open + sum(self.ledger.ended.values())
        assert self.ledger.open == len(self.leases) + self.unseated
        assert self.ledger.ended == +self.ended

    @invariant()
    def emptied_is_told_when_the_last_lease_of_a_draining_one_is_released_and_only_then(self) -> None:
        assert self.told == self.emptied


TestTraffic = Traffic.TestCase
# A machine that is busy with something else is no failure: no deadline.
TestTraffic.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
