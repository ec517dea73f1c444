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
from frontdoor.policy.share import WHOLE, Share, ShareByAddress
from frontdoor.policy.switchboard import Switchboard

draws = st.data()
unlike_others = (Reason.LOST, Reason.DRAIN_CLOSED, Reason.PROXY_HEADER)
reasons = st.sampled_from([reason for reason in Reason if reason not in unlike_others])

MAY_HOLD_LEASES = {State.ACTIVE, State.DRAINING}
"""And the canary, which is ready."""
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


def with_canary(part: int, *up: bool) -> tuple[Switchboard, Generation, Generation, list[Generation]]:
    """A route whose active generation has one process, with a canary beside it; and who is told to be passed over."""
    passed_over: list[Generation] = []
    board = Switchboard(passed_over=passed_over.append)
    old, new = generation_with(True, number=1), generation_with(*up, number=2)
    board.switch(old, 1.0)
    board.try_out(new, Share(part), 2.0)
    return board, old, new, passed_over


def test_a_canary_gets_its_share_of_the_new_streams_and_the_active_one_the_rest() -> None:
    board, old, new, _ = with_canary(500, True, True)
    assert (board.active, board.canary) == (old, new)
    assert (old.state, new.state, new.since) == (State.ACTIVE, State.READY, 2.0)
    assert repr(board) == f"<Switchboard to {old}, and to {new}>"
    taken = [board.lease() for _ in range(10_000)]
    assert (old.total, new.total) == (9_500, 500)
    assert [seat.open for seat in new.seats] == [250, 250]
    assert {n % 20 for n, seat in enumerate(taken) if seat is not None and seat.generation is new} == {19}
    board.set_share(3_300)
    for _ in range(10_000):
        board.lease()
    assert (old.total, new.total) == (9_500 + 6_700, 500 + 3_300)


def test_clients_of_one_address_see_one_version() -> None:
    board, old, new, _ = with_canary(0, True)
    board.withdraw(3.0)
    board.try_out(new, ShareByAddress(1, 5_000), 4.0)
    clients = [f"192.0.2.{n}" for n in range(99)]
    seen: dict[str, set[Generation | None]] = {client: set() for client in clients}
    for port in range(10):
        for client in clients:
            seat = board.lease(client=(client, port))
            seen[client].add(seat.generation if seat is not None else None)
    assert {len(versions) for versions in seen.values()} == {1}
    assert set.union(*seen.values()) == {old, new}


def test_a_client_that_the_canary_does_not_take_goes_to_the_active_one_at_once() -> None:
    board, old, new, passed_over = with_canary(5_000, True, True)
    assert board.lease() is old.seats[0]
    first = board.lease()
    assert first is new.seats[0]
    board.forgo(first)
    second = board.lease(but=[first])  # its other process may take him
    assert second is new.seats[1]
    board.forgo(second)
    assert board.lease(but=[first, second]) is old.seats[0]
    assert (old.total, new.total, new.open) == (2, 0, 0)
    assert passed_over == []  # whoever dialled knows
    assert board.lease() is old.seats[0]  # its turn was used up: the one after is the active one's
    assert board.lease() is new.seats[0]


def test_a_canary_without_a_process_is_passed_over_and_somebody_is_told() -> None:
    board, old, new, passed_over = with_canary(5_000, False)
    assert [board.lease() for _ in range(4)] == [old.seats[0]] * 4
    assert passed_over == [new, new]
    assert (old.total, new.total) == (4, 0)
    new.seats[0].up = True
    assert [board.lease() for _ in range(4)] == [old.seats[0], new.seats[0]] * 2


def test_a_client_that_the_active_one_does_not_take_waits_and_never_goes_to_the_canary() -> None:
    board, old, new, passed_over = with_canary(5_000, True)
    for _ in range(5):
        seat = board.lease()
        assert seat is old.seats[0]
        board.forgo(seat)
        assert board.lease(but=[seat]) is None
    old.seats[0].up = False
    assert [board.lease() for _ in range(5)] == [None] * 5
    old.seats[0].up = True
    assert [board.lease() for _ in range(3)] == [old.seats[0], new.seats[0], old.seats[0]]  # he took one turn
    assert passed_over == []


def test_a_client_that_neither_of_them_takes_is_told_of_once_and_waits_for_the_active_one() -> None:
    board, old, new, passed_over = with_canary(WHOLE, False)
    old.seats[0].up = False
    assert [board.lease() for _ in range(5)] == [None] * 5
    assert passed_over == [new]
    new.seats[0].up = old.seats[0].up = True
    assert [board.lease() for _ in range(2)] == [old.seats[0], new.seats[0]]


def test_a_canary_that_is_promoted_has_all_new_streams_and_keeps_those_that_it_has() -> None:
    board, old, new, _ = with_canary(WHOLE, True)
    lease = board.lease()
    assert lease is new.seats[0]
    assert board.switch(new, 3.0) is old
    assert (board.active, board.canary, board.share) == (new, None, None)
    assert (old.state, new.state, new.open, new.total) == (State.DRAINING, State.ACTIVE, 1, 1)
    assert board.lease() is lease
    with pytest.raises(Impossible):
        board.set_share(500)
    with pytest.raises(Impossible):
        board.withdraw(4.0)


