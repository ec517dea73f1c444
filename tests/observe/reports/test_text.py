"""A report as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.reports.report import ROLLED_BACK, Report
from frontdoor.observe.reports.text import text
from frontdoor.observe.reports.words import ELSEWHERE, duration, endings, failed_dials
from observe.reports.records import BEGAN, begun, drained, event, failed, figures, look, switched


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def parts(report: Report) -> dict[str, list[str]]:
    """Title → lines of each part."""
    blocks = text(report, UTC).split("\n\n")
    return {block.splitlines()[0]: block.splitlines()[1:] for block in blocks if block}


def test_somebody_asks_the_next_morning() -> None:
    lines = text(drained(), UTC).splitlines()
    assert lines[:11] == [
        "Swap 3 of the door main: v1#1 → v2#2, switched, 3 streams cut",
        "  v2#2 is active; 3 streams of v1#1 had to be closed",
        "",
        "When (asked for at 2026-09-21 14:13:20 UTC)",
        "        +0 s  asked for: swap; v1#1 had 12 streams",
        "      +1.1 s  v2#2 was ready",
        "      +1.2 s  switched: new streams went to v2#2 from here on; v1#1 had 12 streams",
        "    +1 m 1 s  v1#1 was drained after 1 m: 3 streams had to be closed",
        "              exit code 6, for who waited for the end (--wait drained)",
        "",
        "Streams open",
    ]
    found = parts(drained())
    assert found["How the streams of v1#1 ended, from when it got no new ones"] == [
        "  the client closed it  9  ██████████████████████████████",
        "  the drain closed it   3  ██████████",
    ]
    assert found["The whole door"][-1] == "  ended     28 accepted = 9 open + 19 ended"


def test_the_curve_is_full_at_its_highest_and_empty_only_at_none() -> None:
    old, new, axis = parts(drained())["Streams open"]
    assert old.startswith("  v1#1  █")
    assert old.endswith("12 at most, 0 last")
    assert new.startswith("  v2#2   ")
    assert new.endswith("▆  9 at most, 9 last")
    assert axis.split() == ["0", "s", "1", "m", "1", "s"]


def test_one_that_failed_shows_what_it_printed() -> None:
    found = parts(failed(output=["no database", "\x1b[2J gone"]))
    assert found["The last output of v2#2"] == ["  no database", "  \\x1b[2J gone"]
    assert "      +2.0 s  failed: it exited with code 3; nothing was switched" in text(failed(), UTC).splitlines()


def test_one_that_goes_on_says_so() -> None:
    lines = text(switched(bake_s=30.0), UTC).splitlines()
    assert lines[0].endswith("switched, not over yet")
    assert lines[1] == "  new streams go to v2#2; v1#1 still has 12 streams"
    assert "              it goes on" in lines
    assert "v2#2 is not switched to yet" in text(begun(), UTC)


def test_what_another_process_has_seen_is_counted_as_that() -> None:
    report = switched()
    last = look(9, 2, 4, closed=3)
    assert last.old is not None
    last = replace(last, old=replace(last.old, total=12))
    report.end(BEGAN + 9, {"exit_code": 0}, last)
    assert endings(report) == ("v1#1", {ELSEWHERE: 7, "client_closed": 3})


def test_after_a_switch_back_it_is_the_new_one_that_drains() -> None:
    report = switched(bake_s=30.0)
    report.take(event("swap.rolled_back", 9, reason="it crashes", **{"from": "v2#2", "to": "v1#1"}), look(9, 12, 2))
    report.take(event("drain.finished", 12, generation="v2#2", closed=0), look(12, 12, 0))
    assert report.outcome == ROLLED_BACK
    more = {"ended": {"backend_gone": 2}, "total": 2, "failed_dials": 3}
    report.end(BEGAN + 12, {"exit_code": 7}, look(12, 12, 0, new_more=more))
    assert endings(report) == ("v2#2", {"backend_gone": 2})
    assert failed_dials(report) == 3
    assert "switched back to v1#1: it crashes" in text(report, UTC)


def test_failed_dials_of_one_that_ran_before_are_those_of_the_swap() -> None:
    report = switched()
    report.reused = True
    for name, seen in report.looks.items():
        report.looks[name] = replace(seen, new=figures("v2#2", 0, failed_dials=5))
    report.end(BEGAN + 9, {}, look(9, 0, 0, new_more={"failed_dials": 7}))
    assert failed_dials(report) == 2
    report.reused = False
    assert failed_dials(report) == 7


def test_many_events_are_shown_by_their_ends() -> None:
    report = begun()
    for number in range(200):
        report.take(event("backend.restarting", number, generation="v2#2", delay_s=0.25), look(number, 12, 0))
    lines = parts(report)["Events"]
    assert len(lines) == 41
    assert lines[20] == "  … 161 more …"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.05, "50 ms"),
        (0.0999, "0.1 s"),
        (9.96, "10 s"),
        (59.6, "1 m"),
        (3600, "1 h"),
        (183_600, "2 d 3 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(reason=st.text(st.characters(), max_size=50))
def test_nothing_in_it_moves_a_cursor(reason: str) -> None:
    report = failed(reason, [reason])
    report.new = report.message = reason or "v2#2"
    shown = text(report, UTC)
    assert all(line.isprintable() for line in shown.split("\n"))
    shown.encode()
