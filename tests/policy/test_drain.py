import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.policy.drain import BURST, Drain

TINY = 1e-5
"""Rounding: the time that the tests pass in is a float like the real one."""

times = st.floats(0, 1e6)
spans = st.floats(0.5, 60)
counts = st.integers(1, 300)
rates = st.integers(1, 100)
ends = st.lists(st.tuples(st.floats(0, 120), st.integers(1, 20)), max_size=10).map(sorted)
"""(seconds after the start, streams that end by themselves then)"""
stalls = st.lists(st.floats(0, 0.5) | st.floats(0, 20), max_size=12)
"""Seconds by which the first looks are late. Those after them are on time."""


@dataclass(frozen=True)
class Look:
    at: float
    due: int
    """What the drain has closed at this look, and"""
    closed: int
    """until then."""
    open: int


def watch(
    drain: Drain,
    now: float,
    open_: int,
    ending: Sequence[tuple[float, int]] = (),
    late: Iterable[float] = (),
    waits: Iterable[bool] = (),
) -> list[Look]:
    """Look at the drain as ``next_at`` asks, ``late`` seconds after that, until nothing is open.

    ``waits``: at which looks it has to wait.
    """
    start, closed, to_end, looks = now, 0, list(ending), list[Look]()
    lateness, waiting = iter(late), iter(waits)
    while True:
        while to_end and start + to_end[0][0] <= now:
            open_ -= min(open_, to_end.pop(0)[1])
        due = drain.due(now, open_, wait=next(waiting, False))
        assert 0 <= due <= open_
        open_, closed = open_ - due, closed + due
        looks.append(Look(now, due, closed, open_))
        if not open_:
            return looks
        again = drain.next_at(now)
        assert now < again
        assert again - now >= 0.1 - TINY or again in (drain.begins, drain.deadline)  # ten looks a second are enough
        now = again + next(lateness, 0.0)


def in_any(seconds: float, looks: Sequence[Look]) -> int:
    """The most that were closed in a stretch of so many seconds."""
    return max(sum(later.due for later in looks if look.at <= later.at < look.at + seconds - TINY) for look in looks)


def is_gentle(looks: Sequence[Look], even: float) -> bool:
    """Whether it never went faster than a quarter above the even rate.

    In a second, that is, and in the time of five streams where that is longer, since there are no half streams.
    """
    seconds = max(1.0, 5 / (BURST * even))
    return in_any(seconds, looks) <= BURST * even * seconds + TINY


# -- in time ----------------------------------------------------------------------------------------------------------


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


def test_a_thousand_streams_over_twenty_seconds_are_fifty_a_second_in_ten_looks() -> None:
    looks = watch(Drain(0.0, 20.0, 20.0), 0.0, 1000)
    assert {look.due for look in looks[1:]} <= {4, 5, 6}
    assert len(looks) <= 202
    assert in_any(1.0, looks) <= 51


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


@given(times, spans | st.just(math.inf), st.integers(0, 10_000), st.lists(st.floats(0, 1e9), max_size=20), st.data())
def test_an_infinite_time_closes_nothing_ever(
    now: float, close_over: float, open_: int, later: list[float], data: st.DataObject
) -> None:
    drain = Drain(now, math.inf, close_over, data.draw(rates | st.just(math.inf)))
    for at in sorted(later):
        assert drain.due(now + at, open_, wait=data.draw(st.booleans())) == 0
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


@given(times, spans, spans, counts, ends)
@settings(deadline=None)
def test_the_pace_is_even_and_at_the_deadline_all_are_closed(
    now: float, timeout: float, close_over: float, open_: int, ending: list[tuple[float, int]]
) -> None:
    drain = Drain(now, timeout, close_over)
    begins, deadline = drain.begins, drain.deadline
    looks = watch(drain, now, open_, ending)
    assert (looks[-1].open, looks[-1].at <= deadline + TINY) == (0, True)
    closing = [look for look in looks if look.at >= begins]
    if not closing or not closing[0].open:
        return  # all had ended by themselves before it began
    assert closing[0].closed == 0
    even = closing[0].open / (deadline - begins)
    # From one look to any later one no more are closed than the even share, and one, since there are no half streams.
    ahead = [look.closed - even * (look.at - begins) for look in closing]
    assert all(here - lowest <= 1 + TINY for lowest, here in zip(accumulate(ahead, min), ahead, strict=True))
    assert is_gentle(closing, even)


