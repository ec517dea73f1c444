"""The curve of a swap: bounded, and true."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.reports.curve import CLOSEST, LONGEST, MOST, Curve, Point, wait

STREAMS = st.integers(0, 50)
SEEN = st.lists(st.tuples(st.floats(0, 1000), STREAMS, STREAMS), max_size=3 * MOST)


def drawn(seen: list[tuple[float, int, int]]) -> Curve:
    """As if each was seen so long after the one before it."""
    curve, at = Curve(), 0.0
    for after, old, new in seen:
        at += after
        curve.add(Point(at, old, new))
    return curve


@given(SEEN)
def test_however_much_is_seen_there_is_room_and_the_ends_are_kept(seen: list[tuple[float, int, int]]) -> None:
    curve, at = drawn(seen), sum(after for after, _, _ in seen)
    assert len(curve.points) <= MOST
    assert all(one.at <= following.at for one, following in pairwise(curve.points))
    if seen:
        assert curve.points[0] == Point(seen[0][0], *seen[0][1:])
        last = curve.points[-1]
        assert (last.old, last.new) == seen[-1][1:]
        assert last.at == pytest.approx(at)
    values = {(old, new) for _, old, new in seen}
    assert {(point.old, point.new) for point in curve.points} <= values, "nothing is made up"


@given(SEEN)
def test_round_trip(seen: list[tuple[float, int, int]]) -> None:
    curve = drawn(seen)
    again = Curve.decode(curve.encode())
    assert [(point.old, point.new) for point in again.points] == [(point.old, point.new) for point in curve.points]
    assert [point.at for point in again.points] == pytest.approx([point.at for point in curve.points], abs=0.001)
    assert again.encode() == curve.encode()


@given(SEEN, st.integers(1, 80))
def test_in_columns_each_value_holds_until_the_next_one_was_seen(
    seen: list[tuple[float, int, int]], count: int
) -> None:
    curve = drawn(seen)
    columns = curve.columns(count)
    assert len(columns) == (count if seen else 0)
    for column in columns:
        before = [point for point in curve.points if point.at <= column.at]
        assert (column.old, column.new) == (before[-1].old, before[-1].new)
    if seen:
        assert (columns[-1].old, columns[-1].new) == seen[-1][1:]


def test_a_minute_and_a_week_in_which_as_much_happens_have_about_as_many_points() -> None:
    def over(seconds: float) -> int:
        return len(drawn([(seconds / 2000, 2000 - number, number) for number in range(2000)]).points)

    assert over(60) == over(7 * 86_400)
    assert over(60) > MOST / 2


def test_where_nothing_changes_two_points_are_enough() -> None:
    curve = Curve()
    for second in range(10_000):
        curve.add(Point(second, 5, 1))
    assert curve.points == [Point(0, 5, 1), Point(9999, 5, 1)]
    curve.add(Point(10_000, 4, 1))
    assert [point.at for point in curve.points] == [0, 9999, 10_000]


def test_a_clock_that_was_set_back_does_not_bend_it() -> None:
    curve = Curve()
    for at in (10.0, 3.0, 11.0):
        curve.add(Point(at, int(at), 0))
    assert curve.points == [Point(10, 10, 0), Point(10, 3, 0), Point(11, 11, 0)]


def test_an_idle_drain_is_looked_at_more_and_more_seldom() -> None:
    looks, quiet = 0, 0.0
    while quiet < 7 * 86_400:
        quiet += wait(quiet)
        looks += 1
        if looks == 100:
            assert quiet == pytest.approx(10)
    assert looks < 1400
    assert (wait(0), wait(1e9)) == (CLOSEST, LONGEST)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2]],
        [[1, 2, 3, 4]],
        [["a", 1, 1]],
        [[2, 1, 1], [1, 1, 1]],
        [[0, -1, 0]],
        [[i, i, 0] for i in range(MOST + 1)],
    ],
)
def test_what_is_no_curve_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Curve.decode(rows)
