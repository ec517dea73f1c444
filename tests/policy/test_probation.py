import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.policy.conduct import WINDOW
from frontdoor.policy.generation import Generation
from frontdoor.policy.probation import Finding, Probation, Rules

SWITCH = 1000.0
BAKE = 30.0
END = SWITCH + BAKE


def old_one(streams: int = 0, *, early: int = 0, refused: int = 0, crashed: tuple[float, ...] = ()) -> Generation:
    """``v1#1``: so many streams, some of which it closed early; dials that nobody took; crashes at these times."""
    generation = Generation("v1", 1, since=0.0)
    serve(generation, streams - early)
    serve(generation, early, early=True)
    refuse(generation, refused)
    for at in crashed:
        generation.conduct.crashed(at)
    return generation


def new_one() -> Generation:
    return Generation("v2", 2, since=0.0)


def serve(generation: Generation, streams: int, *, early: bool = False) -> None:
    for _ in range(streams):
        generation.total += 1
        generation.conduct.dialled(0.0, SWITCH)
        if early:
            generation.conduct.closed_early(generation.total)


def refuse(generation: Generation, dials: int) -> None:
    for _ in range(dials):
        generation.conduct.dial_failed(generation.total, SWITCH)


def streams_until_found(old: Generation, bake: float = BAKE) -> int | None:
    """How many streams that all fail meet a new generation before that is noticed; None: it never is."""
    new = new_one()
    probation = Probation(new, old, Rules(), SWITCH, bake)
    for streams in range(1, 10 * WINDOW):
        serve(new, 1, early=True)
        if probation.finding(SWITCH + 1):
            return streams
    return None


# -- crashes ----------------------------------------------------------------------------------------------------------


def test_a_crash_is_enough() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    assert probation.finding(SWITCH) is None
    new.conduct.crashed(SWITCH + 3)
    assert str(probation.finding(SWITCH + 3)) == "one of its processes has crashed"


def test_as_many_as_the_rules_allow_are_no_reason() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(crashes=3), SWITCH, BAKE)
    new.conduct.crashed(SWITCH + 1)
    new.conduct.crashed(SWITCH + 2)
    assert probation.finding(SWITCH + 2) is None
    new.conduct.crashed(SWITCH + 3)
    assert str(probation.finding(SWITCH + 3)) == "its processes have crashed 3 times"


def test_nor_are_as_many_as_the_old_one_had_in_an_equal_time_before() -> None:
    # 30 s of probation: the crash of 30 s before the switch does not count, nor does one after it.
    old = old_one(300, crashed=(SWITCH - 30, SWITCH - 29, SWITCH, SWITCH + 1))
    new = new_one()
    probation = Probation(new, old, Rules(), SWITCH, BAKE)
    for second in (1, 2):
        new.conduct.crashed(SWITCH + second)
        assert probation.finding(SWITCH + second) is None
    new.conduct.crashed(SWITCH + 3)
    said = "its processes have crashed 3 times (v1#1: 2 in an equal time)"
    assert str(probation.finding(SWITCH + 3)) == said


def test_crashes_before_the_switch_are_nothing_to_it() -> None:
    # It was active before, and is taken back.
    new = new_one()
    new.conduct.crashed(SWITCH - 1)
    new.conduct.crashed(SWITCH)
    assert Probation(new, old_one(), Rules(), SWITCH, BAKE).finding(SWITCH + 1) is None


def test_a_canary_is_compared_with_the_minute_before_and_with_the_same_time() -> None:
    old = old_one(300, crashed=(SWITCH - 61, SWITCH - 59))
    new = new_one()
    probation = Probation(new, old, Rules(), SWITCH)
    new.conduct.crashed(SWITCH + 1)
    assert probation.finding(SWITCH + 1) is None
    old.conduct.crashed(SWITCH + 2)
    new.conduct.crashed(SWITCH + 3)
    assert probation.finding(SWITCH + 3) is None
    new.conduct.crashed(SWITCH + 4)
    said = "its processes have crashed 3 times (v1#1: 2 in an equal time)"
    assert str(probation.finding(SWITCH + 4)) == said


# -- failures ---------------------------------------------------------------------------------------------------------


def test_five_streams_that_fail_are_enough() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    serve(new, 7)
    serve(new, 2, early=True)
    refuse(new, 2)
    assert probation.finding(SWITCH + 1) is None
    refuse(new, 1)
    said = "5 of its last 12 new streams failed: 3 dials that nobody took, 2 early closes (v1#1: 0 of 300)"
    assert str(probation.finding(SWITCH + 1)) == said


