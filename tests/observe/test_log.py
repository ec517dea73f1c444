from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from frontdoor.control.events import Bus
from frontdoor.observe.log import Log


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
        "swap.switched main v1#1 → v2#2 (132 streams)",
        "error: swap.failed main: exit code 1",
        "    \\x1b]0;evil\\x07",
        "    ok",
        "warning: vault.full kept=3",
    ]


def test_auto_is_console_on_a_terminal_and_json_elsewhere(pipe: tuple[int, int]) -> None:
    ours, theirs = pty.openpty()
    for fd in (theirs, pipe[1]):
        log = Log(fd=fd)
        log.info("hello", a=1)
        log.close()
    assert os.read(ours, 1000).decode().endswith(" hello a=1\r\n")
    assert lines(pipe[0])[0]["event"] == "hello"
    os.close(ours)
    os.close(theirs)


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
        "from frontdoor.observe.log import Log\n"
        "log = Log(format='json')\n"
        "for n in range(2000): log.info('line', filler='x' * 100)\n"
        "print(log.close(0.1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=pipe[1], stdout=subprocess.PIPE, timeout=20, check=True
    )
    assert done.stdout == b"False\n"
