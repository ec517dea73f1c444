"""What a report makes of the events of its swap, and that it comes back from its file as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.reports.encoding import Damaged, as_json, decode, encode
from frontdoor.observe.reports.look import since
from frontdoor.observe.reports.report import FIRST_EVENTS, LAST_EVENTS, LONGEST_WORD, Report
from observe.reports.records import BEGAN, begun, drained, event, failed, look, switched


def again(report: Report) -> Report:
    """As it comes back from its file."""
    return decode(json.loads(as_json(encode(report))))


def test_a_swap_from_its_start_to_the_end_of_its_drain() -> None:
    report = drained()
    assert report.summary() == {
        "number": 3,
        "verb": "swap",
        "from": "v1#1",
        "to": "v2#2",
        "outcome": "switched",
        "started": "2026-09-21T14:13:20.000Z",
        "switched": "2026-09-21T14:13:21.200Z",
        "ended": "2026-09-21T14:14:21.000Z",
        "cut": 3,
    }
    values = encode(report)
    assert (values["ready_s"], values["switched_s"], values["drained_s"]) == (1.1, 1.2, 59.8)
    assert list(values["looks"]) == ["started", "switched", "settled", "ended"]
    assert values["curve"][0] == [0, 12, 0]
    assert values["curve"][-1] == [61, 0, 9]


@pytest.mark.parametrize(
    ("fields", "verb"),
    [({}, "swap"), ({"to": "v1#2"}, "restart"), ({"rollback": True}, "rollback"), ({"from": None}, "swap")],
)
def test_what_was_asked_for(fields: dict[str, Any], verb: str) -> None:
    assert begun(**fields).verb == verb


@pytest.mark.parametrize(
    ("name", "outcome"), [("swap.failed", "failed"), ("swap.aborted", "aborted"), ("swap.vetoed", "vetoed")]
)
def test_one_that_does_not_come_to_its_switch(name: str, outcome: str) -> None:
    report = begun()
    report.take(event(name, 2, reason="no", output=["last words"]), look(2, 12))
    assert (report.outcome, report.switched, report.reason, report.output) == (outcome, None, "no", ["last words"])
    assert again(report) == report


def test_a_rollback_is_switched_and_a_swap_that_is_switched_back_is_rolled_back() -> None:
    ends = {"from": "v1#1", "to": "v2#2"}
    rollback = begun(rollback=True)
    rollback.take(event("swap.switched", 1, **ends), look(1, 12, 0))
    rollback.take(event("swap.rolled_back", 1, **ends), look(1, 12, 0))
    assert (rollback.outcome, rollback.leaves) == ("switched", "v1#1")
    back = switched(bake_s=30.0)
    back.take(event("swap.rolled_back", 9, reason="it crashes", **{"from": "v2#2", "to": "v1#1"}), look(9, 12, 2))
    assert (back.outcome, back.leaves, back.reason, back.bake) == ("rolled_back", "v2#2", "it crashes", 30.0)
    # What drains then is the one that was switched to; that the other one's drain is over is nothing to it.
    back.take(event("drain.finished", 10, generation="v1#1", closed=5), look(10, 12, 2))
    assert encode(back)["drained"] is None
    back.take(event("drain.finished", 12, generation="v2#2", closed=1), look(12, 12, 0))
    assert (back.drained, back.closed) == (BEGAN + 12, 1)


def test_another_swap_that_takes_the_old_one_back_ends_its_drain() -> None:
    report = switched()
    report.take(event("swap.switched", 7, swap=4, **{"from": "v2#2", "to": "v1#1"}), look(7, 12, 2))
    assert (report.outcome, report.switched) == ("switched", BEGAN + 1.2)
    assert report.drained == BEGAN + 7
    assert report.recalled
    assert report.events[-1]["swap"] == 4, "it is said whose event it is"


def test_what_has_no_outcome_of_its_own_has_that_of_the_operation() -> None:
    broken = begun()
    broken.end(BEGAN + 3, {"result": "failed", "exit_code": 1, "message": "an error in frontdoor"}, look(3, 12))
    assert (broken.outcome, broken.exit_code) == ("failed", 1)
    aborted = begun()
    aborted.end(BEGAN + 3, {"result": "aborted", "exit_code": 130, "message": "Ctrl-C"}, None)
    assert aborted.outcome == "aborted"


def test_another_process_goes_on_with_it_and_what_it_did_not_see_is_said() -> None:
    report = again(switched())
    report.resume(BEGAN + 30, event("door.restored", 30, swap=None, streams=12))
    report.see(look(31, 8, 4, closed=4))
    (gap,) = report.gaps
    assert "2026-09-21T14:13:21.200Z" in gap
    assert "2026-09-21T14:13:50.000Z" in gap
    assert [event["event"] for event in report.events][-1] == "door.restored"
    assert again(report) == report


def test_one_that_nobody_has_followed_ends_where_it_was_seen_last() -> None:
    report = begun()
    report.see(look(5, 9))
    report.cut_off("frontdoor was ended")
    assert (report.outcome, report.ended) == ("failed", BEGAN + 5)


def test_events_without_end_leave_the_first_and_the_last_ones() -> None:
    report = begun()
    for number in range(1000):
        report.take(event("backend.restarting", number, generation="v2#2", pid=number), look(number, 12, number % 2))
    assert len(report.events) == FIRST_EVENTS + LAST_EVENTS
    assert report.left_out == 1001 - FIRST_EVENTS - LAST_EVENTS
    assert [event.get("pid") for event in report.events[:3]] == [None, 0, 1]
    assert report.events[-1]["pid"] == 999


def test_long_words_of_a_backend_are_cut() -> None:
    report = failed(reason="x" * 10_000, output=["y" * 10_000] * 20)
    assert len(json.dumps(encode(report))) < 40_000
    assert max(map(len, report.output)) <= LONGEST_WORD


def test_shares_of_a_canary_that_goes_up_and_down_for_ever_are_bounded() -> None:
    report = begun()
    for number in range(1000):
        report.take(event("canary.share", number, share=f"{number % 90 + 1}%"), look(number, 12, 1))
    assert len(report.shares) <= LAST_EVENTS
    assert report.shares[0] == (BEGAN, "1%")
    assert report.shares[-1][0] == BEGAN + 999


WORDS = st.text(st.characters(), max_size=30)  # lone surrogates, too: what a backend prints is not always UTF-8


@given(reason=WORDS, line=WORDS, message=WORDS, at=st.integers(0, 10**6), old=st.integers(0, 10**6))
def test_round_trip(reason: str, line: str, message: str, at: int, old: int) -> None:
    for report in (begun(), switched(), drained(), failed(reason, [line])):
        report.see(look(70 + at, old, 3))
        report.message = message
        assert again(report) == report


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | WORDS, lambda v: st.lists(v, max_size=3)))
def test_whatever_is_in_a_file_is_a_report_or_damaged(value: object) -> None:
    values = encode(drained())
    for key in values:
        try:
            report = decode({**values, key: value})
        except Damaged:
            continue
        again(report)
    for wrong in (value, {"schema": 1}, {}):
        with pytest.raises(Damaged):
            decode(wrong)


def test_a_file_of_another_schema_is_left_alone() -> None:
    with pytest.raises(Damaged, match="schema 2"):
        decode({**encode(drained()), "schema": 2})


def test_what_has_ended_between_two_looks() -> None:
    assert since({"client_closed": 5, "lost": 1}, {"client_closed": 7, "lost": 1, "drain_closed": 4}) == {
        "drain_closed": 4,
        "client_closed": 2,
    }
