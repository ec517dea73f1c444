"""The verdict on a door process, with times passed in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.keeper.pulse import MOST, QUARTERS, TIMEOUT, Beat, Pulse


class Watch:
    """A keeper that looks when it is due, and a clock."""

    def __init__(self, timeout: float = 8.0) -> None:
        self.now = 1000.0
        self.pulse = Pulse(self.now, timeout)

    def beat(self, late: float = 0.0) -> Beat:
        """Sleep until there is something to do, or ``late`` seconds longer, and do it."""
        self.now = max(self.now, self.pulse.at) + late
        return self.pulse.beat(self.now)

    def beats(self, count: int) -> list[Beat]:
        return [self.beat() for _ in range(count)]

    def hear(self) -> None:
        self.pulse.heard(self.now)


@pytest.fixture
def watch() -> Watch:
    it = Watch()
    it.hear()
    return it


def test_who_answers_is_asked_once_a_quarter(watch: Watch) -> None:
    began = watch.now
    for _ in range(10):
        assert watch.beat() is Beat.PING
        watch.hear()
    assert watch.now - began == 10 * 8.0 / QUARTERS
    assert watch.pulse.answers


def test_who_does_not_answer_for_the_whole_time_hangs(watch: Watch) -> None:
    assert watch.beat() is Beat.PING
    asked = watch.now
    assert watch.beats(3) == [Beat.REST] * 3, "and is asked once, for the wire is not to fill"
    assert watch.now - asked < 8.0
    assert watch.beat() is Beat.DEAD
    assert watch.now - asked == 8.0
    assert watch.beat() is Beat.DEAD, "until it is dead"
    assert not watch.pulse.answers


def test_an_answer_in_the_last_quarter_is_one(watch: Watch) -> None:
    watch.beats(QUARTERS)
    watch.hear()
    assert watch.pulse.answers
    assert watch.beats(QUARTERS + 1)[-1] is Beat.DEAD


def test_a_watchdog_hears_of_it_half_way(watch: Watch) -> None:
    told = []
    for _ in range(QUARTERS):
        watch.beat()
        told.append(watch.pulse.answers)
    assert told == [True, True, False, False]


def test_a_start_is_waited_for_as_if_it_had_been_asked() -> None:
    watch = Watch()
    assert watch.beats(QUARTERS) == [Beat.REST] * 3 + [Beat.DEAD]
    assert watch.now == 1008


@pytest.mark.parametrize(("hung", "seconds"), [(0, TIMEOUT), (1, 2 * TIMEOUT), (2, 4 * TIMEOUT), (50, MOST * TIMEOUT)])
def test_after_a_start_that_hung_the_next_has_longer(hung: int, seconds: float) -> None:
    watch = Watch()
    watch.pulse.be_patient(hung, watch.now)
    watch.beats(QUARTERS - 1)
    assert watch.beat() is Beat.DEAD
    assert watch.now == 1000 + seconds


@given(st.lists(st.sampled_from([0.0, 3.0, 3600.0, 1e6]), min_size=3, max_size=3))
def test_a_keeper_that_was_stopped_itself_does_not_hold_that_against_it(late: list[float]) -> None:
    watch = Watch()
    watch.hear()
    assert watch.beat() is Beat.PING
    assert [watch.beat(late=seconds) for seconds in late] == [Beat.REST] * 3
    watch.hear()
    assert watch.beat() is Beat.PING


def test_one_that_never_hangs_is_asked_all_the_same(watch: Watch) -> None:
    watch.pulse.set(math.inf, watch.now)
    assert watch.beat() is Beat.PING
    assert watch.beats(100) == [Beat.REST] * 100
    assert watch.now - 1000 == 101 * TIMEOUT / QUARTERS
    assert not watch.pulse.answers, "a watchdog has an opinion of its own"
    watch.hear()
    assert watch.beat() is Beat.PING


def test_another_time_holds_from_now_on(watch: Watch) -> None:
    watch.pulse.set(800.0, watch.now)
    assert watch.pulse.at == watch.now + 200
    watch.pulse.set(0.4, watch.now)
    assert watch.beats(QUARTERS + 1)[-1] is Beat.DEAD
    assert watch.now == pytest.approx(1000.5)


def test_after_a_time_in_which_it_stood_still_it_begins_anew(watch: Watch) -> None:
    watch.beats(QUARTERS)
    watch.now += 100
    watch.pulse.resume(watch.now)
    assert watch.pulse.beat(watch.now) is Beat.REST
    assert watch.beats(QUARTERS + 1) == [Beat.PING, *[Beat.REST] * 3, Beat.DEAD]
    assert watch.pulse.silence(watch.now) == (QUARTERS + 1) * 2


def test_nothing_is_done_before_it_is_time(watch: Watch) -> None:
    assert watch.pulse.beat(watch.pulse.at - 0.001) is Beat.REST
    assert watch.beat() is Beat.PING
