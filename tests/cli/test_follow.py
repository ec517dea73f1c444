from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frontdoor.cli.follow import HISTORY, Seen


@given(
    texts=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"))),
    breaks=st.lists(st.integers(0, 20)),
)
def test_each_line_is_given_once_however_often_the_connection_breaks(
    texts: list[tuple[int, str]], breaks: list[int]
) -> None:
    # In the order of their times, many of them in the same millisecond, some of them the same.
    in_order = sorted(texts, key=lambda text: text[0])
    printed = [{"time": f"2026-11-22T09:00:00.{when:03}Z", "line": text} for when, text in in_order]
    seen = Seen()
    given: list[dict[str, Any]] = []
    there = 0  # how much had been printed when the connection broke
    for more in [*breaks, len(printed)]:
        there = min(len(printed), there + more)
        given += [line for line in printed[:there] if seen.new(line)]  # a connection begins with the history
        seen.again()
    assert given == printed


def test_a_clock_that_is_set_back_hides_no_more_than_the_history() -> None:
    seen = Seen()
    assert seen.new({"time": "2026-11-22T09:00:00.000Z", "line": "before"})
    seen.again()
    later = [{"time": "2026-11-22T08:00:00.000Z", "line": str(n)} for n in range(HISTORY + 5)]
    assert sum(map(seen.new, later)) == 5


def test_what_was_lost_is_always_said() -> None:
    seen = Seen()
    seen.new({"time": "2026-11-22T09:00:00.000Z", "line": "before"})
    seen.again()
    assert seen.new({"event": "events.dropped", "time": "2026-11-22T10:00:00.000Z", "count": 3})
    assert not seen.new({"time": "2026-11-22T09:00:00.000Z", "line": "before"})