def test_a_canary_that_is_withdrawn_drains() -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    old, new = generation_with(True, number=1), generation_with(True, number=2)
    board.switch(old, 1.0)
    board.try_out(new, Share(WHOLE), 2.0)
    lease = board.lease()
    assert lease is new.seats[0]
    assert board.withdraw(3.0) is new
    assert (board.canary, board.share, new.state, new.since) == (None, None, State.DRAINING, 3.0)
    assert board.lease() is old.seats[0]
    assert emptied == []
    board.release(lease)
    assert emptied == [new]


@pytest.mark.parametrize("state", sorted(STANDING_BY))
def test_what_stands_by_is_tried_out_with_the_streams_that_it_has(state: State) -> None:
    emptied: list[Generation] = []
    board = Switchboard(emptied.append)
    old, new = generation_with(True, number=1, state=state), generation_with(True, number=2)
    board.switch(new, 1.0)
    board.retake(old.seats[0])
    board.try_out(old, Share(500), 2.0)
    board.release(old.seats[0])
    assert (old.state, emptied) == (State.READY, [])  # it drains no more: without a stream it is idle


@pytest.mark.parametrize("state", sorted(set(State) - SWITCHABLE))
def test_what_is_not_ready_is_no_canary(state: State) -> None:
    board = Switchboard()
    old, new = generation_with(True, number=1), generation_with(True, number=2, state=state)
    board.switch(old, 1.0)
    with pytest.raises(Impossible):
        board.try_out(new, Share(500), 2.0)
    assert (board.canary, board.share, new.state) == (None, None, state)
    assert board.lease() is old.seats[0]


def test_there_is_one_canary_and_it_stands_beside_something() -> None:
    board = Switchboard()
    one, other, third = (generation_with(True, number=number) for number in (1, 2, 3))
    with pytest.raises(Impossible):
        board.try_out(one, Share(500), 1.0)
    board.switch(one, 1.0)
    board.try_out(other, Share(500), 2.0)
    with pytest.raises(Impossible):
        board.try_out(third, Share(500), 3.0)
    with pytest.raises(Impossible):
        board.switch(third, 3.0)
    assert (board.active, board.canary, third.state, third.since) == (one, other, State.READY, 0.0)


