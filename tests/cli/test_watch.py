from __future__ import annotations

import signal

import trio

from cli.shell import Shell
from control.fakedoor import FakeDoor, door_process, open_listener


def ready(door: FakeDoor) -> None:
    operation = door.operations[1]
    door.say(operation, "backend.starting", version="v2", generation="v2#2", pid=4720)
    door.say(operation, "backend.ready", version="v2", generation="v2#2", after_s=0.84)


def switch(door: FakeDoor) -> None:
    operation = door.operations[1]
    door.say(operation, "swap.switched", **{"from": "v1#1", "to": "v2#2", "streams": 132})
    door.say(operation, "drain.started", generation="v1#1", streams=132)
    operation.reach("baked", "active", 0, "v2#2 is active; v1#1 drains 132 streams")


async def test_a_swap_shows_what_happens_and_prints_its_outcome(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2")
    await command.err_until("swap 1: v1#1 → v2#2")
    ready(door)
    await command.err_until("v2#2 ready after 0.8 s")
    switch(door)
    result = await command.end()
    assert (result.exit_code, result.out) == (0, "v2#2 is active; v1#1 drains 132 streams\n")
    assert result.err.splitlines() == [
        "swap 1: v1#1 → v2#2",
        "v2#2 starting (pid 4720)",
        "v2#2 ready after 0.8 s",
        "switched: new connections go to v2#2",
        "v1#1 draining with 132 streams",
    ]


async def test_wait_drained_waits_and_has_its_own_exit_code(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--wait", "drained", "--json")
    await door.started.wait()
    switch(door)
    door.say(door.operations[1], "drain.finished", generation="v1#1", closed=4)
    door.operations[1].reach("drained", "cut", 6, "v2#2 is active; 4 streams of v1#1 had to be closed")
    result = await command.end()
    assert result.exit_code == 6
    assert [line["event"] for line in result.json_lines] == [
        "swap.started",
        "swap.switched",
        "drain.started",
        "drain.finished",
        "result",
    ]
    assert result.err == "frontdoor: v2#2 is active; 4 streams of v1#1 had to be closed\n"


async def test_a_failed_swap_shows_the_candidates_last_output(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2")
    await door.started.wait()
    message = "v2#2 exited with code 1 before it was ready; v1#1 still serves"
    door.operations[1].fail("failed", 4, message, output=["Trace", "\x1b[2Jboom"])
    result = await command.end()
    assert (result.exit_code, result.out) == (4, "")
    assert result.err.splitlines()[1:] == [
        f"frontdoor: {message}",
        "    its last output:",
        "    Trace",
        "    \\x1b[2Jboom",
    ]


async def test_ctrl_c_before_the_switch_aborts_the_swap(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2")
    await command.err_until("v1#1 → v2#2")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert result.exit_code == 130
    assert door.aborted.is_set()
    assert result.err.endswith("frontdoor: the swap was aborted; v1#1 still serves\n")


async def test_ctrl_c_after_the_switch_only_stops_watching(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--wait", "drained")
    await door.started.wait()
    switch(door)
    await command.err_until("v1#1 draining")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert result.exit_code == 130
    assert not door.aborted.is_set()
    assert result.err.endswith("stopped watching; the swap itself goes on\n")


async def test_ctrl_c_that_comes_too_late_says_so(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--wait", "drained")
    await command.err_until("v1#1 → v2#2")
    # The switch happens, and the client has not heard of it yet.
    door.operations[1].reach("switched", "active", 0, "v2#2 is active")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert result.exit_code == 130
    assert "not aborted: it has switched already" in result.err


async def test_nobody_reads_and_the_exit_code_is_still_the_outcome(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2")
    await door.started.wait()
    assert command.process.stdout is not None
    assert command.process.stderr is not None
    await command.process.stdout.aclose()
    await command.process.stderr.aclose()
    ready(door)
    switch(door)
    with trio.fail_after(20):
        assert await command.process.wait() == 0


async def test_the_connection_breaks_and_the_outcome_is_asked_for_again(shell: Shell) -> None:
    shell.write_config()
    door = FakeDoor()
    with open_listener(shell.socket) as listener:
        async with door_process(door, listener):
            command = await shell.start("swap", "v2")
            await command.err_until("v1#1 → v2#2")
        ready(door)
        async with door_process(door, listener):
            await command.err_until("v2#2 ready")
            switch(door)
            result = await command.end()
    assert (result.exit_code, result.out) == (0, "v2#2 is active; v1#1 drains 132 streams\n")
    assert result.err.count("v1#1 → v2#2") == 1  # what was shown is not shown again
    assert "the connection to frontdoor broke" in result.err


async def test_the_door_process_is_another_and_does_not_know_the_swap(shell: Shell) -> None:
    shell.write_config()
    with open_listener(shell.socket) as listener:
        async with door_process(FakeDoor(), listener):
            command = await shell.start("swap", "v2")
            await command.err_until("v1#1 → v2#2")
        async with door_process(FakeDoor(), listener):
            result = await command.end()
    assert (result.exit_code, result.out) == (1, "")
    assert "swap 1's outcome is not known" in result.err
    assert "frontdoor status" in result.err


async def test_a_reloads_outcome_cannot_be_asked_for_again(shell: Shell) -> None:
    shell.write_config()
    door = FakeDoor()
    with open_listener(shell.socket) as listener:
        async with door_process(door, listener):
            command = await shell.start("reload", "--json")
            await door.started.wait()
            door.reloading.record(door.bus.publish("config.reloaded", changed=["active"]))
            await command.out_until("config.reloaded")
        result = await command.end()
    assert (result.exit_code, result.json_lines[-1]["exit_code"]) == (1, 1)
    assert "the reload's outcome is not known; look with: frontdoor status" in result.err


async def test_ctrl_c_leaves_a_reload_alone(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("reload")
    await door.started.wait()
    door.reloading.record(door.bus.publish("config.reloaded", changed=[]))
    await command.err_until("nothing has changed")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert (result.exit_code, door.aborted.is_set()) == (130, False)
    assert result.err.endswith("stopped watching; the reload itself goes on\n")
