from __future__ import annotations

import os
import socket

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket


async def test_nothing_is_running(shell: Shell) -> None:
    for arguments in (["status"], ["swap", "v2"], ["stop"], ["drain", "v1", "--now"], ["events", "-f"]):
        result = await shell.run(*arguments)
        assert (result.exit_code, result.out, result.err.count("\n")) == (3, "", 1)
        assert "no frontdoor is running here (looked at /run/frontdoor/control.sock)" in result.err
        assert "frontdoor serve config.toml" in result.err
    result = await shell.run("status", "--json")
    assert result.json["exit_code"] == 3


async def test_the_first_place_that_answers(shell: Shell) -> None:
    os.makedirs(f"{shell.folder}/xdg/frontdoor")
    os.makedirs(f"{shell.folder}/other")
    xdg = {"XDG_RUNTIME_DIR": f"{shell.folder}/xdg"}
    shell.write_config()
    shell.write_config('[frontdoor]\nruntime_dir = "other"\n', "other.toml")

    async def who(*arguments: str, **env: str) -> object:
        result = await shell.run("status", "--json", *arguments, **env)
        return result.json["pid"] if result.exit_code == 0 else result.exit_code

    async with control_socket(FakeDoor(pid=1), f"{shell.folder}/xdg/frontdoor/control.sock"):
        assert await who(**xdg) == 1  # nothing answers for the config.toml here
        async with control_socket(FakeDoor(pid=2), shell.socket):
            assert await who(**xdg) == 2
            async with control_socket(FakeDoor(pid=3), f"{shell.folder}/other/control.sock"):
                named = {**xdg, "FRONTDOOR_CONTROL": "other/control.sock"}
                assert await who(**named) == 3
                assert await who("--config", "config.toml", **named) == 2
                assert await who("--config", "other.toml", **named) == 3
                assert await who("--control", "xdg/frontdoor/control.sock", "--config", "other.toml") == 1
            # What was asked for by name has to answer itself.
            assert await who(**named) == 3
            assert await who("--config", "other.toml", **xdg) == 3
            assert await who("--control", "nowhere.sock", **xdg) == 3
        shell.write_config("this is no TOML")
        assert await who(**xdg) == 1
        assert await who("--config", "config.toml", **xdg) == 2
        os.unlink(shell.socket)
        async with control_socket(FakeDoor(pid=4), shell.socket):
            assert await who(**xdg) == 4, "a mistake in the file does not hide the frontdoor that it was started from"


async def test_a_socket_that_is_stale_or_no_socket_or_too_long(shell: Shell) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{shell.folder}/stale.sock")
    shell.write_config(name="file.sock")
    for path, why in [
        ("stale.sock", "connection refused"),
        ("file.sock", "connection refused"),
        ("x" * 200, "AF_UNIX path too long"),
    ]:
        result = await shell.run("status", "--control", path)
        assert result.exit_code == 3
        assert why.lower() in result.err.lower()


async def test_what_answers_is_no_frontdoor(shell: Shell) -> None:
    import trio

    async def stranger(stream: trio.SocketStream) -> None:
        async with stream:
            if await stream.receive_some():  # else it was only tried whether somebody answers
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{shell.folder}/s")
        listener.listen()
        async with trio.open_nursery() as nursery:
            there = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            nursery.start_soon(trio.serve_listeners, stranger, [there])
            result = await shell.run("status", "--control", "s")
            nursery.cancel_scope.cancel()
    assert (result.exit_code, "is no frontdoor" in result.err) == (1, True)


async def test_doors_must_be_named_where_there_are_several(shell: Shell, door: FakeDoor) -> None:
    door.doors = ("main", "side")
    result = await shell.run("swap", "v2")
    assert (result.exit_code, "main, side" in result.err) == (2, True)
    result = await shell.run("swap", "v2", "--door", "nope", "--json")
    assert (result.exit_code, result.json["doors"]) == (2, ["main", "side"])
    assert (await shell.run("drain", "v1", "--now", "--door", "side")).exit_code == 0
    assert door.calls == [("drain", "side", "v1", 0.0)]
