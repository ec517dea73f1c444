from __future__ import annotations

import signal

from cli.shell import Shell
from control.fakedoor import FakeDoor, door_process, open_listener
from frontdoor.control.operation import Operation


async def test_the_new_door_process_is_asked_for_the_outcome(shell: Shell) -> None:
    shell.write_config()
    old, new = FakeDoor(), FakeDoor()
    with open_listener(shell.socket) as listener:
        async with door_process(old, listener):
            command = await shell.start("upgrade")
            await command.err_until("upgrade 1: a new door process is being started")
        operation = new.upgrades[1] = Operation(1, noun="upgrade")
        async with door_process(new, listener):
            await command.err_until("asking the new one")
            operation.record(new.bus.publish("upgrade.finished", upgrade=1, **{"from": "0.1.0", "to": "0.2.0"}))
            operation.reach("drained", "upgraded", 0, "upgraded: frontdoor 0.2.0 goes on; v2#2 serves")
            result = await command.end()
    assert (result.exit_code, result.out) == (0, "upgraded: frontdoor 0.2.0 goes on; v2#2 serves\n")
    assert result.err.splitlines() == [
        "upgrade 1: a new door process is being started",
        "the old door process has ended: asking the new one",
    ]


async def test_why_it_failed_is_shown_with_the_last_lines(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("upgrade")
    await door.started.wait()
    why = "the new door process ended (exit code 1) before it was ready"
    output = ['  File "frontdoor/door/door.py", line 7', "SyntaxError: invalid syntax"]
    door.upgrades[1].record(door.bus.publish("upgrade.failed", upgrade=1, reason=why, output=output))
    door.upgrades[1].fail("failed", 1, f"the upgrade failed: {why}; v2#2 serves, as before", output=output)
    result = await command.end()
    assert (result.exit_code, result.out) == (1, "")
    assert result.err.splitlines()[1:] == [
        f"frontdoor: the upgrade failed: {why}; v2#2 serves, as before",
        "    its last output:",
        *(f"    {line}" for line in output),
    ]


async def test_one_at_a_time(shell: Shell, door: FakeDoor) -> None:
    first = await shell.start("upgrade", "--json")
    await door.started.wait()
    second = await shell.run("upgrade")
    assert second.exit_code == 5
    assert "an upgrade of frontdoor is under way" in second.err
    door.upgrades[1].fail("failed", 1, "it failed")
    result = await first.end()
    assert [line["event"] for line in result.json_lines] == ["upgrade.started", "result"]
    assert (result.json_lines[-1]["upgrade"], result.json_lines[-1]["exit_code"]) == (1, 1)


async def test_a_new_one_that_knows_nothing_of_it(shell: Shell) -> None:
    shell.write_config()
    with open_listener(shell.socket) as listener:
        async with door_process(FakeDoor(), listener):
            command = await shell.start("upgrade")
            await command.err_until("upgrade 1:")
        async with door_process(FakeDoor(), listener):
            result = await command.end()
    assert (result.exit_code, result.out) == (1, "")
    assert "upgrade 1's outcome is not known" in result.err


async def test_ctrl_c_only_stops_watching(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("upgrade")
    await command.err_until("upgrade 1:")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert result.exit_code == 130
    assert result.err.endswith("stopped watching; the upgrade itself goes on\n")
