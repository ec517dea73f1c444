from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from frontdoor.cli.screen.series import STEP, STEPS, Series

moments = st.floats(0, 4e9, allow_nan=False)


def told(values: Sequence[float], start: float = 1000.0, every: float = STEP) -> Series:
    series = Series()
    for number, value in enumerate(values):
        series.put(start + number * every, value)
    return series


def test_a_level_holds_until_another_is_told() -> None:
    series = told([3])
    series.put(1000 + 3 * STEP, 5)
    assert series.levels(10) == [3, 3, 3, 5]
    series.put(1000 + 3 * STEP + 0.5, 4)
    assert (series.levels(2), series.last) == ([3, 5], 4)  # it has been that high
    series.put(1000 + 4 * STEP, 4)
    assert series.levels(2) == [5, 4]


def test_a_rate_is_of_steps_that_are_over() -> None:
    assert told([0, 20, 20, 60]).rates(10) == [10, 0]
    assert told([0, 20, 20, 60, 60]).rates(2) == [0, 20]


def test_a_counter_that_begins_again_is_no_negative_rate() -> None:
    assert told([50, 60, 0, 10, 10]).rates(10) == [5, 0, 5]


def test_several_steps_share_a_column_and_always_the_same_ones() -> None:
    series = told([1, 2, 3, 4, 5, 6], start=0)
    assert series.levels(10, 3) == [3, 6]
    series.put(6 * STEP, 1)
    assert series.levels(10, 3) == [3, 6, 1]
    assert series.levels(2, 3) == [6, 1]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    series = told([1, 2, 3])
    series.put(10, 7)
    assert series.levels(10) == [7]


def test_it_shrinks_since_it_was_highest() -> None:
    assert told([10, 50, 40, 30]).shrinks(30) == 20 / (2 * STEP)
    assert told([10, 20, 30]).shrinks(30) == 0
    assert told([]).shrinks(30) == 0
    assert told([90, 50, 40, 30]).shrinks(3) == 20 / (2 * STEP)


@given(st.lists(st.tuples(moments, st.floats(0, 1e12)), max_size=60), st.integers(0, 700), st.integers(1, 9))
def test_whatever_is_told_it_is_bounded(values: list[tuple[float, float]], count: int, per: int) -> None:
    series = Series()
    for time, value in values:
        series.put(time, value)
    assert len(series.levels(10**6)) <= STEPS
    assert len(series.levels(count, per)) <= count
    assert len(series.rates(count, per)) <= count
    assert all(rate >= 0 for rate in series.rates(count, per))
    assert series.shrinks(count) >= 0
    assert series.last == (values[-1][1] if values else 0)
    if values:
        assert series.levels(1)[0] >= series.last


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=500), st.integers(1, 60), st.integers(1, 7))
def test_a_part_of_the_past_is_the_end_of_all_of_it(values: list[float], count: int, per: int) -> None:
    series = told(values)
    assert series.levels(count, per) == series.levels(1000, per)[-count:]
    assert series.rates(count, per) == series.rates(1000, per)[-count:]