def test_when_frontdoor_stops_a_canary_gets_nothing_more_either() -> None:
    board, old, new, _ = with_canary(WHOLE, True)
    new.happen(Happening.STOPPED, 3.0)
    assert board.lease() is old.seats[0]
    old.happen(Happening.STOPPED, 3.0)
    assert board.lease() is None
    assert board.withdraw(4.0) is new
    assert (new.state, new.since) == (State.STOPPING, 3.0)


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
        self.told_passed_over: list[Generation] = []
        self.board = Switchboard(self.told.append, self.told_passed_over.append)
        self.generations: list[Generation] = []
        self.drains: dict[int, Drain] = {}
        self.now = 100.0
        self.past: Past | None = None
        # The model:
        self.canary: Generation | None = None
        self.turns = 0
        """What the canary should have had by now, in parts of a stream."""
        self.passed_over: list[Generation] = []
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
        generation = data.draw(st.sampled_from(self.of(*CANDIDATE)))
        if generation is not self.canary:
            generation.happen(how, self.now)

    @precondition(lambda self: self.active and self.canary is None and self.of(*SWITCHABLE))
    @rule(data=draws)
    def switch(self, data: st.DataObject) -> None:
        self.switch_to(data.draw(st.sampled_from(self.of(*SWITCHABLE))))

    @precondition(lambda self: self.active and self.canary is None and self.of(*SWITCHABLE))
    @rule(data=draws, part=st.sampled_from([500, 2_500, 5_000, 9_000]))
    def one_is_tried_out(self, data: st.DataObject, part: int) -> None:
        canary = data.draw(st.sampled_from(self.of(*SWITCHABLE)))
        before = canary.open, canary.total
        self.board.try_out(canary, Share(part), self.now)
        assert (canary.open, canary.total, canary.state) == (*before, State.READY)
        self.drains.pop(canary.number, None)
        self.canary, self.turns = canary, 0

    @precondition(lambda self: self.canary)
    @rule(part=st.integers(0, WHOLE))
    def it_gets_another_share(self, part: int) -> None:
        self.board.set_share(part)

    @precondition(lambda self: self.canary)
    @rule()
    def it_is_promoted(self) -> None:
        assert self.canary is not None
        if self.active is not None:
            self.switch_to(self.canary)

    @precondition(lambda self: self.canary)
    @rule()
    def it_is_withdrawn(self) -> None:
        canary, self.canary = self.canary, None
        assert canary is not None
        stopped = canary.state is not State.READY
        assert self.board.withdraw(self.now) is canary
        assert stopped or (canary.state, canary.since) == (State.DRAINING, self.now)
        if not stopped:
            self.drains[canary.number] = Drain(self.now, timeout=60.0, close_over=20.0)

    @precondition(lambda self: self.active and self.canary is None and self.of(*STANDING_BY))
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

    @precondition(lambda self: self.past is not None and self.active and self.canary is None)
    @rule()
    def rollback(self) -> None:
        assert self.past is not None
        found = standing_by(self.generations, self.past.id)
        if found is not None:
            assert found.number == self.past.number
            self.switch_to(found)

    @precondition(lambda self: self.active and self.canary is None)
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
        others = self.canary is not None
        return [
            generation
            for generation in self.generations
            if generation.state not in SWITCHABLE or stopped or (others and generation is not self.canary)
        ]

    def switch_to(self, generation: Generation) -> None:
        before = self.active
        old = self.board.switch(generation, self.now)
        assert old is before
        assert self.board.active is generation
        self.canary = None
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

    @precondition(lambda self: self.board.active is None and self.canary is None and self.of(*SWITCHABLE))
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

    @precondition(lambda self: self.canary or self.of(State.ACTIVE, *STANDING_BY))
    @rule(data=draws)
    def a_process_crashes_or_is_up_again(self, data: st.DataObject) -> None:
        serving = [each for each in (self.active, self.canary) if each is not None]
        serves = data.draw(st.sampled_from(serving or self.of(*STANDING_BY)))
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

    def take_seat(self, but: tuple[Seat, ...] = (), *, turn: bool | None = None) -> Seat | None:
        """Lease, and compare with what the model says; ``turn``: whether it is the canary's, if it has asked before."""
        up = self.up(self.active, but)
        if turn is None:
            turn = self.takes_a_turn()
        if turn and (others := self.up(self.canary, but)):
            up = others
        elif turn and self.canary is not None and self.canary.state is State.READY and not but:
            self.passed_over.append(self.canary)
        loads = {seat: self.load(seat) for seat in up}
        seat = self.board.lease(but)
        assert (seat is None) == (not up)
        if seat is not None:
            assert loads[seat] == min(loads.values())  # a KeyError here: it is not up, or another one's turn
        return seat

    def takes_a_turn(self) -> bool:
        if self.active is None or self.board.share is None:
            return False
        self.turns += self.board.share.part
        turn, self.turns = self.turns >= WHOLE, self.turns % WHOLE
        return turn

    @staticmethod
    def up(generation: Generation | None, but: tuple[Seat, ...]) -> list[Seat]:
        if generation is None or generation.state not in (State.ACTIVE, State.READY):
            return []
        return [seat for seat in generation.seats if seat.up and seat not in but]

    @precondition(lambda self: self.active)
    @rule(refuse=st.integers(0, 4), asks=st.integers(1, 3))
    def a_client_is_dialled_for(self, refuse: int, asks: int) -> None:
        """The first dials fail; if none is left he waits, and asks again, as no canary's, until somebody takes him."""
        self.ledger.accept()
        self.accepted += 1
        turn = self.takes_a_turn()
        for _ in range(asks):
            tried: tuple[Seat, ...] = ()
            while (seat := self.take_seat(tried, turn=turn)) is not None:
                if not refuse:
                    self.totals[seat.generation.number] += 1
                    self.leases.append(Lease(self.accepted, seat))
                    return
                refuse -= 1
                self.board.forgo(seat)
                tried = (*tried, seat)
            turn = False
        self.takes_his_place()
        self.end_without_lease(Reason.NO_BACKEND)

    def takes_his_place(self) -> None:
        """Whoever comes after one who has waited in vain takes his turn, which was none of the canary's."""
        if self.board.share is not None:
            self.board.share.take()

    def load(self, seat: Seat) -> int:
        return sum(lease.seat is seat for lease in self.leases)

    @rule(count=st.integers(1, 5))
    def clients_come(self, count: int) -> None:
        for _ in range(count):
            self.ledger.accept()
            self.accepted += 1
            seat = self.take_seat()
            if seat is None:
                self.takes_his_place()
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
            self.takes_his_place()
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
        self.takes_his_place()
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
        self.takes_his_place()
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
        canary, share = self.canary, self.board.share
        self.board = Switchboard(self.told.append, self.told_passed_over.append)
        self.generations = [self.restored(generation) for generation in self.generations]
        self.canary = None
        if canary is not None and self.board.active is not None and share is not None:
            self.canary, self.turns = self.generations[canary.number - 1], 0
            self.canary.state = State.READY
            self.board.try_out(self.canary, Share(share.part), self.now)

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
    def there_is_a_canary_until_it_is_promoted_or_withdrawn(self) -> None:
        assert self.board.canary is self.canary
        assert (self.board.share is None) == (self.canary is None)

    @invariant()
    def a_canary_is_passed_over_once_for_each_client_who_should_have_been_its(self) -> None:
        assert self.told_passed_over == self.passed_over

    @invariant()
    def no_retired_generation_has_a_lease(self) -> None:
        for lease in self.leases:
            assert lease.seat.generation.state in MAY_HOLD_LEASES or lease.seat.generation is self.canary

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