@given(times, spans, counts, ends)
@settings(deadline=None)
def test_streams_that_end_by_themselves_make_it_slower_and_never_faster(
    now: float, over: float, open_: int, ending: list[tuple[float, int]]
) -> None:
    # What ends before the first look in the closing time was never there: it makes the pace another one.
    ending = [(at, count) for at, count in ending if at > 0.001]
    for look in watch(Drain(now, over, over), now, open_, ending):
        line = open_ * min(1.0, (look.at - now) / over)
        ended = sum(count for at, count in ending if now + at <= look.at)
        assert look.closed <= line + TINY
        assert look.closed >= line - 1 - ended - TINY


def test_when_half_have_ended_by_themselves_nothing_is_closed_until_half_of_the_time_has_passed() -> None:
    looks = watch(Drain(0.0, 100.0, 100.0), 0.0, 100, [(0.5, 50)])
    assert next(look.at for look in looks if look.due) == 51.0
    assert (looks[-1].at, looks[-1].closed) == (100.0, 50)


# -- late -------------------------------------------------------------------------------------------------------------


@given(times, spans, spans, counts, stalls)
@settings(deadline=None)
def test_who_looks_late_never_passes_the_even_pace_nor_catches_up_in_a_burst(
    now: float, timeout: float, close_over: float, open_: int, late: list[float]
) -> None:
    drain = Drain(now, timeout, close_over)
    begins, span = drain.begins, drain.deadline - drain.begins
    looks = watch(drain, now, open_, late=late)
    assert is_gentle(looks, open_ / span)
    for look in looks:
        assert look.closed <= open_ * max(0.0, look.at - begins) / span * (1 + TINY) + TINY
    # At the worst all of it is still to be done when the last stall is over.
    assert looks[-1].at <= max(begins + span, now + timeout + sum(late) + span) + TINY


def test_a_lag_is_caught_up_a_quarter_faster_than_even() -> None:
    # 1 a second; it stands still for 10 s after 20 s; has caught up after 40 s more
    drain = Drain(0.0, 100.0, 100.0)
    looks = watch(drain, 0.0, 100, late=[0.0] * 19 + [10.0])
    closed = {round(look.at, 6): look.closed for look in looks if look.at <= 30 or look.at >= 70}
    assert [(at, n) for at, n in closed.items() if 18 < at < 32] == [(19, 19), (30, 20)]
    assert closed[70] == 70
    assert all(later.at - look.at >= 0.8 - TINY for look, later in pairwise(looks))
    assert looks[-1].at == 100


def test_a_lag_that_is_too_long_for_that_goes_past_the_deadline() -> None:
    drain = Drain(0.0, 100.0, 100.0)
    assert [drain.due(0.0, 100), drain.due(90.0, 100), drain.due(90.1, 99)] == [0, 1, 0]
    assert drain.deadline == 90.0 + 99 / 1.25  # as it is said in status: not the one that was passed
    looks = watch(drain, 90.1, 99)
    assert math.isclose(looks[-1].at, 90.0 + 99 / 1.25)
    assert all(later.at - look.at >= 0.8 - TINY for look, later in pairwise(looks[1:]))


def test_a_first_look_long_after_the_deadline_is_no_reason_for_a_stampede() -> None:
    looks = watch(Drain(0.0, 20.0, 20.0), 500.0, 1000)
    assert in_any(1.0, looks) <= 62
    assert math.isclose(looks[-1].at, 500 + 16, abs_tol=0.5)


# -- with a rate ------------------------------------------------------------------------------------------------------


def test_with_a_rate_closing_begins_as_early_as_it_needs() -> None:
    # 2 a second, and 600 streams: the last 10 s of 10 minutes are not enough
    drain = Drain(0.0, 600.0, 10.0, 2)
    assert (drain.due(0.0, 600), drain.begins, drain.next_at(0.0)) == (0, 300.0, 300.0)
    assert (drain.due(299.9, 500), drain.begins) == (0, 350.0)  # 100 have ended by themselves: there is more time
    looks = watch(drain, 350.0, 500)
    assert in_any(1.0, looks) == 2
    assert (looks[-1].at, drain.deadline) == (600.0, 600.0)


