from __future__ import annotations

from cli.shell import Shell
from control.fakedoor import FakeDoor


async def test_refusals(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("swap", "v9")
    assert (result.exit_code, result.err) == (2, "frontdoor: there is no version v9; did you mean v2?\n")
    door.swap("main", "v2")
    result = await shell.run("swap", "v2", "--json")
    assert (result.exit_code, result.json["exit_code"], result.json["swap"]) == (5, 5, 1)


async def test_a_generation_that_runs_is_reused_on_request(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v1#1", "--reuse", "--wait", "switched")
    await door.started.wait()
    door.operations[1].reach("switched", "switched", 0, "v1#1 is active")
    result = await command.end()
    assert (result.exit_code, result.out) == (0, "v1#1 is active\n")
    assert door.calls == [("swap", "main", "v1#1", True)]
