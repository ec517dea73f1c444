import functools
import itertools

import pytest

from frontdoor.policy.generation import ENDED, TABLE, Generation, Happening, Impossible, Seat, State, step

STANDING_BY = {State.DRAINING, State.WARM}
"""It has served, its processes run, and it may be taken back."""


def after(state: State) -> set[State]:
    """The states that can come next."""
    return {to for (at, _), to in TABLE.items() if at is state}


def reachable(start: State) -> set[State]:
    found: set[State] = set()
    ahead = [start]
    while ahead:
        state = ahead.pop()
        if state not in found:
            found.add(state)
            ahead += after(state)
    return found


def taken_back(at: State, happening: Happening) -> bool:
    return at in STANDING_BY and happening in (Happening.SWITCHED_TO, Happening.TRIED)


def test_every_state_can_be_reached_from_the_start() -> None:
    assert reachable(State.STARTING) == set(State)


@pytest.mark.parametrize("state", sorted(State))
def test_every_life_ends(state: State) -> None:
    assert bool(after(state)) == (state not in ENDED)  # a way out, but of the end
    assert reachable(state) & ENDED


def test_what_begins_as_a_canary_is_ready_and_stays_so() -> None:
    assert {at: to for (at, happening), to in TABLE.items() if happening is Happening.TRIED} == dict.fromkeys(
        {State.READY} | STANDING_BY, State.READY
    )


