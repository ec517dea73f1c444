"""What follows from deaths, with times passed in: each test is a chronicle."""

from __future__ import annotations

import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.keeper.deaths import DELAYS, KEPT, WINDOW, Death, Deaths

KILLED, SEGFAULT, EXCEPTION = -signal.SIGKILL, -signal.SIGSEGV, 1


class Chronicle:
    """Door processes that die, one after the other."""

    def __init__(self) -> None:
        self.deaths = Deaths()
        self._now = 0.0

    def dies(self, at: float, status: int = EXCEPTION, *, served: bool = True, of: int = 0, silent: float = 0) -> float:
        """One has died at that time, which went on serving since the last one, but for ``silent`` seconds.

        The seconds until the next one starts. ``of``: the stream in hand.
        """
        if served:
            self.deaths.served()
        lived, self._now = at - self._now - silent if served else 0.0, at
        return self.deaths.add(Death(at, status, served, max(0.0, lived), silent, of))

    @property
    def quarantine(self) -> object:
        return self.deaths.quarantine


@pytest.fixture
def chronicle() -> Chronicle:
    return Chronicle()


# -- how soon the next one starts ---------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 3), min_size=1, max_size=100), st.sampled_from([signal.SIGKILL, signal.SIGTERM]))
def test_who_is_killed_from_outside_is_replaced_at_once_however_often(gaps: list[float], number: int) -> None:
    chronicle, now = Chronicle(), 0.0
    for gap in gaps:
        now += gap
        assert chronicle.dies(now, -number) == 0
    assert chronicle.quarantine == []


@pytest.mark.parametrize("status", [0, 1, 70, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL])
def test_who_dies_by_its_own_doing_again_and_again_waits_longer_and_longer(chronicle: Chronicle, status: int) -> None:
    assert [chronicle.dies(second, status) for second in range(6)] == [*DELAYS, DELAYS[-1], DELAYS[-1]]


def test_who_dies_before_it_served_waits_too_whoever_has_killed_it(chronicle: Chronicle) -> None:
    assert [chronicle.dies(second, KILLED, served=False) for second in range(4)] == list(DELAYS)


def test_deaths_from_outside_between_them_do_not_count(chronicle: Chronicle) -> None:
    assert chronicle.dies(0.0, EXCEPTION) == DELAYS[0]
    assert chronicle.dies(1.0, KILLED) == 0
    assert chronicle.dies(2.0, KILLED) == 0
    assert chronicle.dies(3.0, EXCEPTION) == DELAYS[1]
    assert chronicle.dies(3.5, KILLED) == 0


def test_deaths_are_forgotten_after_ten_seconds(chronicle: Chronicle) -> None:
    for second in range(3):
        chronicle.dies(second)
    assert chronicle.dies(2 + WINDOW) == DELAYS[0]


def test_a_crash_an_hour_is_answered_at_once(chronicle: Chronicle) -> None:
    assert {chronicle.dies(hour * 3600) for hour in range(50)} == {0.0}


# -- a hang -------------------------------------------------------------------------------------------------------


def test_a_hang_is_its_own_doing_although_it_ends_by_sigkill(chronicle: Chronicle) -> None:
    assert Death(0, KILLED, served=True, silent=10.04).how == "killed, for it had not answered for 10.0 s"
    assert [chronicle.dies(at, KILLED, silent=10) for at in (0, 12, 24)] == list(DELAYS[:3])


def test_the_time_in_which_it_hung_does_not_part_the_deaths(chronicle: Chronicle) -> None:
    """Else no stream that makes it hang for ten seconds would ever have done it three times in ten."""
    for at in (0.0, 12.0, 24.0):
        chronicle.dies(at, KILLED, of=7, silent=10)
    assert chronicle.quarantine == [7]


def test_what_it_lived_before_it_hung_does(chronicle: Chronicle) -> None:
    for at in (0.0, 15.5, 31.0):  # twice 5.5 s of life
        chronicle.dies(at, KILLED, of=7, silent=10)
    assert chronicle.quarantine == []


@pytest.mark.parametrize("start", [0, 5, 60])
def test_the_time_that_a_start_takes_does_not_part_them_either(start: float) -> None:
    """On a busy machine it is seconds."""
    deaths = Deaths()
    for number in range(3):
        deaths.served()
        deaths.add(Death(number * (start + 1), EXCEPTION, served=True, lived=1.0, suspect=7))
    assert deaths.quarantine == [7]