def test_one_dial_and_one_close_are_said_so() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(failures=2), SWITCH, BAKE)
    serve(new, 1, early=True)
    refuse(new, 1)
    said = "2 of its last 2 new streams failed: 1 dial that nobody took, 1 early close (v1#1: 0 of 300)"
    assert str(probation.finding(SWITCH + 1)) == said


def test_five_in_more_than_a_hundred_are_not() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    for _ in range(20):
        serve(new, 1, early=True)
        serve(new, 24)
        assert probation.finding(SWITCH + 1) is None


def test_what_failed_before_the_switch_is_nothing_to_it() -> None:
    new = new_one()
    refuse(new, 4)
    serve(new, 4, early=True)
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    refuse(new, 4)
    assert probation.finding(SWITCH + 1) is None
    refuse(new, 1)
    said = "5 of its last 5 new streams failed: 5 dials that nobody took, 0 early closes (v1#1: 0 of 300)"
    assert str(probation.finding(SWITCH + 1)) == said


def test_a_stream_that_began_right_before_the_switch_and_is_closed_after_it_counts_as_a_new_one() -> None:
    new = new_one()
    serve(new, 6)
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    serve(new, 1)
    for _ in range(5):
        new.conduct.closed_early(new.total)
    said = "5 of its last 5 new streams failed: 0 dials that nobody took, 5 early closes (v1#1: 0 of 300)"
    assert str(probation.finding(SWITCH + 1)) == said


def test_slow_is_no_reason() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    for _ in range(200):
        new.total += 1
        new.conduct.held(SWITCH)
        new.conduct.dialled(4.0, SWITCH + 1)
    assert probation.finding(SWITCH + 1) is None


@pytest.mark.parametrize("streams", [20, 300, 5000])
def test_an_application_that_always_closes_early_is_not_switched_back(streams: int) -> None:
    assert streams_until_found(old_one(streams, early=streams)) is None
    assert streams_until_found(old_one(streams, early=streams), bake=math.inf) is None


@pytest.mark.parametrize(("early", "met"), [(0, 5), (3, 6), (30, 7), (90, 13), (150, None)])
def test_how_many_meet_a_bad_release_when_the_old_one_was_not_perfect(early: int, met: int | None) -> None:
    # Five beyond twice the share: 5 + 2 · 90/300 · 13 = 12.8
    assert streams_until_found(old_one(300, early=early)) == met


def test_a_share_of_a_few_streams_says_nothing() -> None:
    # It had one stream, and failed that: as if it had failed one in ten.
    assert streams_until_found(old_one(1, early=1)) == 7
    assert streams_until_found(old_one(5, early=5)) is None  # one in two: then it is an application of that kind


def test_a_first_release_has_nothing_to_be_compared_with() -> None:
    new = new_one()
    probation = Probation(new, None, Rules(), SWITCH, BAKE)
    refuse(new, 5)
    said = "5 of its last 5 new streams failed: 5 dials that nobody took, 0 early closes"
    assert str(probation.finding(SWITCH + 1)) == said
    new.conduct.crashed(SWITCH + 1)
    assert str(probation.finding(SWITCH + 1)) == "one of its processes has crashed"


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 20), st.lists(st.sampled_from("...dc"), max_size=300))
@settings(deadline=None)
def test_failures_are_too_many_exactly_beyond_twice_the_share(
    streams: int, failed: int, most: int, after: list[str]
) -> None:
    old = old_one(streams, early=min(streams, failed))
    new = new_one()
    serve(new, 3, early=True)
    probation = Probation(new, old, Rules(failures=most), SWITCH, BAKE)
    attempts: list[bool] = []
    for kind in after:
        if kind == "d":
            refuse(new, 1)
        else:
            serve(new, 1, early=kind == "c")
        attempts.append(kind in "dc")
        last = attempts[-WINDOW:]
        usual = min(streams, failed) / max(streams, 2 * most)
        finding = probation.finding(SWITCH + 1)
        assert (finding is not None) == (sum(last) >= most + 2 * usual * len(last))
        if finding is not None:
            assert (finding.failed_dials + finding.early_closes, finding.streams) == (sum(last), len(last))


