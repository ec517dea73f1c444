"""What those who wait for a swap are told after which something else serves than it was asked for."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest

from frontdoor.control.operation import MILESTONES, Operation
from frontdoor.door.outcome import INTERRUPTED, report_failure
from frontdoor.policy.swap import Phase

ENDS = {"from": "v1#1", "to": "v2#2"}
BACK = {"from": "v2#2", "to": "v1#1"}


def told(phase: Phase, **changes: Any) -> tuple[tuple[str, dict[str, Any]], dict[str, Any]]:
    """The event that is published, and the outcome."""
    known: dict[str, Any] = {
        "phase": phase,
        "operation": Operation(7),
        "ends": ENDS,
        "target": "v2#2",
        "old": Some(id="v1#1"),
        "aborted_by": "",
        "problem": "",
        "output": [],
        "switched": False,
        "verdict": None,
    }
    swap: Any = Some(**(known | changes))
    said: list[tuple[str, dict[str, Any]]] = []
    report_failure(
        swap, Some(serves="v1#1 still serves"), lambda event, /, **fields: said.append((event, fields))  # type: ignore[arg-type]
    )  # fmt: skip
    (event,) = said
    if swap.verdict is not None:  # it is told when it is so after a crash too
        return event, swap.verdict
    lines = [swap.operation.outcome(milestone) for milestone in MILESTONES]
    assert lines[1:] == lines[:-1], "whatever it is waited for"
    return event, {key: value for key, value in lines[0].items() if key not in ("event", "time", "swap")}


def test_ctrl_c_is_no_failure_of_its() -> None:
    event, outcome = told(Phase.ABORTED)
    assert event == ("swap.aborted", {**ENDS, "reason": None})
    message = "the swap to v2#2 was aborted before the switch; v1#1 still serves"
    assert outcome == {"result": "aborted", "exit_code": INTERRUPTED, "message": message}


def test_somebody_else_has_ended_it() -> None:
    event, outcome = told(Phase.ABORTED, aborted_by="rollback")
    assert event == ("swap.aborted", {**ENDS, "reason": "rollback"})
    message = "the swap to v2#2 was aborted by rollback before the switch; v1#1 still serves"
    assert outcome == {"result": "aborted", "exit_code": 1, "message": message}


def test_a_hook_said_no() -> None:
    event, outcome = told(Phase.VETOED, problem="before_swap exited with code 1")
    assert event == ("swap.vetoed", {**ENDS, "reason": "before_swap exited with code 1"})
    assert outcome == {
        "result": "vetoed",
        "exit_code": 1,
        "message": "the swap to v2#2 was vetoed: before_swap exited with code 1; v1#1 still serves",
        "reason": "before_swap exited with code 1",
    }


def test_it_did_not_become_ready() -> None:
    seen = {"reason": "it exited with code 3", "output": ["no database"]}
    event, outcome = told(Phase.FAILED, problem="it exited with code 3", output=["no database"])
    assert event == ("swap.failed", {**ENDS, **seen})
    message = "v2#2 did not become ready (it exited with code 3); v1#1 still serves"
    assert outcome == {"result": "failed", "exit_code": 4, "message": message, **seen}


@pytest.mark.parametrize(
    ("switched", "failed"),
    [(True, "in its probation and was switched back"), (False, "as a canary and was withdrawn")],
)
def test_it_was_found_wanting(switched: bool, failed: str) -> None:
    seen = {"reason": "one of its processes has crashed", "output": ["Traceback"]}
    event, outcome = told(Phase.SWITCHED_BACK, problem=seen["reason"], output=["Traceback"], switched=switched)
    assert event == ("swap.rolled_back", {**BACK, **seen}), "the hook failed is run because of its reason"
    message = f"v2#2 failed {failed}: one of its processes has crashed; v1#1 still serves"
    assert outcome == {"result": "switched_back", "exit_code": 7, "message": message, **seen}


def test_somebody_has_taken_it_back_in_its_probation() -> None:
    event, outcome = told(Phase.SWITCHED_BACK, aborted_by="rollback", switched=True)
    assert event == ("swap.rolled_back", BACK), "without a reason: nothing needs care"
    message = "v2#2 was taken back by rollback in its probation; v1#1 still serves"
    assert outcome == {"result": "rolled_back", "exit_code": 1, "message": message}