def test_starts_that_hang_are_counted_as_long_as_there_is_no_other_end(chronicle: Chronicle) -> None:
    counts = []
    for served, silent in ((True, 10), (False, 10), (False, 20), (False, 0), (False, 10), (True, 10)):
        chronicle.dies(0, KILLED, served=served, silent=silent)
        counts.append(chronicle.deaths.hung_starts)
    assert counts == [0, 1, 2, 0, 1, 0]


# -- who is left out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [EXCEPTION, SEGFAULT])
def test_a_stream_that_was_in_hand_three_times_is_left_out(chronicle: Chronicle, status: int) -> None:
    seen = []
    for second in range(3):
        chronicle.dies(second, status, of=7)
        seen.append(chronicle.quarantine)
    assert seen == [[], [], [7]], "and not sooner"


def test_three_times_in_more_than_ten_seconds_is_chance(chronicle: Chronicle) -> None:
    for second in (0, 5, 10):
        chronicle.dies(second, of=7)
    assert chronicle.quarantine == []


def test_kills_from_outside_make_nobody_a_suspect(chronicle: Chronicle) -> None:
    for second in range(50):
        chronicle.dies(second / 10, KILLED, of=7)
    assert chronicle.quarantine == []


def test_two_deaths_and_a_kill_are_no_three(chronicle: Chronicle) -> None:
    chronicle.dies(0, of=7)
    chronicle.dies(1, of=7)
    chronicle.dies(2, KILLED, of=7)
    assert chronicle.quarantine == []


def test_of_several_each_that_was_in_hand_is_left_out_and_no_other(chronicle: Chronicle) -> None:
    """A client that comes again and again, each time as another stream, costs nobody else his."""
    for second, stream in enumerate((7, 8, 9)):
        chronicle.dies(second, of=stream)
    assert chronicle.quarantine == [7, 8, 9]


def test_if_that_has_not_helped_all_are_left_out(chronicle: Chronicle) -> None:
    for second, stream in enumerate((7, 8, 9, 10)):
        chronicle.dies(second, of=stream)
    assert chronicle.quarantine == "all"


@pytest.mark.parametrize("suspects", [(0, 0, 0), (7, 0, 7), (7, 7, 0)])
def test_if_one_of_the_three_died_of_nobody_knows_what_all_are_left_out(
    chronicle: Chronicle, suspects: tuple[int, ...]
) -> None:
    for second, stream in enumerate(suspects):
        chronicle.dies(second, of=stream)
    assert chronicle.quarantine == "all"


def test_whoever_was_left_out_does_not_tell_against_the_next_one(chronicle: Chronicle) -> None:
    for second in range(3):
        chronicle.dies(second, of=7)
    chronicle.dies(4, of=8)
    assert chronicle.quarantine == [], "the first death of that one"
    chronicle.dies(5, of=8)
    chronicle.dies(6, of=8)
    assert chronicle.quarantine == [8]


def test_one_that_comes_back_is_left_out_at_once(chronicle: Chronicle) -> None:
    """The next process was killed before the keeper had dropped what it had left out."""
    for second in range(3):
        chronicle.dies(second, of=7)
    chronicle.dies(4, of=7)
    assert chronicle.quarantine == [7]


def test_who_is_left_out_stays_so_until_somebody_has_served(chronicle: Chronicle) -> None:
    for second in range(3):
        chronicle.dies(second, of=7)
    chronicle.dies(3, KILLED, served=False)
    assert chronicle.quarantine == [7]
    chronicle.deaths.served()
    assert chronicle.quarantine == []


# -- what is kept -------------------------------------------------------------------------------------------------


def test_the_chronicle_goes_through_json(chronicle: Chronicle) -> None:
    for second in range(3):
        chronicle.dies(second, KILLED, of=7, silent=2)
    other = Deaths()
    other.recall(json.loads(json.dumps(chronicle.deaths.remember())))
    assert list(other) == list(chronicle.deaths)
    assert other.quarantine == [7]
    assert other.add(Death(3, EXCEPTION, served=True, lived=1.0)) == chronicle.dies(3, EXCEPTION)


def test_a_later_code_may_have_more_to_say_of_a_death() -> None:
    assert Death.decode({"at": 1, "status": 2, "served": True, "weather": "rain"}) == Death(1, 2, served=True)


def test_it_does_not_grow(chronicle: Chronicle) -> None:
    for hour in range(1000):
        chronicle.dies(hour * 3600)
    assert len(list(chronicle.deaths)) == KEPT


@pytest.mark.parametrize(
    ("status", "words"), [(-9, "signal 9"), (-11, "signal 11"), (0, "exit code 0"), (7, "exit code 7")]
)
def test_how_it_ended_in_words(status: int, words: str) -> None:
    assert Death(0, status, served=True).how == words