def test_a_rate_that_is_enough_changes_nothing() -> None:
    slow, free = Drain(0.0, 60.0, 30.0, 50), Drain(0.0, 60.0, 30.0)
    assert watch(slow, 0.0, 200) == watch(free, 0.0, 200)


def test_the_rate_wins_over_the_deadline() -> None:
    drain = Drain(0.0, 10.0, 5.0, 2)
    assert drain.due(0.0, 100) == 0
    assert (drain.begins, drain.deadline) == (0.0, 50.0)
    looks = watch(drain, 0.1, 100)
    assert in_any(1.0, looks) == 2
    assert math.isclose(looks[-1].at, 50.0, abs_tol=1.0)


@given(times, spans, st.floats(0, 60), counts, rates, stalls, ends)
@settings(deadline=None)
def test_never_more_in_a_second_than_the_rate_and_all_are_closed_in_the_end(
    now: float,
    timeout: float,
    close_over: float,
    open_: int,
    rate: int,
    late: list[float],
    ending: list[tuple[float, int]],
) -> None:
    drain = Drain(now, timeout, close_over, rate)
    looks = watch(drain, now, open_, ending, late)
    assert in_any(1.0, looks) <= rate
    if not late:
        # A look a little before a second is over has to wait for the rest of it: hence the tenth.
        assert looks[-1].at <= now + max(timeout, open_ / rate) * 1.1 + 0.2


def test_looks_are_not_more_frequent_when_many_end_by_themselves_right_before_it_begins() -> None:
    drain = Drain(0.0, 10.0, 0.0, 100)
    assert (drain.due(0.0, 500), drain.next_at(0.0)) == (0, 5.0)
    assert (drain.due(4.999, 499), drain.begins) == (0, 5.01)
    assert drain.next_at(4.999) == 4.999 + 0.1


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_the_time_of_waiting_does_not_count() -> None:
    drain = Drain(0.0, 100.0, 100.0)
    assert [drain.due(at, 100) for at in (0.0, 1.0)] == [0, 1]
    assert [drain.due(at, 99, wait=True) for at in (2.0, 3.0, 40.0)] == [0, 0, 0]
    # At 2 s one was due; it is now, and goes on at its pace from there.
    assert [drain.due(50.0, 99), drain.due(51.0, 98), drain.due(51.9, 97), drain.due(52.0, 97)] == [1, 1, 0, 1]
    assert (drain.begins, drain.deadline) == (48.0, 148.0)


def test_waiting_before_it_begins_is_no_waiting() -> None:
    drain = Drain(0.0, 100.0, 10.0)
    assert (drain.due(20.0, 5, wait=True), drain.next_at(20.0)) == (0, 90.0)
    assert drain.due(80.0, 5) == 0
    assert (drain.begins, drain.deadline) == (90.0, 100.0)


def test_held_from_before_it_begins_it_has_all_its_time_after_that() -> None:
    # A probation that lasts longer than drain.timeout: said once, when it begins, and looked at once, when it is over.
    drain = Drain(0.0, 10.0, 4.0)
    assert drain.due(0.0, 4, wait=True) == 0
    looks = watch(drain, 30.0, 4)
    assert [(look.at, look.due) for look in looks] == [(30, 0), (31, 1), (32, 1), (33, 1), (34, 1)]


def test_waiting_from_its_first_look_on_with_a_rate_that_is_too_slow() -> None:
    drain = Drain(0.0, 10.0, 5.0, 1)
    assert (drain.due(0.0, 20, wait=True), drain.next_at(0.0)) == (0, 0.25)
    looks = watch(drain, 100.0, 20)
    assert drain.begins == 100.0
    assert (looks[0].at, looks[-1].at, in_any(1.0, looks)) == (100.0, 120.0, 1)


def test_waiting_with_a_rate_that_is_enough() -> None:
    drain = Drain(0.0, 10.0, 5.0, 100)
    assert drain.due(0.0, 10, wait=True) == 0
    looks = watch(drain, 30.0, 10)
    assert (drain.begins, drain.deadline) == (30.0, 35.0)
    assert [(look.at, look.closed) for look in looks] == [(30 + n / 2, n) for n in range(11)]


def test_while_it_waits_it_is_asked_back_soon() -> None:
    drain = Drain(0.0, 100.0, 100.0)
    assert (drain.due(0.0, 1, wait=True), drain.next_at(0.0)) == (0, 0.25)
    assert (drain.due(200.0, 1, wait=True), drain.next_at(200.0)) == (0, 200.25)  # it does not end in the waiting


