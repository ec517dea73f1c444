from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from frontdoor.cli.screen.marks import ASCII, BLOCKS, Marks, bar, cell, spark, wrap

widths = st.integers(0, 200)
amounts = st.floats(0, 1e12)
all_marks = st.sampled_from([BLOCKS, ASCII])


def test_a_bar_is_as_long_as_its_part_of_the_most() -> None:
    assert bar(10, 10, 4) == "████"
    assert bar(5, 10, 4) == "██"
    assert bar(3, 10, 4) == "█▎"
    assert bar(3, 10, 4, ASCII) == "#"


def test_what_is_more_than_nothing_can_be_seen() -> None:
    assert bar(1, 100_000, 20) == "▏"
    assert bar(1, 100_000, 20, ASCII) == "#"
    assert bar(0, 100_000, 20) == ""
    assert spark([0, 1, 100_000], 3) == " ▁█"


def test_a_sparkline_ends_at_the_right_with_the_newest() -> None:
    assert spark([1, 2, 4, 8], 6) == "  ▁▂▄█"
    assert spark([1, 2, 4, 8], 2) == "▄█"
    assert spark([], 3) == "   "
    assert spark([1, 2, 4, 8], 4, ASCII) == ".:=#"


def test_a_cell_is_cut_where_columns_end_and_not_characters() -> None:
    assert cell("v2#12", 8) == "v2#12   "
    assert cell("v2#12", 8, right=True) == "   v2#12"
    assert cell("2026-11-22.1#7", 8) == "2026-11…"
    assert cell("日本語", 4) == "日 …"
    assert cell("a\x1b[2J", 20) == "a\\x1b[2J            "


def test_lines_are_broken_between_words_and_not_before_a_unit() -> None:
    assert wrap("closing begins in 49 m 59 s, all are closed in 59 m 58 s", 22) == [
        "closing begins in 49 m",
        "59 s, all are closed",
        "in 59 m 58 s",
    ]
    assert wrap("a-word-that-is-too-long", 10) == ["a-word-tha", "t-is-too-l", "ong"]
    assert wrap("", 10) == [""]


@given(amounts, amounts, widths, all_marks)
def test_no_bar_is_too_long(value: float, most: float, width: int, marks: Marks) -> None:
    assert cell_len(bar(value, most, width, marks)) <= width


@given(st.lists(amounts, max_size=100), widths, all_marks)
def test_a_sparkline_has_its_width(values: list[float], width: int, marks: Marks) -> None:
    assert cell_len(spark(values, width, marks)) == width


@given(st.text(), widths, st.booleans(), all_marks)
def test_a_cell_has_its_width(text: str, width: int, right: bool, marks: Marks) -> None:
    shown = cell(text, width, right=right, marks=marks)
    assert cell_len(shown) == width
    assert shown.isprintable()


@given(st.text(), st.integers(2, 100))
def test_no_line_is_too_wide_and_no_word_is_lost(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)
    if text.isprintable():
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("marks", [BLOCKS, ASCII])
def test_each_mark_takes_one_column(marks: Marks) -> None:
    assert all(cell_len(char) == 1 for char in marks.full + marks.parts + marks.heights + marks.more + marks.chosen)
