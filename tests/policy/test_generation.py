import itertools

import pytest

from frontdoor.policy.generation import ENDED, TABLE, Generation, Happening, Impossible, Seat, State, step

NOT_BUILT = {State.WARM}
"""A word of the contract that has no line in the table yet. Once it has one, it leaves this set."""


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


def test_every_state_can_be_reached_from_the_start() -> None:
    assert reachable(State.STARTING) == set(State) - NOT_BUILT


@pytest.mark.parametrize("state", sorted(set(State) - NOT_BUILT))
def test_every_life_ends(state: State) -> None:
    assert bool(after(state)) == (state not in ENDED)  # a way out, but of the end
    assert reachable(state) & ENDED
    assert all(state not in reachable(later) for later in after(state))  # and nothing comes again


def test_there_is_one_way_to_become_active_and_it_is_through_ready() -> None:
    assert [line for line, to in TABLE.items() if to is State.ACTIVE] == [(State.READY, Happening.SWITCHED_TO)]
    assert [line for line, to in TABLE.items() if to is State.READY] == [(State.STARTING, Happening.PROVED_READY)]


def test_what_served_is_never_abandoned_and_does_not_fail() -> None:
    for state, happening in itertools.product((State.ACTIVE, State.DRAINING), Happening):
        if happening in (Happening.ABANDONED, Happening.FAILED):
            assert (state, happening) not in TABLE


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


def test_a_generation_with_an_open_stream_is_not_retired() -> None:
    generation = Generation("v1", 7, since=1.0, state=State.DRAINING, open=1)
    with pytest.raises(Impossible, match="1 streams are open on v1#7"):
        generation.happen(Happening.EMPTIED, 2.0)
    assert (generation.state, generation.since) == (State.DRAINING, 1.0)
    generation.open = 0
    assert generation.happen(Happening.EMPTIED, 2.0) is State.STOPPING


def test_a_new_seat_takes_no_stream_and_is_not_known_to_be_dead() -> None:
    seat = Seat(Generation("v1", 1, 0.0), 0, "run/g1/0.sock")
    assert not seat.up
    assert not seat.gone()
