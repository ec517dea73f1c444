from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping

import pytest
import trio

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket, door_process, open_listener, until
from frontdoor.cli.screen import feed as feed_module
from frontdoor.cli.screen.feed import Feed, Gone, Lost
from frontdoor.cli.top import _live
from frontdoor.control.client import Client, Lines
from frontdoor.control.dial import ControlError


async def test_without_a_terminal_there_is_another_way(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("top")
    assert (result.exit_code, result.out) == (2, "")
    assert "this is no terminal; use: frontdoor status --watch" in result.err
    assert "use: frontdoor status --watch --json" in (await shell.run("top", "--json")).err


@pytest.mark.parametrize("term", ["dumb", None])
async def test_a_terminal_that_cannot_place_a_cursor(shell: Shell, term: str | None) -> None:
    result = await on_terminal(shell, {} if term is None else {"TERM": term})
    assert result.returncode == 2
    assert b"cannot place a cursor" in result.stderr
    assert b"use: frontdoor status --watch" in result.stderr
    assert result.stdout == b""


async def test_no_frontdoor(shell: Shell) -> None:
    result = await on_terminal(shell, {"TERM": "xterm"})
    assert (result.returncode, result.stdout) == (3, b"")


async def test_no_such_door(shell: Shell, door: FakeDoor) -> None:
    result = await on_terminal(shell, {"TERM": "xterm"}, "--door", "side")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"there is no door 'side'; there is main" in result.stderr


async def on_terminal(shell: Shell, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `frontdoor top`, which ends at once, on a terminal; what it writes there is its stdout."""
    ours, theirs = pty.openpty()
    with trio.fail_after(30):
        done = await trio.run_process(
            shell.command("top", *arguments),
            stdin=theirs,
            stdout=theirs,
            capture_stderr=True,
            check=False,
            cwd=shell.folder,
            env={**shell.env, **env},
        )
    os.close(theirs)
    try:
        done.stdout = os.read(ours, 65536)
    except OSError:
        done.stdout = b""  # the terminal has nothing, and nobody is there any more
    os.close(ours)
    return done


async def test_a_frontdoor_that_is_older(shell: Shell, door: FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "CALL", "/v1/what-is-to-come")
    with pytest.raises(ControlError, match="older than top"):
        await trio.to_thread.run_sync(_live, Client(shell.socket))


async def test_too_many_who_follow_is_said_as_it_is(
    shell: Shell, door: FakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontdoor.control.followers.MAX_FOLLOWERS", 0)
    with pytest.raises(ControlError, match="0 clients follow already"):
        await trio.to_thread.run_sync(_live, Client(shell.socket))


class Reader:
    """Reads a feed, and remembers what it was told."""

    def __init__(self, shell: Shell, lines: Lines) -> None:
        self.feed = Feed(Client(shell.socket), lines, lambda: None)
        self.told: list[object] = []

    async def is_told(self, *expected: object) -> None:
        """Wait until it was told as many: these, by name or by kind."""

        def there() -> bool:
            self.told += [each["event"] if isinstance(each, Mapping) else type(each) for each in self.feed.waiting()]
            return len(self.told) >= len(expected)

        await until(there, "it is told")
        assert self.told == list(expected)


async def test_the_stream_is_followed_until_nobody_is_there(shell: Shell) -> None:
    shell.write_config()
    state, both = {"event": "live.state"}, ["live.past", "live.state"]
    with open_listener(shell.socket) as listener:
        first, second = FakeDoor(), FakeDoor()
        async with door_process(first, listener):
            reader = Reader(shell, await trio.to_thread.run_sync(_live, Client(shell.socket)))
            await until(lambda: len(first.lively.followers) == 1, "it is followed")
            first.lively.add(state)
            await reader.is_told(*both)
        await reader.is_told(*both, Lost)
        async with door_process(second, listener):
            await until(lambda: len(second.lively.followers) == 1, "it is followed again")
            second.lively.add(state)
            await reader.is_told(*both, Lost, *both)
    await reader.is_told(*both, Lost, *both, Lost, Gone)


async def test_a_reader_that_is_slow_lets_frontdoor_drop(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "WAITING", 5)
    shell.write_config()
    door = FakeDoor()
    async with control_socket(door, shell.socket):
        lines = await trio.to_thread.run_sync(_live, Client(shell.socket))
        feed = Feed(Client(shell.socket), lines, lambda: None)
        await until(lambda: len(door.lively.followers) == 1, "it is followed")
        for n in range(20):
            door.lively.add({"event": "live.state", "n": n})
        await until(lambda: feed._queue.full(), "as many wait as may")
        assert len(feed.waiting()) <= 6  # one more may have come while these were taken
        await until(lambda: feed.waiting(), "it goes on")
