"""Exhaustive: every way in which three generations can stand, told in any order."""

import itertools
from collections.abc import Iterator

import pytest

from frontdoor.policy.generation import ENDED, Generation, State
from frontdoor.policy.history import Past
from frontdoor.policy.roster import RUNNING, STANDING_BY, Full, standing_by, to_send_away


def generations(*states: State) -> list[Generation]:
    """v1#1, v2#2, v1#3, v2#4, …"""
    return [Generation(f"v{2 - n % 2}", n, since=0.0, state=state) for n, state in enumerate(states, 1)]


def every() -> Iterator[list[Generation]]:
    """In every state each, and in every order: a door's generations come from a dict, which promises none."""
    for states in itertools.product(State, repeat=3):
        yield from map(list, itertools.permutations(generations(*states)))


def ids(found: list[Generation]) -> list[str]:
    return [generation.id for generation in found]


# -- taking one back ------------------------------------------------------------------------------------------------


def test_the_newest_of_a_version_that_drains_or_is_warm_can_be_taken() -> None:
    for known in every():
        for version in ("v1", "v2", "v3"):
            can = [g for g in known if g.version == version and g.state in (State.DRAINING, State.WARM)]
            assert standing_by(known, version) is (max(can, key=lambda g: g.number) if can else None)


def test_a_generation_can_be_named_by_its_id_too() -> None:
    for known in every():
        for generation in known:
            can = generation.state in (State.DRAINING, State.WARM)
            assert standing_by(known, generation.id) is (generation if can else None)


def test_a_name_is_the_whole_name() -> None:
    known = [Generation("v1", 12, 0.0, State.WARM), Generation("v1.1", 13, 0.0, State.WARM)]
    assert standing_by(iter(known), "v1") is known[0]
    for other in ("v", "v1#1", "v1#13", "12", "#12", ""):
        assert standing_by(iter(known), other) is None


# -- making room ----------------------------------------------------------------------------------------------------


def test_what_counts_is_what_runs() -> None:
    assert set(State) - RUNNING == ENDED | {State.STOPPING}
    assert STANDING_BY < RUNNING


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_as_many_warm_ones_go_as_there_has_to_be_room_and_no_more(most: int) -> None:
    for known in every():
        running = sum(generation.state in RUNNING for generation in known)
        warm = sum(generation.state is State.WARM for generation in known)
        for back_to in (None, Past("v1"), *[Past("v1", number) for number in range(1, 5)]):
            if running - warm >= most:
                with pytest.raises(Full):
                    to_send_away(known, most, back_to)
                continue
            gone = to_send_away(known, most, back_to)
            assert {generation.state for generation in gone} <= {State.WARM}
            assert len(gone) == max(0, running + 1 - most)
            # The oldest go, and where a rollback leads to goes when nothing else is left.
            stay = [g for g in known if g.state is State.WARM and g not in gone]
            number = back_to.number if back_to else None
            assert gone == sorted(gone, key=lambda g: (g.number == number, g.number))
            others = [g for g in stay if g.number != number]
            assert all(g.number < other.number for g in gone for other in others if g.number != number)
            assert not others or number not in {g.number for g in gone}


def test_the_one_that_a_rollback_leads_to_goes_last() -> None:
    known = generations(State.WARM, State.WARM, State.WARM, State.DRAINING, State.ACTIVE)
    back_to = Past("v1", 1)
    assert ids(to_send_away(known, 6, back_to)) == []
    assert ids(to_send_away(known, 5, back_to)) == ["v2#2"]
    assert ids(to_send_away(known, 4, back_to)) == ["v2#2", "v1#3"]
    assert ids(to_send_away(known, 3, back_to)) == ["v2#2", "v1#3", "v1#1"]
    with pytest.raises(Full):
        to_send_away(known, 2, back_to)
    # After a restart of frontdoor only the version is known, and any generation of it does as well as another.
    assert ids(to_send_away(known, 4, Past("v2"))) == ["v1#1", "v2#2"]
    assert ids(to_send_away(iter(known), 5, None)) == ["v1#1"]


def test_the_past_is_named_by_its_generation_where_that_is_known() -> None:
    assert (Past("v1", 7).id, Past("v1").id) == ("v1#7", "v1")
