"""The outcome of a swap after which something else serves than it was asked for: what is said, and the exit code."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from frontdoor.control.operator import FAILED, NOT_READY, ROLLED_BACK
from frontdoor.policy.swap import Phase

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.door.swap import Swap

INTERRUPTED = 130
"""The shell's exit code for Ctrl-C: 128 and the number of SIGINT."""

Say = Callable[..., object]


def report_failure(swap: "Swap", door: "Door", say: Say) -> None:
    """Publish how the swap has ended, and tell those who wait for it."""
    _REPORTS[swap.phase](swap, door, say)


def _aborted(swap: "Swap", door: "Door", say: Say) -> None:
    say("swap.aborted", **swap.ends, reason=swap.aborted_by or None)
    by = f" by {swap.aborted_by}" if swap.aborted_by else ""
    message = f"the swap to {swap.target} was aborted{by} before the switch; {door.serves}"
    swap.operation.fail("aborted", FAILED if swap.aborted_by else INTERRUPTED, message)


def _vetoed(swap: "Swap", door: "Door", say: Say) -> None:
    say("swap.vetoed", **swap.ends, reason=swap.problem)
    message = f"the swap to {swap.target} was vetoed: {swap.problem}; {door.serves}"
    swap.operation.fail("vetoed", FAILED, message, reason=swap.problem)


def _failed(swap: "Swap", door: "Door", say: Say) -> None:
    say("swap.failed", **swap.ends, reason=swap.problem, output=swap.output)
    message = f"{swap.target} did not become ready ({swap.problem}); {door.serves}"
    swap.operation.fail("failed", NOT_READY, message, reason=swap.problem, output=swap.output)


def _switched_back(swap: "Swap", door: "Door", say: Say) -> None:
    back = {"from": swap.target, "to": swap.old.id if swap.old else None}
    if swap.aborted_by:
        say("swap.rolled_back", **back)
        message = f"{swap.target} was taken back by {swap.aborted_by} in its probation; {door.serves}"
        swap.verdict = {"result": "rolled_back", "exit_code": FAILED, "message": message}
        return
    say("swap.rolled_back", **back, reason=swap.problem, output=swap.output)
    failed = "in its probation and was switched back" if swap.switched else "as a canary and was withdrawn"
    message = f"{swap.target} failed {failed}: {swap.problem}; {door.serves}"
    seen = {"reason": swap.problem, "output": swap.output}
    swap.verdict = {"result": "switched_back", "exit_code": ROLLED_BACK, "message": message, **seen}


_REPORTS: dict[Phase, Callable[["Swap", "Door", Say], None]] = {
    Phase.ABORTED: _aborted,
    Phase.VETOED: _vetoed,
    Phase.FAILED: _failed,
    Phase.SWITCHED_BACK: _switched_back,
}
