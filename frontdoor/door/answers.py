"""Answers: what those who wait for a swap are told, once it is so after a crash too."""

from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from frontdoor.control.operator import DONE, FAILED
from frontdoor.control.wording import count
from frontdoor.policy.share import show_share

if TYPE_CHECKING:
    from frontdoor.door.swap import Swap

WAIT_FOR_DISK = 5.0
"""Seconds that whoever waits for a swap that was switched back has to wait for the disk."""


def answer_soon(swap: "Swap") -> None:
    """Tell them what is so now: the canary has its share, or the candidate is the active one."""
    more: dict[str, Any] = {"streams": swap.old.open if swap.old else 0}
    if not swap.switched and swap.trial is not None and swap.trial.walk is not None:
        more = {"share": show_share(swap.trial.walk.share)}
    swap.answered = trio.Event()
    answer = partial(_answer, swap, swap.answered, "switched" if swap.switched else "shared", swap.message)
    swap.door.world.nursery.start_soon(partial(answer, **more))


async def _answer(swap: "Swap", answered: trio.Event, milestone: str, message: str, **more: Any) -> None:
    try:
        await swap.door.remember()
        if swap.verdict is None:  # else it was taken back meanwhile, and that is what they are told
            result = "canary" if milestone == "shared" else milestone
            swap.operation.reach(milestone, result, DONE, message + _unsaved(swap), **more)
    finally:
        answered.set()


def answer_baked(swap: "Swap") -> None:
    """Tell them that it stays: it has passed its probation, had none, or could not be proved."""
    if swap.trial is not None and swap.trial.unproved:
        message = f"{swap.message}{_unsaved(swap)}; it was not proved: {swap.trial.unproved}"
        swap.operation.reach("baked", "unproved", FAILED, message, reason=swap.trial.unproved)
        return
    if swap.trial is not None:
        swap.message = f"{swap.target} is active and has passed its probation{left(swap)}"
    switched = swap.operation.outcome("switched") or {}
    swap.operation.reach("baked", "switched", DONE, swap.message + _unsaved(swap), streams=switched.get("streams"))


async def answer_back(swap: "Swap", verdict: dict[str, Any]) -> None:
    """Tell them that it was taken back, once a restart would know of it; or that it would not."""
    unsaved = "; but the disk does not answer, and until it does a restart of frontdoor would not know of it"
    try:
        with trio.move_on_after(WAIT_FOR_DISK):
            await swap.door.remember()
            unsaved = _unsaved(swap)
    finally:
        message = str(verdict["message"]) + (unsaved if swap.switched else "")
        swap.operation.fail(**{**verdict, "message": message})


def left(swap: "Swap") -> str:
    """What the old generation has left, as the end of a sentence."""
    if swap.old is None:
        return ""
    streams = swap.old.open
    return f"; {swap.old.id} " + (f"drains {count(streams, 'stream')}" if streams else "had no open stream")


def _unsaved(swap: "Swap") -> str:
    problem = swap.door.world.record.problem
    return f"; but a restart of frontdoor would not know of it: {problem}" if problem else ""
