from __future__ import annotations

import re
import signal

from cli.shell import Shell
from control.fakedoor import FakeDoor, door_process, open_listener


async def test_lines_are_tagged_and_cannot_move_the_cursor(shell: Shell, door: FakeDoor) -> None:
    door.prints("GET / 200", "v1#1")
    door.prints("\x1b[2Jboom\r")
    result = await shell.run("logs")
    assert (result.exit_code, result.err) == (0, "")
    first, second = result.out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d v1#1 4720 \| GET / 200", first)
    assert second.endswith(r" v2#2 4720 | \x1b[2Jboom\r")

    result = await shell.run("logs", "v2", "--lines", "1", "--json")
    assert result.json_lines == door.printed[1:]
    assert door.calls[-1] == ("logs", None, "v2", 1)
    assert (await shell.run("logs", "v9")).exit_code == 2


async def test_with_several_doors_the_line_says_which(shell: Shell, door: FakeDoor) -> None:
    door.state["doors"].append({**door.state["doors"][0], "name": "api"})
    door.doors = ("main", "api")
    door.prints("here", door="api")
    assert (await shell.run("logs")).out.endswith(" api v2#2 4720 | here\n")
    assert " api " not in (await shell.run("logs", "--door", "api")).out


async def test_following_goes_on_as_long_as_serve_lives(shell: Shell) -> None:
    shell.write_config()
    door = FakeDoor()
    with open_listener(shell.socket) as listener:
        async with door_process(door, listener):
            door.prints("not asked for")
            door.prints("one")
            command = await shell.start("logs", "-f", "--lines", "1")
            await command.out_until("one")
            door.prints("two")
            door.prints("two")  # twice in a millisecond, perhaps
            door.prints("three")
            await command.out_until("three")
        door.prints("four")  # its pipe is read again when the door process is back
        async with door_process(door, listener):
            await command.out_until("four")
            door.prints("five")
            await command.out_until("five")
    result = await command.end()  # nobody listens any more: serve has ended
    assert result.exit_code == 0
    texts = [line.partition("| ")[2] for line in result.out.splitlines()]
    assert texts == ["one", "two", "two", "three", "four", "five"]
    assert result.err.endswith("frontdoor has stopped\n")


async def test_ctrl_c_ends_it(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("logs", "-f", "--json")
    door.prints("one")
    await command.out_until("one")
    command.process.send_signal(signal.SIGINT)
    assert (await command.end()).exit_code == 130
