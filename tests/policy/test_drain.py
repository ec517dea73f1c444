import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.policy.drain import Drain

TINY = 1e-6
"""Rounding: the time that the tests pass in is a float like the real one."""

times = st.floats(0, 1e6)
spans = st.floats(0.5, 60)
ends = st.lists(st.tuples(st.floats(0, 120), st.integers(1, 20)), max_size=10).map(sorted)
"""(seconds after the start, streams that end by themselves then)"""


@dataclass(frozen=True)
class Look:
    at: float
    closed: int
    """All that the drain has closed until then."""
    open: int


def watch(
    drain: Drain, now: float, open_: int, ending: Sequence[tuple[float, int]] = (), late: float = 0
) -> list[Look]:
    """Look at the drain as ``next_at`` asks, each time ``late`` seconds after that, until nothing is open."""
    start, closed, waiting, looks = now, 0, list(ending), list[Look]()
    while True:
        while waiting and start + waiting[0][0] <= now:
            open_ -= min(open_, waiting.pop(0)[1])
        due = drain.due(now, open_)
        assert 0 <= due <= open_
        open_, closed = open_ - due, closed + due
        looks.append(Look(now, closed, open_))
        if not open_:
            return looks
        again = drain.next_at(now)
        assert now < again <= drain.deadline
        assert again - now >= 0.1 - TINY or again in (drain.begins, drain.deadline)  # ten looks a second are enough
        now = again + late


def test_the_streams_are_closed_one_by_one_in_the_last_part_of_the_time() -> None:
    # 60 minutes, the last 10 of them for closing, 5 streams
    drain = Drain(1000.0, 3600.0, 600.0)
    looks = watch(drain, 1000.0, 5)
    assert [(look.at - 1000, look.open) for look in looks] == [
        (0, 5),
        (3000, 5),
        (3120, 4),
        (3240, 3),
        (3360, 2),
        (3480, 1),
        (3600, 0),
    ]


def test_a_drain_that_is_to_be_over_now_closes_everything_at_its_first_look() -> None:
    assert Drain(5.0, 0.0, 0.0).due(5.0, 132) == 132


def test_without_close_over_nothing_is_closed_until_everything_is() -> None:
    drain = Drain(0.0, 30.0, 0.0)
    assert (drain.due(29.999, 7), drain.next_at(29.999), drain.due(30.0, 7)) == (0, 30.0, 7)


def test_a_close_over_that_is_longer_than_the_time_takes_all_of_it() -> None:
    drain = Drain(100.0, 30.0, 600.0)
    assert (drain.begins, drain.deadline) == (100.0, 130.0)


def test_who_looks_when_all_have_ended_is_asked_back_at_the_deadline_only() -> None:
    drain = Drain(0.0, 60.0, 60.0)
    assert drain.due(30.0, 0) == 0
    assert drain.next_at(30.0) == 60.0


@given(times, spans | st.just(math.inf), st.integers(0, 10_000), st.lists(st.floats(0, 1e9), max_size=20))
def test_an_infinite_time_closes_nothing_ever(now: float, close_over: float, open_: int, later: list[float]) -> None:
    drain = Drain(now, math.inf, close_over)
    for at in sorted(later):
        assert drain.due(now + at, open_) == 0
        assert drain.next_at(now + at) == math.inf


