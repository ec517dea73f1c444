from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdoor.control.events import Bus
from frontdoor.observe.logs import log_file
from frontdoor.observe.logs.log import Log


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # the test closed it


def lines(reader: int) -> list[Any]:
    return [json.loads(line) for line in os.read(reader, 1 << 20).decode().splitlines()]


def test_events_of_the_bus_are_json_lines_with_a_level(pipe: tuple[int, int]) -> None:
    log = Log(format="json", fd=pipe[1])
    bus = Bus()
    bus.subscribe(log.publish)
    said = bus.publish("swap.switched", door="main", version="v2", generation="v2#2", swap=1)
    bus.publish("swap.failed", door="main", output=["Trace", "böom"])
    log.info("keeper.connected", pid=4711, level="spoofed", seq=None)
    assert log.close()
    switched, failed, connected = lines(pipe[0])
    assert switched == {**said, "level": "info"}
    assert list(switched)[:3] == ["event", "time", "level"]
    assert (failed["level"], failed["output"]) == ("error", ["Trace", "böom"])
    assert (connected["event"], connected["level"], connected["pid"]) == ("keeper.connected", "info", 4711)
    assert connected["time"].endswith("Z")


def test_the_consoles_format(pipe: tuple[int, int]) -> None:
    log = Log(format="console", fd=pipe[1])
    bus = Bus()
    bus.subscribe(log.publish)
    bus.publish("swap.switched", door="main", **{"from": "v1#1", "to": "v2#2", "streams": 132})
    bus.publish("swap.failed", door="main", reason="exit code 1", output=["\x1b]0;evil\x07", "ok"])
    log.warning("vault.full", kept=3)
    log.close()
    text = os.read(pipe[0], 1 << 16).decode().splitlines()
    assert [line[9:] if line[2:3] == ":" else line for line in text] == [
        "swap.switched main v1#1 → v2#2 (132 streams left on v1#1)",
        "error: swap.failed main: exit code 1",
        "    \\x1b]0;evil\\x07",
        "    ok",
        "warning: vault.full kept=3",
    ]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """What a person sees, and where a program writes it."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_auto_is_console_on_a_terminal_and_json_elsewhere(
    pipe: tuple[int, int], terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for fd in (terminal[1], pipe[1]):
        log = Log(fd=fd)
        log.info("hello", a=1)
        log.close()
    assert os.read(terminal[0], 1000).decode()[9:] == "hello a=1\r\n"
    assert lines(pipe[0])[0]["event"] == "hello"


@pytest.mark.parametrize(
    ("environment", "format_", "coloured"),
    [
        ({"TERM": "xterm"}, "auto", True),
        ({"TERM": "xterm"}, "console", True),
        ({"TERM": "xterm", "NO_COLOR": ""}, "auto", True),  # no-color.org: when not an empty string
        ({"TERM": "xterm", "NO_COLOR": "1"}, "auto", False),
        ({"TERM": "dumb"}, "auto", False),
        ({}, "auto", False),
        ({"TERM": "xterm"}, "json", False),
    ],
)
def test_a_terminal_that_can_and_may_shows_what_matters_in_colour(
    environment: dict[str, str],
    format_: str,
    coloured: bool,
    terminal: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    log = Log(format=format_, fd=terminal[1])
    log.info("paused", door="main")
    log.warning("hook.failed")
    log.error("swap.failed")
    log.info("output", line="\x1b[31mred")
    assert log.close()
    text = ""
    while text.count("\n") < 4:  # a terminal hands on what was written when it comes to it
        text += os.read(terminal[0], 1 << 16).decode()
    shown = [line[9:] for line in text.splitlines()]
    assert ("\x1b" in text) == coloured
    if coloured:
        assert shown == [
            "\x1b[1mpaused\x1b[0m main",
            "\x1b[33mwarning: hook.failed\x1b[0m",
            "\x1b[1;31merror: swap.failed\x1b[0m",
            "\x1b[2moutput\x1b[0m \\x1b[31mred",
        ]


def test_what_somebody_wanted_is_no_warning(pipe: tuple[int, int]) -> None:
    log = Log(format="json", fd=pipe[1])
    for event in ("backend.exited", "swap.rolled_back", "swap.aborted", "paused"):
        log.publish({"event": event, "time": "", "asked_for": True})
    log.publish({"event": "swap.rolled_back", "time": ""})
    log.publish({"event": "swap.rolled_back", "time": "", "reason": "5 of its last 100 streams failed"})
    log.publish({"event": "backend.exited", "time": ""})
    assert log.close()
    assert [line["level"] for line in lines(pipe[0])] == ["info"] * 5 + ["warning"] * 2


def test_in_a_file_the_consoles_format_has_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    log = Log(format="console", path=str(tmp_path / "log"))
    log.info("paused", door="main")
    assert log.close()
    assert (tmp_path / "log").read_text()[9:] == "paused main\n"


def test_to_the_journal_each_line_says_how_much_it_matters(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.fstat(pipe[1])
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    for format_ in ("auto", "console"):
        log = Log(format=format_, level="debug", fd=pipe[1])
        log.publish({"event": "swap.failed", "time": "2026-11-22T09:00:00Z", "output": ["Traceback", "Error"]})
        log.warning("hook.failed")
        log.info("paused")
        log.debug("thought")
        assert log.close()
    shown = os.read(pipe[0], 1 << 16).decode().splitlines()
    assert [line[:3] for line in shown] == ["<3>", "<4>", "<6>", "<7>", "<3>", "<3>", "<3>", "<4>", "<6>", "<7>"]
    # In `auto` JSON: an entry is one line of the journal, whatever is in it.
    assert [json.loads(line[3:])["event"] for line in shown[:4]] == ["swap.failed", "hook.failed", "paused", "thought"]
    assert shown[5:7] == ["<3>    Traceback", "<3>    Error"]


def test_who_is_not_read_by_the_journal_puts_no_priorities(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.fstat(pipe[0])
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino + 1}")  # of systemd's; ours is another pipe
    log = Log(fd=pipe[1])
    log.error("swap.failed")
    log.close()
    assert lines(pipe[0])[0]["event"] == "swap.failed"


def test_what_it_says_of_itself() -> None:
    assert repr(Log(fd=2)).startswith("<Log: <Writer to <Stderr 2")


# -- in a file ------------------------------------------------------------------------------------------------------


def entries(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_in_a_file_it_is_json_for_its_owner_and_group(tmp_path: Path, pipe: tuple[int, int]) -> None:
    path = tmp_path / "frontdoor.log"
    umask = os.umask(0)
    try:
        log = Log(path=str(path), fd=pipe[1])
        log.info("hello", a=1)
        assert log.close()
    finally:
        os.umask(umask)
    assert (entries(path)[0]["event"], entries(path)[0]["a"]) == ("hello", 1)
    assert path.stat().st_mode & 0o777 == 0o640
    assert (log.path, log.descriptors > {pipe[1]}) == (str(path), True)
    assert not select.select([pipe[0]], [], [], 0)[0], "nothing is on stderr"


def test_a_rotation_has_its_place_among_the_lines(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = Log(path=str(path))
    for n in range(1000):
        log.info("line", n=n)
        if n == 499:
            assert log.close()
            path.rename(old)
        if n == 749:
            assert log.reopen()
    assert log.close()
    assert [entry["n"] for entry in entries(old)] == [*range(750)]
    assert [entry["n"] for entry in entries(path)] == [*range(750, 1000)]
    assert log.dropped == 0


def test_on_stderr_there_is_nothing_to_reopen(pipe: tuple[int, int]) -> None:
    log = Log(fd=pipe[1])
    assert not log.reopen()


def test_a_file_that_cannot_be_opened_is_said_on_stderr_from_the_beginning(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    folder = tmp_path / "logs"
    log = Log(path=str(folder / "log"), fd=pipe[1])
    said = lines(pipe[0])
    assert (said[0]["event"], said[0]["level"], said[0]["file"]) == ("log.failed", "error", str(folder / "log"))
    assert said[0]["reason"].startswith("it cannot be opened: No such file or directory; ")
    for n in range(100):
        log.info("lost", n=n)
    assert log.close()
    assert log.dropped == 100
    folder.mkdir()
    log.reopen()
    log.info("found")
    assert log.close()
    found, dropped = entries(folder / "log")
    assert (found["event"], dropped["event"], dropped["count"]) == ("found", "log.dropped", 100)
    assert not select.select([pipe[0]], [], [], 0)[0], "it was said once"


def test_a_full_disk_and_a_stderr_that_nobody_reads_block_nobody(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "SAY_AGAIN", 0.0)
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    log = Log(path="/dev/full", fd=pipe[1])
    for n in range(1000):
        log.info("lost", n=n)
        assert log.close(), "the thread does not wait to complain"
    assert log.dropped == 1000
    assert {entry["reason"].partition(";")[0] for entry in lines(pipe[0])} == {
        f"it cannot be written to: {os.strerror(errno.ENOSPC)}"
    }


def test_it_can_be_sent_to_another_place_while_the_old_one_is_blocked(tmp_path: Path, pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    log = Log(format="json", fd=pipe[1], queue=100)
    for n in range(1000):
        log.info("line", n=n, filler="x" * 100)
    lost = log.dropped
    assert lost > 500
    assert not log.close(0.05)
    log.direct(str(tmp_path / "log"))
    log.info("elsewhere")
    assert log.close()
    assert entries(tmp_path / "log")[0]["event"] == "elsewhere"
    assert log.dropped == lost
    # Somebody reads the old one after all: it says all that it was told, and how much is missing.
    expected, buffer = 0, b""
    while expected < 1000:
        buffer += os.read(pipe[0], 1 << 16)
        *whole, buffer = buffer.split(b"\n")
        expected += sum(entry.get("count", 1) for entry in map(json.loads, whole))
    assert (expected, buffer, log.dropped) == (1000, b"", lost)
    log.direct("")
    log.info("back")
    assert log.close()
    assert lines(pipe[0])[0]["event"] == "back"


def test_what_is_below_the_level_is_not_written(pipe: tuple[int, int]) -> None:
    log = Log(format="json", level="warning", fd=pipe[1])
    for say in (log.debug, log.info, log.warning, log.error):
        say(say.__name__)
    log.close()
    assert [line["event"] for line in lines(pipe[0])] == ["warning", "error"]


def test_a_blocked_reader_blocks_nobody_and_is_told_what_it_missed(pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)  # a few lines fill it, however slow the writer's thread is
    log = Log(format="json", fd=pipe[1], queue=100)
    slowest = 0.0
    for n in range(5000):
        before = time.perf_counter()
        log.info("line", n=n, filler="x" * 100)
        slowest = max(slowest, time.perf_counter() - before)
    assert log.dropped > 3000
    assert slowest < 0.5
    assert not log.close(0.05)

    # Somebody reads again: what was queued, how many were lost, and then what comes.
    expected, buffer = 0, b""
    while expected < 5000:
        buffer += os.read(pipe[0], 1 << 16)
        *whole, buffer = buffer.split(b"\n")
        for line in map(json.loads, whole):
            if line["event"] == "log.dropped":
                expected += line["count"]
            else:
                # A gap is never unsaid: its report stands in its place.
                assert line["n"] == expected
                expected += 1
    assert expected == 5000
    log.info("after")
    assert log.close()


def test_a_reader_who_has_gone_kills_nobody(pipe: tuple[int, int]) -> None:
    log = Log(format="json", fd=pipe[1])
    os.close(pipe[0])
    for n in range(10):
        log.error("line", n=n)
    assert log.close()
    assert log.dropped == 10


def test_a_descriptor_that_is_closed_kills_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    log = Log(format="json", fd=writer)
    log.error("line")
    assert log.close()
    assert log.dropped == 1


def test_lost_lines_are_said_once_it_can_write_again(pipe: tuple[int, int]) -> None:
    spare = os.dup(pipe[0])
    closed, broken = os.pipe()
    os.close(closed)
    log = Log(format="json", fd=broken)
    log.info("lost")
    log.close()
    os.dup2(pipe[1], broken)
    log.info("found")
    log.close()
    found, dropped = lines(spare)
    assert (found["event"], dropped["event"], dropped["count"]) == ("found", "log.dropped", 1)
    os.close(spare)
    os.close(broken)


def test_a_non_blocking_descriptor_is_waited_for(pipe: tuple[int, int]) -> None:
    # O_NONBLOCK belongs to the open file description: another program may have set it on our stderr.
    os.set_blocking(pipe[1], False)
    log = Log(format="json", fd=pipe[1])
    for n in range(3000):
        log.info("line", n=n, filler="x" * 100)
    total = b""

    def read() -> None:
        nonlocal total
        while total.count(b"\n") < 3000:
            total += os.read(pipe[0], 1 << 16)

    reader = threading.Thread(target=read)
    reader.start()
    assert log.close(20)
    reader.join(20)
    assert [json.loads(line)["n"] for line in total.splitlines()] == list(range(3000))


def test_a_field_that_cannot_be_rendered_costs_its_line_only(pipe: tuple[int, int]) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    log = Log(format="json", fd=pipe[1])
    log.info("bad", value=Hostile())
    log.info("strange", value={1, 2}, text="\ud800", time=None)
    log.close()
    strange, dropped = lines(pipe[0])
    assert (strange["event"], strange["value"]) == ("strange", "{1, 2}")
    assert dropped["count"] == log.dropped == 1


def test_a_process_ends_although_its_log_is_blocked(pipe: tuple[int, int]) -> None:
    program = (
        "from frontdoor.observe.logs.log import Log\n"
        "log = Log(format='json')\n"
        "for n in range(2000): log.info('line', filler='x' * 100)\n"
        "print(log.close(0.1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=pipe[1], stdout=subprocess.PIPE, timeout=20, check=True
    )
    assert done.stdout == b"False\n"
