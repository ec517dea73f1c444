"""What those who wait for a swap are told, once it is so after a crash too."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
import trio.testing

from frontdoor.control.operation import Operation
from frontdoor.door.answers import WAIT_FOR_DISK, answer_back, answer_baked, answer_soon

V1 = Some(id="v1#1", open=3)
WITHDRAWN = {"result": "switched_back", "exit_code": 7, "message": "v2#2 failed as a canary and was withdrawn"}


class Disk:
    """Of a door: it has what it is told when it is released."""

    def __init__(self) -> None:
        self.released = trio.Event()
        self.asked = trio.Event()

    async def remember(self) -> None:
        self.asked.set()
        await self.released.wait()


def swap_of(nursery: trio.Nursery | None, disk: Disk, *, problem: str = "", **changes: Any) -> Any:
    world = Some(nursery=nursery, record=Some(problem=problem))
    known: dict[str, Any] = {
        "operation": Operation(7),
        "door": Some(world=world, remember=disk.remember),
        "old": V1,
        "target": "v2#2",
        "message": "v2#2 is active",
        "switched": True,
        "trial": None,
        "verdict": None,
    }
    return Some(**(known | changes))


def told(swap: Any, milestone: str) -> tuple[str, int, str] | None:
    outcome = swap.operation.outcome(milestone)
    return outcome and (outcome["result"], outcome["exit_code"], outcome["message"])


async def test_nobody_is_told_before_the_disk_has_it(nursery: trio.Nursery, disk: Disk) -> None:
    swap = swap_of(nursery, disk)
    answer_soon(swap)
    await disk.asked.wait()
    assert told(swap, "switched") is None
    disk.released.set()
    await swap.answered.wait()
    assert told(swap, "switched") == ("switched", 0, "v2#2 is active")
    assert told(swap, "baked") is None


async def test_a_canary_has_its_share(nursery: trio.Nursery, disk: Disk) -> None:
    disk.released.set()
    swap = swap_of(nursery, disk, switched=False, trial=Some(walk=Some(share=500)), message="v2#2 gets 5%")
    answer_soon(swap)
    await swap.answered.wait()
    assert told(swap, "shared") == ("canary", 0, "v2#2 gets 5%")
    assert swap.operation.outcome("shared")["share"] == "5%"
    assert told(swap, "switched") is None


async def test_a_canary_that_was_withdrawn_while_the_disk_was_slow_is_none(nursery: trio.Nursery, disk: Disk) -> None:
    swap = swap_of(nursery, disk, switched=False, trial=Some(walk=Some(share=500)), message="v2#2 gets 5%")
    answer_soon(swap)
    await disk.asked.wait()
    swap.verdict = WITHDRAWN
    disk.released.set()
    await swap.answered.wait()
    await answer_back(swap, WITHDRAWN)
    assert told(swap, "shared") == ("switched_back", 7, "v2#2 failed as a canary and was withdrawn")


async def test_a_disk_that_failed_is_said(nursery: trio.Nursery, disk: Disk) -> None:
    disk.released.set()
    swap = swap_of(nursery, disk, problem="no space left")
    answer_soon(swap)
    await swap.answered.wait()
    unsaved = "; but a restart of frontdoor would not know of it: no space left"
    assert told(swap, "switched") == ("switched", 0, f"v2#2 is active{unsaved}")
    await answer_back(swap, WITHDRAWN)
    assert told(swap, "drained") == ("switched_back", 7, f"v2#2 failed as a canary and was withdrawn{unsaved}")


async def test_who_was_switched_back_does_not_wait_for_a_disk_that_hangs(
    autojump_clock: trio.testing.MockClock, disk: Disk
) -> None:
    swap, began = swap_of(None, disk), trio.current_time()
    await answer_back(swap, WITHDRAWN)
    assert trio.current_time() - began == pytest.approx(WAIT_FOR_DISK)
    result, code, message = told(swap, "drained") or ("", 0, "")
    assert (result, code) == ("switched_back", 7)
    assert "the disk does not answer" in message


@pytest.mark.parametrize(
    ("trial", "result", "code", "message"),
    [
        (None, "switched", 0, "v2#2 is active"),
        (Some(unproved=""), "switched", 0, "v2#2 is active and has passed its probation; v1#1 drains 3 streams"),
        (Some(unproved="it was stopped"), "unproved", 1, "v2#2 is active; it was not proved: it was stopped"),
    ],
)
def test_what_stays_has_passed_its_probation_or_had_none(trial: Any, result: str, code: int, message: str) -> None:
    swap = swap_of(None, Disk(), trial=trial)
    answer_baked(swap)
    assert told(swap, "baked") == (result, code, message)
    assert told(swap, "drained") is None


@pytest.fixture
def disk() -> Disk:
    return Disk()