@pytest.mark.parametrize("state", sorted(State))
def test_nothing_comes_again_but_for_a_generation_that_is_taken_back(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_again = any(state in reachable(later) for later in after(state))
    assert comes_again == (state in STANDING_BY | {State.ACTIVE, State.READY})
    for line in [line for line in TABLE if taken_back(*line)]:
        monkeypatch.delitem(TABLE, line)
    monkeypatch.delitem(TABLE, (State.READY, Happening.TRIED))  # it was ready, and is ready as a canary too
    assert all(state not in reachable(later) for later in after(state))


def test_a_generation_becomes_active_by_a_switch_and_was_proved_ready_before_that() -> None:
    assert {line for line, to in TABLE.items() if to is State.ACTIVE} == {
        (State.READY, Happening.SWITCHED_TO),
        (State.DRAINING, Happening.SWITCHED_TO),
        (State.WARM, Happening.SWITCHED_TO),
    }
    proved = (State.STARTING, Happening.PROVED_READY)
    canaries = {(at, Happening.TRIED) for at in {State.READY} | STANDING_BY}
    assert {line for line, to in TABLE.items() if to is State.READY} == {proved} | canaries
    # And what stands by has been active, or a canary.
    assert {line for line, to in TABLE.items() if to is State.DRAINING} == {
        (State.ACTIVE, Happening.REPLACED),
        (State.READY, Happening.WITHDRAWN),
    }
    assert [line for line, to in TABLE.items() if to is State.WARM] == [(State.DRAINING, Happening.KEPT_WARM)]


def test_what_is_being_stopped_never_serves_again() -> None:
    assert reachable(State.STOPPING) == {State.STOPPING} | ENDED


def test_what_served_is_never_abandoned_and_does_not_fail() -> None:
    for state, happening in itertools.product({State.ACTIVE} | STANDING_BY, Happening):
        if happening in (Happening.ABANDONED, Happening.FAILED):
            assert (state, happening) not in TABLE


def test_the_stop_of_frontdoor_stops_whatever_runs() -> None:
    running = set(State) - ENDED - {State.STOPPING}
    assert {at: to for (at, happening), to in TABLE.items() if happening is Happening.STOPPED} == dict.fromkeys(
        running, State.STOPPING
    )


def test_room_is_made_by_warm_ones_alone() -> None:
    assert [at for at, happening in TABLE if happening is Happening.COOLED] == [State.WARM]


@pytest.mark.parametrize(
    ("state", "happening"), [line for line in itertools.product(State, Happening) if line not in TABLE]
)
def test_what_is_not_in_the_table_cannot_happen(state: State, happening: Happening) -> None:
    with pytest.raises(Impossible, match=str(state)):
        step(state, happening)
    generation = Generation("v1", 1, since=10.0, state=state)
    with pytest.raises(Impossible):
        generation.happen(happening, 20.0)
    assert (generation.state, generation.since) == (state, 10.0)


def test_the_life_of_a_generation_that_serves() -> None:
    generation = Generation("v1", 7, since=1.0)
    assert repr(generation) == "<Generation v1#7 starting, 0 open>"
    life = [Happening.PROVED_READY, Happening.SWITCHED_TO, Happening.REPLACED, Happening.EMPTIED, Happening.GONE]
    states = [generation.happen(happening, 2.0 + n) for n, happening in enumerate(life)]
    assert states == ["ready", "active", "draining", "stopping", "stopped"]
    assert (generation.state, generation.since) == (State.STOPPED, 6.0)


def test_the_life_of_a_generation_that_is_taken_back_twice() -> None:
    generation = Generation("v1", 7, since=1.0, state=State.ACTIVE, open=1)
    life = [Happening.REPLACED, Happening.SWITCHED_TO, Happening.REPLACED]
    assert [generation.happen(happening, 2.0) for happening in life] == ["draining", "active", "draining"]
    assert generation.open == 1  # with the stream that it had all the while
    generation.open = 0
    life = [Happening.KEPT_WARM, Happening.SWITCHED_TO, Happening.REPLACED, Happening.KEPT_WARM, Happening.COOLED]
    states = [generation.happen(happening, 3.0 + n) for n, happening in enumerate(life)]
    assert states == ["warm", "active", "draining", "warm", "stopping"]
    assert (generation.state, generation.since) == (State.STOPPING, 7.0)


@pytest.mark.parametrize(
    ("happening", "then"), [(Happening.EMPTIED, State.STOPPING), (Happening.KEPT_WARM, State.WARM)]
)
def test_a_generation_with_an_open_stream_is_neither_retired_nor_warm(happening: Happening, then: State) -> None:
    generation = Generation("v1", 7, since=1.0, state=State.DRAINING, open=1)
    with pytest.raises(Impossible, match="1 streams are open on v1#7"):
        generation.happen(happening, 2.0)
    assert (generation.state, generation.since) == (State.DRAINING, 1.0)
    generation.open = 0
    assert generation.happen(happening, 2.0) is then


def test_the_life_of_a_canary_that_is_found_wanting() -> None:
    generation = Generation("v2", 8, since=1.0, state=State.READY)
    life = [Happening.TRIED, Happening.WITHDRAWN, Happening.EMPTIED, Happening.FAILED]
    states = [generation.happen(happening, 2.0 + n) for n, happening in enumerate(life)]
    assert states == ["ready", "draining", "stopping", "failed"]
    assert (generation.state, generation.since) == (State.FAILED, 5.0)


def test_each_generation_has_a_conduct_of_its_own() -> None:
    one, other = Generation("v1", 1, 0.0), Generation("v1", 2, 0.0)
    one.conduct.crashed(1.0)
    assert (one.conduct.crashes, other.conduct.crashes) == (1, 0)


def test_a_new_seat_takes_no_stream_and_is_not_known_to_be_dead() -> None:
    seat = Seat(Generation("v1", 1, 0.0), 0, "run/g1/0.sock")
    assert not seat.up
    assert not seat.gone()
    assert seat.proxy_protocol == "off"
    seat.missed()  # and nobody needs to know when it was not reached


def test_a_generation_is_able_while_one_of_its_processes_would_take_a_stream() -> None:
    for ups, gones in itertools.product(itertools.product((True, False), repeat=2), repeat=2):
        generation = Generation("v1", 1, 0.0)
        for process, (up, gone) in enumerate(zip(ups, gones, strict=True)):
            generation.seats.append(Seat(generation, process, "", up=up, gone=functools.partial(bool, gone)))
        assert generation.able == ((True, False) in zip(ups, gones, strict=True))
    assert not Generation("v1", 1, 0.0).able
