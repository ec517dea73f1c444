from __future__ import annotations

import signal

from cli.shell import Shell
from control.fakedoor import FakeDoor


async def test_a_rollback_is_shown_like_the_swap_that_it_is(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("rollback", "--wait", "switched")
    await door.started.wait()
    operation = door.operations[1]
    door.say(operation, "swap.switched", **{"from": "v2#2", "to": "v1#1"})
    door.say(operation, "swap.rolled_back", **{"from": "v2#2", "to": "v1#1"})
    operation.reach("switched", "switched", 0, "v1#1 is active; v2#2 drains 3 streams")
    result = await command.end()
    assert (result.exit_code, result.out) == (0, "v1#1 is active; v2#2 drains 3 streams\n")
    assert result.err.splitlines() == [
        "swap 1: v2#2 → v1#1",
        "switched: new connections go to v1#1",
        "rolled back from v2#2 to v1#1",
    ]


async def test_nothing_to_go_back_to(shell: Shell, door: FakeDoor) -> None:
    door.state["doors"][0]["previous"] = None
    result = await shell.run("rollback")
    assert (result.exit_code, result.out) == (1, "")
    assert "nothing to go back to" in result.err


async def test_ctrl_c_before_its_switch_aborts_it(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("rollback")
    await command.err_until("v2#2 → v1#1")
    command.process.send_signal(signal.SIGINT)
    assert (await command.end()).exit_code == 130
    assert door.aborted.is_set()
