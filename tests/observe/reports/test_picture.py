"""A report as a picture: well-formed whatever is in it, complete in itself, and with nothing outside its frame."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.reports.chart import place_labels, seconds_step, streams_step
from frontdoor.observe.reports.drawing import fold, wide
from frontdoor.observe.reports.picture import WIDTH, picture
from frontdoor.observe.reports.report import Report
from observe.reports.records import BEGAN, begun, drained, event, failed, look, switched

SVG = "{http://www.w3.org/2000/svg}"


def rolled_back() -> Report:
    report = switched(bake_s=30.0)
    report.take(event("swap.rolled_back", 9, **{"from": "v2#2", "to": "v1#1"}), look(9, 12, 2))
    return report


ALL = [begun, switched, drained, failed, rolled_back]


def drawn(report: Report) -> ElementTree.Element:
    return ElementTree.fromstring(picture(report, UTC))


def words(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_drain_is_seen() -> None:
    root = drawn(drained())
    said = words(root)
    for word in ("v1#1 → v2#2", "switched, 3 streams cut", "1.1 s", "ready", "switched", "drained", "drain --now"):
        assert word in said, word
    assert "v1#1: 12 at most, 0 at the end" in said
    assert {"the client closed it", "the drain closed it"} <= set(said)
    lines = [element.get("d", "") for element in root.iter(f"{SVG}path")]
    assert len(lines) == 4, "an area and a line for each generation"


@pytest.mark.parametrize("make", ALL)
def test_who_cannot_see_it_is_told(make: Callable[[], Report]) -> None:
    root = drawn(make())
    named = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert root.get("role") == "img"
    assert (root.get("aria-labelledby") or "").split() == list(named)
    title, description = named.values()
    assert title is not None
    assert title.startswith("Swap 3 of the door main: v1#1 → v2#2, ")
    assert "asked for: swap" in (description or "")


@pytest.mark.parametrize("make", ALL)
def test_all_of_it_is_in_its_frame(make: Callable[[], Report]) -> None:
    root = drawn(make())
    height = float(root.get("height", "0"))
    for element in root.iter():
        for across in ("x", "x1", "x2"):
            assert -0.1 <= float(element.get(across, "0")) <= WIDTH, ElementTree.tostring(element)
        for down in ("y", "y1", "y2"):
            assert -0.1 <= float(element.get(down, "0")) <= height, ElementTree.tostring(element)


ANYTHING = st.text(st.characters(), max_size=400)


@given(words=ANYTHING, name=ANYTHING)
def test_well_formed_and_in_its_frame_whatever_others_have_written(words: str, name: str) -> None:
    report = failed(words, [words])
    report.message, report.new, report.old, report.door = words, name, words, name
    root = drawn(report)
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "title", "desc", "style", "text", "rect", "line", "path"}, "nothing of it has become markup"


def test_one_that_failed_shows_the_last_that_it_printed() -> None:
    said = words(drawn(failed(output=[f"line {number} <&>" for number in range(20)])))
    assert "The last output of v2#2" in said
    assert [line for line in said if line.startswith("line")] == [f"line {number} <&>" for number in range(10, 20)]


def test_it_needs_nothing_else() -> None:
    text = picture(drained(), UTC)
    assert "href" not in text
    assert "url(" not in text
    assert "<script" not in text
    assert text.count("http") == 1, "its own name space"


@given(st.lists(st.floats(0, 1000), max_size=12), st.sampled_from(["ready", "probation over", "another door process"]))
def test_no_label_covers_another_one(times: list[float], name: str) -> None:
    placed = place_labels([(name, at, "mark") for at in times], lambda at: 64 + at * 0.8, 928)
    assert [at for _, at, *_ in placed] == sorted(times)
    for row in range(4):
        there = sorted((x, x + wide(said, 12)) for said, _, _, x, where in placed if where == row)
        assert all(one[1] < following[0] for one, following in pairwise(there))
        assert all(end <= 928.1 for _, end in there)


@given(st.floats(0.001, 1e8))
def test_an_axis_of_times_has_a_few_ticks(until: float) -> None:
    assert 1 <= until / seconds_step(until) <= 12 or until < 0.001


@given(st.integers(0, 10**6))
def test_an_axis_of_streams_has_a_few_ticks_at_whole_ones(highest: int) -> None:
    step = streams_step(highest)
    assert isinstance(step, int)
    assert highest / step <= 5


def test_long_words_are_folded_and_what_is_left_out_is_seen() -> None:
    assert fold("", 100, 2) == []
    assert fold("one two three", 60, 3) == ["one two", "three"]
    assert fold("x" * 100, 80, 2)[-1].endswith("…")
    assert len(fold("word " * 500, 300, 3)) == 3


def test_a_swap_from_nothing() -> None:
    report = begun(**{"from": None})
    report.end(BEGAN + 1, {}, None)
    assert "nothing → v2#2" in words(drawn(report))