@given(times, spans, spans, st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_nothing_is_closed_before_it_begins(
    now: float, timeout: float, close_over: float, open_: int, share: float
) -> None:
    drain = Drain(now, timeout, close_over)
    assert abs(drain.begins - max(now, now + timeout - close_over)) <= TINY
    at = now + share * (drain.begins - now)
    if at < drain.begins:
        assert drain.due(at, open_) == 0
        assert drain.next_at(at) == drain.begins


@given(times, spans, spans, st.integers(0, 10_000), st.floats(0, 1000), ends)
@settings(deadline=None)
def test_at_the_deadline_all_are_closed_and_so_they_are_after_it(
    now: float, timeout: float, close_over: float, open_: int, late: float, ending: list[tuple[float, int]]
) -> None:
    drain = Drain(now, timeout, close_over)
    assert drain.due(drain.deadline, open_) == open_
    assert drain.due(drain.deadline + late, open_) == open_
    looks = watch(Drain(now, timeout, close_over), now, min(open_, 300), ending)
    assert (looks[-1].open, looks[-1].at <= drain.deadline) == (0, True)


@given(times, spans, spans, st.integers(1, 300), ends)
@settings(deadline=None)
def test_the_pace_is_even(
    now: float, timeout: float, close_over: float, open_: int, ending: list[tuple[float, int]]
) -> None:
    drain = Drain(now, timeout, close_over)
    looks = watch(drain, now, open_, ending)
    closing = [look for look in looks if look.at >= drain.begins]
    if not closing or not closing[0].open:
        return  # all had ended by themselves before it began
    assert closing[0].closed == 0
    even = closing[0].open / (drain.deadline - drain.begins)
    # From one look to any later one no more are closed than the even share, and one, since there are no half streams.
    ahead = [look.closed - even * (look.at - drain.begins) for look in closing]
    assert all(here - lowest <= 1 + TINY for lowest, here in zip(accumulate(ahead, min), ahead, strict=True))
    # And in no second, nor in the time of four streams where that is longer, more than 1.5 times the even rate.
    second = max(1.0, 4 / even)
    for look in closing:
        before = [earlier.closed for earlier in closing if earlier.at <= look.at - second + TINY]
        assert look.closed - max(before, default=0) <= 1.5 * even * second + TINY


@given(times, spans, st.integers(1, 300), ends.filter(bool))
@settings(deadline=None)
def test_streams_that_end_by_themselves_make_it_slower_and_never_faster(
    now: float, over: float, open_: int, ending: list[tuple[float, int]]
) -> None:
    # What ends before the first look in the closing time was never there: it makes the pace another one.
    ending = [(at, count) for at, count in ending if at > 0.001]
    alone = watch(Drain(now, over, over), now, open_)
    helped = watch(Drain(now, over, over), now, open_, ending)
    for without, with_ in zip(alone, helped, strict=False):
        assert with_.at == without.at
        assert with_.closed <= without.closed
    ended = sum(count for at, count in ending if now + at <= helped[-1].at)
    assert helped[-1].closed >= open_ - ended


@given(times, spans, spans, st.integers(1, 300), st.floats(0, 5))
@settings(deadline=None)
def test_who_looks_late_catches_up_with_the_even_pace_and_does_not_pass_it(
    now: float, timeout: float, close_over: float, open_: int, late: float
) -> None:
    drain = Drain(now, timeout, close_over)
    for look in watch(drain, now, open_, late=late):
        even = open_ * min(1, max(0.0, (look.at - drain.begins) / (drain.deadline - drain.begins)))
        assert even - 1 - TINY <= look.closed <= even + TINY


@given(times, spans, st.integers(0, 100))
def test_it_says_how_it_stands(now: float, timeout: float, closed: int) -> None:
    drain = Drain(now, timeout, 0.0)
    drain.closed = closed
    assert repr(drain) == f"<Drain from {drain.begins:.1f} to {drain.deadline:.1f}, {closed} closed>"


# -- resumed ----------------------------------------------------------------------------------------------------------


@given(times, spans, spans, st.floats(0, 1), st.integers(1, 200))
def test_a_drain_that_is_resumed_ends_when_it_was_to_end(
    start: float, timeout: float, over: float, share: float, open_: int
) -> None:
    first = Drain(start, timeout, over)
    now = start + timeout * share * 0.99
    resumed = Drain.resumed(now, first.begins, first.deadline, 7)
    assert resumed.closed == 7
    assert math.isclose(resumed.deadline, first.deadline, abs_tol=TINY)
    assert resumed.begins >= first.begins - TINY
    looks = watch(resumed, now, open_)
    assert math.isclose(looks[-1].at, first.deadline, abs_tol=0.2 + TINY)


def test_a_drain_that_is_resumed_in_its_last_part_does_not_close_half_of_them_at_once() -> None:
    first = Drain(0.0, 100.0, 100.0)
    assert first.due(0.0, 100) == 0
    assert first.due(50.0, 100) == 50
    resumed = Drain.resumed(50.0, first.begins, first.deadline, 50)
    assert resumed.due(50.0, 50) == 0
    assert resumed.due(75.0, 50) == 25


def test_a_drain_that_never_ends_and_one_whose_time_has_passed() -> None:
    assert Drain.resumed(5.0, math.inf, math.inf, 0).next_at(5.0) == math.inf
    assert Drain.resumed(5.0, math.inf, math.inf, 0).due(5.0, 9) == 0
    assert Drain.resumed(5.0, 2.0, 4.0, 0).due(5.0, 9) == 9