@given(st.integers(1, 5), st.integers(0, 300), st.integers(0, 15))
def test_twenty_streams_at_most_meet_a_release_that_stops_taking_them(most: int, good: int, early: int) -> None:
    # The old one failed one in twenty at the most. If it was worse than that, a hundred good ones hide more bad ones.
    new = new_one()
    probation = Probation(new, old_one(300, early=early), Rules(failures=most), SWITCH, BAKE)
    serve(new, good)
    met = 0
    while probation.finding(SWITCH + 1) is None:
        serve(new, 1, early=True)
        met += 1
    assert most <= met <= 20


# -- a canary against the other one at the same time ------------------------------------------------------------------


def test_what_both_suffer_from_is_not_the_canarys_fault() -> None:
    old, new = old_one(100_000), new_one()
    probation = Probation(new, old, Rules(), SWITCH)
    refuse(old, 95)  # the database is down
    refuse(new, 50)
    assert probation.finding(SWITCH + 1) is None
    serve(old, 100)  # up again
    refuse(new, 5)
    said = "55 of its last 55 new streams failed: 55 dials that nobody took, 0 early closes (v1#1: 95 of 100195)"
    assert str(probation.finding(SWITCH + 2)) == said


def test_after_the_switch_it_is_the_old_ones_whole_life_that_counts() -> None:
    old, new = old_one(1000), new_one()
    refuse(old, 5)  # right before the switch
    probation = Probation(new, old, Rules(), SWITCH, BAKE)
    refuse(new, 6)
    said = "6 of its last 6 new streams failed: 6 dials that nobody took, 0 early closes (v1#1: 5 of 1005)"
    assert str(probation.finding(SWITCH + 1)) == said


def test_a_canary_is_watched_as_long_as_it_is_one() -> None:
    new = new_one()
    probation = Probation(new, old_one(10), Rules(), SWITCH)
    assert probation.until == math.inf
    new.conduct.crashed(SWITCH + 1e6)
    assert probation.finding(SWITCH + 1e6) is not None


# -- its time ---------------------------------------------------------------------------------------------------------


def test_when_it_is_over_nothing_is_found_any_more() -> None:
    new = new_one()
    probation = Probation(new, old_one(300), Rules(), SWITCH, BAKE)
    assert probation.until == END
    new.conduct.crashed(END - 0.001)
    assert probation.finding(END - 0.001) == Finding(1, 0, 0, 0, "v1#1", (0, 0))
    assert probation.finding(END) is None


@pytest.mark.parametrize("bake", [BAKE, math.inf])
def test_another_door_process_goes_on_with_what_is_left_of_it(bake: float) -> None:
    old, new = old_one(300, crashed=(SWITCH - 10,)), new_one()
    refuse(new, 3)
    first = Probation(new, old, Rules(), SWITCH, bake)
    serve(new, 8)
    refuse(new, 4)
    new.conduct.crashed(SWITCH + 1)
    resumed = Probation.resumed(new, old, Rules(), json.loads(json.dumps(first.note())))
    assert (resumed.until, resumed.note()) == (first.until, first.note())
    assert (first.finding(SWITCH + 2), resumed.finding(SWITCH + 2)) == (None, None)
    refuse(new, 1)
    said = "5 of its last 13 new streams failed: 5 dials that nobody took, 0 early closes (v1#1: 0 of 300)"
    assert (str(first.finding(SWITCH + 2)), str(resumed.finding(SWITCH + 2))) == (said, said)


def test_what_the_process_before_had_not_noted_in_time_is_lost_and_no_harm_is_done() -> None:
    old, new = old_one(300), new_one()
    refuse(new, 3)
    note = Probation(new, old, Rules(), SWITCH, BAKE).note()
    again = new_one()  # its three failed dials are forgotten
    resumed = Probation.resumed(again, old, Rules(), note)
    assert resumed.finding(SWITCH + 1) is None
    serve(again, 3)
    refuse(again, 5)
    assert resumed.finding(SWITCH + 1) is not None


def test_it_says_whom_it_watches() -> None:
    rules = "Rules(crashes=1, failures=5)"
    watched = f"<Probation of v2#2 against v1#1, {rules}>"
    assert repr(Probation(new_one(), old_one(), Rules(), SWITCH, BAKE)) == watched
    assert repr(Probation(new_one(), None, Rules(), SWITCH)) == f"<Probation of v2#2 against nothing, {rules}>"