@given(times, spans, spans, counts, st.lists(st.booleans(), max_size=30), stalls)
@settings(deadline=None)
def test_waiting_puts_everything_off_and_nothing_is_caught_up_after_it(
    now: float, timeout: float, close_over: float, open_: int, waits: list[bool], late: list[float]
) -> None:
    drain = Drain(now, timeout, close_over)
    begins, span = drain.begins, drain.deadline - drain.begins
    looks = watch(drain, now, open_, late=late, waits=waits)
    assert all(look.due == 0 for look, wait in zip(looks, waits, strict=False) if wait)
    assert is_gentle(looks, open_ / span)
    waited = sum(
        later.at - max(look.at, begins)
        for (look, later), wait in zip(pairwise(looks), waits, strict=False)
        if wait and later.at > begins
    )
    assert drain.begins >= begins + waited - TINY
    assert looks[-1].at >= begins + waited + 0.8 * span - TINY or looks[-1].at >= drain.deadline - TINY
    if not any(late):
        assert math.isclose(drain.deadline, begins + span + waited, abs_tol=0.5)


# -- resumed ----------------------------------------------------------------------------------------------------------


@given(times, spans, spans, st.floats(0, 1), counts)
@settings(deadline=None)
def test_a_drain_that_is_resumed_ends_when_it_was_to_end(
    start: float, timeout: float, over: float, share: float, open_: int
) -> None:
    first = Drain(start, timeout, over)
    now = start + timeout * share * 0.99
    closed, left = 0, open_
    if now > first.begins:
        closed = math.floor(open_ * (now - first.begins) / (first.deadline - first.begins))
        left = open_ - closed
    resumed = Drain.resumed(now, first.begins, first.deadline, closed)
    assert resumed.closed == closed
    assert (resumed.begins, resumed.deadline) == (first.begins, first.deadline)
    looks = watch(resumed, now, left)
    # Half a stream more or less makes a difference where there are few, and limits are whole numbers.
    even = open_ / (first.deadline - first.begins)
    assert math.isclose(looks[-1].at, first.deadline, abs_tol=0.2 + 1 / even + 0.2 * (first.deadline - now))
    assert is_gentle(looks, even)


def test_a_drain_that_is_resumed_in_its_last_part_does_not_close_half_of_them_at_once() -> None:
    first = Drain(0.0, 100.0, 100.0)
    assert [look.closed for look in watch(first, 0.0, 100)][50] == 50
    looks = watch(Drain.resumed(50.0, 0.0, 100.0, 50), 50.0, 50)
    assert [(look.at, look.closed) for look in looks] == [(50 + n, n) for n in range(51)]


def test_a_drain_that_is_resumed_after_its_deadline_goes_on_a_quarter_faster() -> None:
    looks = watch(Drain.resumed(500.0, 0.0, 100.0, 20), 500.0, 80)
    assert [(round(look.at, 6), look.closed) for look in looks] == [(round(500 + 0.8 * n, 6), n) for n in range(81)]


def test_resumed_with_a_rate() -> None:
    waiting = Drain.resumed(100.0, 290.0, 300.0, 0, 2)
    assert (waiting.due(100.0, 100), waiting.begins) == (0, 250.0)
    closing = Drain.resumed(290.0, 250.0, 300.0, 80, 2)
    looks = watch(closing, 290.0, 40)
    assert in_any(1.0, looks) <= 2
    assert looks[-1].at == 310.0


def test_a_drain_that_never_ends_and_one_whose_time_has_passed() -> None:
    assert Drain.resumed(5.0, math.inf, math.inf, 0).next_at(5.0) == math.inf
    assert Drain.resumed(5.0, math.inf, math.inf, 0).due(5.0, 9) == 0
    assert Drain.resumed(5.0, 4.0, 4.0, 0).due(5.0, 9) == 9


@given(times, spans, st.integers(0, 100))
def test_it_says_how_it_stands(now: float, timeout: float, closed: int) -> None:
    drain = Drain(now, timeout, 0.0)
    drain.closed = closed
    assert repr(drain) == f"<Drain from {drain.begins:.1f} to {drain.deadline:.1f}, {closed} closed>"
