from __future__ import annotations

import trio
import trio.testing

from control.passes import counted
from frontdoor.control.turns import Turns


async def test_all_get_their_turn_in_order_and_each_in_a_pass_of_its_own() -> None:
    turns = Turns()
    went: list[tuple[int, int]] = []

    async def go(number: int) -> None:
        for _ in range(3):
            await turns.take()
            went.append((passes.number, number))

    with counted() as passes:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(go, number)
                await trio.testing.wait_all_tasks_blocked() if number == 0 else None
    assert len({number for number, _ in went}) == len(went) == 60
    rounds = [[who for _, who in went[start : start + 19]] for start in (3, 22, 41)]
    assert all(sorted(each) == list(range(1, 20)) for each in rounds)  # nobody goes twice while others wait


async def test_one_that_is_alone_lets_the_others_run_too() -> None:
    with trio.testing.assert_checkpoints():
        await Turns().take()


async def test_who_gives_up_while_he_waits_holds_up_nobody() -> None:
    turns = Turns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.take)
        with trio.CancelScope() as scope:
            scope.cancel()
            await turns.take()
        with trio.fail_after(5):
            await turns.take()
