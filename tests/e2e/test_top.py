"""``frontdoor top`` as somebody sees it who sits in front of it: a real terminal, in tmux."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from e2e.harness import greeter, until
from e2e.pane import PROMPT, Pane, cpu_ns, needs_tmux
from e2e.shared import Shared

pytestmark = needs_tmux

Anew = Callable[..., Shared]
VERSIONS: dict[str, dict[str, Any]] = {
    "v1": {},
    "v2": {},
    "v3": {"command": greeter("--wait-for", "go")},
    "v4": {"command": greeter("--say", "\x1b[2J日本語" * 20, "--exit", "1")},
}


@pytest.fixture
def pane() -> Iterator[Callable[..., Pane]]:
    with ExitStack() as stack:
        yield lambda *size, **env: stack.enter_context(closing(Pane(*size, **env)))


def socket(door: Shared) -> str:
    return door.path("run/control.sock")


def bar(pane: Pane, generation: str) -> tuple[str, int, int]:
    """State, open streams, and length of the bar of a generation, as far as it is shown."""
    for row in pane.rows:
        if found := re.match(rf"{re.escape(generation)} +(\w+) +([█▏▎▍▌▋▊▉]*) +(\d+)( |$)", row):
            return found[1], int(found[3]), len(found[2])
    return "", 0, 0


def test_a_swap_by_key_is_seen_as_it_goes(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    name = door.status()["name"]
    old = [door.connect() for _ in range(6)]
    assert {client.generation for client in old} == {"v1#1"}
    screen = pane()
    before = screen.modes
    screen.top(socket(door))
    until(lambda: bar(screen, "v1#1")[:2] == ("active", 6), "its streams")
    assert screen.is_taken

    screen.press("s")
    screen.shows(f"swap {name} to:  1 v1 (active)  2 v2  3 v3  4 v4")
    screen.press("2")
    screen.shows("the 6 open streams of v1#1")
    assert door.status()["active"] == "v1#1"
    screen.press("y")
    screen.shows(f"swap {name} to v2: done: v2#2 is active")
    until(lambda: bar(screen, "v1#1")[:2] == ("draining", 6), "the old one drains")
    whole = bar(screen, "v1#1")[2]
    assert "WHAT HOLDS v1#1" in screen.shows("v1#1 drains: 6 streams left")

    new = [door.connect() for _ in range(3)]
    assert {client.generation for client in new} == {"v2#2"}
    for client in old[:4]:
        client.close()
    until(lambda: bar(screen, "v1#1")[:2] == ("draining", 2), "the old one shrinks")
    until(lambda: bar(screen, "v2#2")[:2] == ("active", 3), "the new one grows")
    assert 0 < bar(screen, "v1#1")[2] < bar(screen, "v2#2")[2] < whole
    for client in old[4:]:
        address = "{}:{}".format(*client.sock.getsockname())
        assert address in screen.text

    screen.press("d")
    screen.shows("close the streams of v1#1: n now")
    screen.press("n")
    screen.shows("Close the 2 open streams of v1#1 now")
    screen.press("y")
    screen.shows("drain v1#1 now: done: v1#1: 2 streams are being closed now")
    for client in old[4:]:
        assert client.hear() == ""
        client.close()
    until(lambda: bar(screen, "v1#1")[1] == 0, "nothing is left of it")

    screen.press("q")
    assert screen.ended() == "0"
    screen.shows("v2#2 is active")  # the last state, on the first screen
    until(lambda: screen.is_clean, "the terminal is as it was")
    assert screen.modes == before


def test_what_is_refused_is_shown_and_what_is_under_way_goes_on(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    name = door.status()["name"]
    screen = pane()
    screen.top(socket(door))
    screen.press("r")
    screen.shows("there is nothing to go back to")
    screen.press("p", "n")
    screen.shows("nothing was changed")
    screen.press("p", "y")
    screen.shows(f"pause {name}: done")
    screen.shows("v1#1 is active, paused")
    screen.press("p", "y")
    screen.shows(f"resume {name}: done")

    screen.press("s", "3", "y")  # it waits for a file
    screen.shows(f"swap {name} to v3: under way")
    screen.shows("swap 1 under way: v1#1 → v3#2")
    screen.press("s", "2")
    screen.shows("this one will be refused")
    screen.press("y")
    screen.shows(f"swap {name} to v2: busy (exit code 5)")
    screen.press("r")
    screen.shows("End swap 1")
    screen.press("y")
    screen.shows(f"swap {name} to v3: failed (exit code 1): the swap to v3#2 was aborted")

    screen.press("s", "3", "y")
    screen.shows("swap 3 under way")
    screen.press("q")
    assert screen.ended() == "0"
    screen.shows(f"swap {name} to v3: it goes on without this screen")
    door.touch("go")
    until(lambda: door.status()["active"] == "v3#3", "it went on")


def test_a_door_process_that_dies_and_a_frontdoor_that_stops(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    client = door.connect()
    assert client.generation == "v1#1"
    screen = pane()
    before = screen.modes
    screen.top(socket(door))
    until(lambda: bar(screen, "v1#1")[1] == 1, "its stream")
    until(lambda: door.control.ask("/v1/status")["vault"]["streams"] == 1, "the stream would live through it")
    os.kill(door.control.ask("/v1/status")["door_pid"], signal.SIGKILL)
    screen.shows("door.restored")
    screen.shows_not("the connection to frontdoor broke")
    until(lambda: bar(screen, "v1#1")[:2] == ("active", 1), "it is shown again")
    second = door.connect()
    assert second.generation == "v1#1"
    until(lambda: bar(screen, "v1#1")[:2] == ("active", 2), "and goes on")

    door.hang_up()
    door.signal(signal.SIGTERM)
    assert screen.ended() == "3"
    screen.shows("that was the last: frontdoor has gone")
    until(lambda: screen.is_clean, "the terminal is as it was")
    assert screen.modes == before


def test_what_a_backend_says_cannot_leave_its_row(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    screen = pane()
    screen.top(socket(door))
    screen.press("s", "4", "y")
    shown = screen.shows("not ready (exit code 4)")
    assert "\n    \\x1b[2J日本語\\x1b[2J日本語" in shown
    assert shown.splitlines()[0].startswith("frontdoor ")
    assert shown.splitlines()[23].startswith("s swap  r rollback")


def test_sizes_and_what_is_typed(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    screen = pane(80, 24)
    screen.top(socket(door), "--door", door.status()["name"])
    screen.resize(40, 10)
    screen.shows("s r d p  ?  q quit")
    assert bar(screen, "v1#1")[0] == "active"
    screen.resize(20, 5)
    until(lambda: len(screen.rows) == 5 and screen.rows[4] == "s r d p  ?  q quit", "it is small")
    assert "v1#1" in screen.text
    for width, height in ((1, 1), (3, 2), (200, 60), (80, 24)):
        screen.resize(width, height)
    screen.shows("s swap  r rollback")
    assert screen.rows[23].startswith("s swap  r rollback")
    screen.press("?")
    screen.shows("Nothing is changed before you have said y.")
    screen.press("Escape")
    screen.shows_not("Nothing is changed before")
    screen.paste("python")  # p is pause, y is yes
    screen.press("s", "t")
    screen.paste("no version")
    screen.press("Enter")
    screen.shows("'no version' is not the name of a version")
    screen.press("Escape")
    screen.shows("nothing was changed")
    assert not door.status()["paused"]
    screen.press("C-c")
    assert screen.ended() == "130"


def test_leaving_for_a_while_and_by_a_signal(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    screen = pane()
    before = screen.modes
    screen.top(socket(door))
    pid = screen.pid
    screen.press("C-z")
    until(lambda: screen.is_clean, "the terminal is as it was")
    screen.shows(PROMPT)
    assert screen.modes == before
    screen.run("fg")
    until(lambda: screen.is_taken, "it is back")
    screen.shows("s swap  r rollback")

    os.kill(pid, signal.SIGTERM)
    until(lambda: screen.is_clean, "the terminal is as it was")
    assert screen.ended()
    screen.shows(PROMPT)
    assert screen.modes == before


def test_a_terminal_that_goes_away_or_stands_still(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    screen = pane()
    before = screen.modes
    screen.top(socket(door))
    pid = screen.pid
    screen.press("C-s")  # nothing more can be written
    with door.control.stream("GET", "/v1/live") as lines:  # it is told of another state, and another one
        assert [line["event"] for line, _ in zip(lines, range(3), strict=False)][1:] == ["live.state"] * 2
    os.kill(pid, signal.SIGTERM)
    until(lambda: not runs(pid), "it has ended all the same")
    screen.press("C-q")
    screen.shows(PROMPT)
    assert screen.modes == before

    screen.run("reset")  # what could not be written is missing: another screen, a cursor
    screen.top(socket(door))
    pid = screen.pid
    screen.close()
    until(lambda: not runs(pid), "it ends with its terminal")


def runs(pid: int) -> bool:
    """Whether there is that process, and not only what its parent has not been told of."""
    return os.path.exists(f"/proc/{pid}/exe")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours(anew: Anew, pane: Callable[..., Pane], no_color: str) -> None:
    door = anew(backends=VERSIONS)
    screen = pane(**({"NO_COLOR": no_color} if no_color else {}))
    screen.top(socket(door))
    until(lambda: bar(screen, "v1#1")[0] == "active", "the generation")
    codes = {code for sgr in re.findall(r"\x1b\[([0-9;]*)m", screen.styled) for code in sgr.split(";")}
    coloured = {code for code in codes if re.fullmatch(r"3[0-8]|4[0-8]|9[0-7]|10[0-7]", code)}
    assert "1" in codes  # bold is no colour
    assert bool(coloured) is not bool(no_color)


def test_it_costs_next_to_nothing(anew: Anew, pane: Callable[..., Pane]) -> None:
    door = anew(backends=VERSIONS)
    clients = [door.connect() for _ in range(20)]
    screen = pane()
    screen.top(socket(door))
    pid = screen.pid
    began, used = time.monotonic(), cpu_ns(pid)
    while time.monotonic() - began < 4:  # something changes on each look
        for client in clients:
            client.ask("hello")
        time.sleep(0.1)
    share = (cpu_ns(pid) - used) / 1e9 / (time.monotonic() - began)
    print(f"frontdoor top: {share:.2%} of a core")
    assert share < 0.02
