from __future__ import annotations

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket


async def test_on_and_off(shell: Shell, door: FakeDoor) -> None:
    on = await shell.run("maintenance", "on", "--message", "Back at 5", "--retry-after", "10m")
    assert (on.exit_code, on.out, on.err) == (0, "the door main is in maintenance\n", "")
    plain = await shell.run("maintenance", "on", "--json")
    assert (plain.json["result"], plain.json["on"], plain.json["exit_code"]) == ("maintenance_on", True, 0)
    off = await shell.run("maintenance", "off", "--door", "main")
    assert (off.exit_code, off.out) == (0, "the door main is in maintenance no more\n")
    assert door.calls == [
        ("maintain", "main", "Back at 5", 600),
        ("maintain", "main", None, 120),
        ("end_maintenance", "main"),
    ]


async def test_a_door_of_tcp_refuses_it(shell: Shell) -> None:
    shell.write_config()
    async with control_socket(FakeDoor(("tcp",)), shell.socket):
        refused = await shell.run("maintenance", "on")
    assert (refused.exit_code, refused.out) == (2, "")
    assert refused.err == 'frontdoor: the door tcp has protocol = "tcp": it knows of no requests\n'


async def test_what_makes_no_sense_is_not_asked(shell: Shell, door: FakeDoor) -> None:
    for arguments, why in (
        ([], "Missing argument 'on|off'"),
        (["yes"], "'yes' is not one of 'on', 'off'"),
        (["off", "--message", "x"], "--message and --retry-after are said with on"),
        (["off", "--retry-after", "5s"], "--message and --retry-after are said with on"),
        (["on", "--message", ""], "--message is a text that is not empty"),
        (["on", "--retry-after", "1500ms"], "--retry-after is told to visitors in whole seconds"),
        (["on", "--retry-after", "soon"], "'soon' is not a duration"),
    ):
        result = await shell.run("maintenance", *arguments)
        assert result.exit_code == 2
        assert why in result.err
    assert door.calls == []
