from __future__ import annotations

from cli.shell import Shell
from control.fakedoor import FakeDoor


async def test_a_restart_fails_with_the_exit_code_of_a_swap(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("restart", "--json")
    await door.started.wait()
    door.operations[1].fail("failed", 4, "v2#3 did not become ready; v2#2 still serves", output=["boom"])
    result = await command.end()
    assert (result.exit_code, result.json_lines[-1]["output"]) == (4, ["boom"])
    assert door.calls == [("restart", "main")]
