import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from load.gauge import MB, Gauge, gauge, leaks, seconds

HOLDS = """
import os, select, socket, sys, threading, time
left, right = socket.socketpair()
pipe, poll, event = os.pipe(), select.epoll(), threading.Event()
threading.Thread(target=event.wait, daemon=True).start()
child = os.fork() or time.sleep(60)
print(child, flush=True)
sys.stdin.readline()
much = [os.pipe(), bytearray(b"x" * 20_000_000)]
print("more", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process
        os.kill(child, signal.SIGKILL)
        process.kill()


def test_what_a_process_holds_is_seen_and_what_it_holds_more_of(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    before = gauge(holder.pid)
    assert before.descriptors["socket"] == 2
    assert before.descriptors["pipe"] >= 4, "its own two, and those to the test"
    assert before.descriptors["eventpoll"] == 1
    assert (before.threads, before.children) == (2, 1)

    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "more\n"
    after = gauge(holder.pid)
    assert after.resident - before.resident > 19 * MB
    was = before.descriptors["pipe"]
    assert leaks("it", before, after) == [f"it: descriptors (pipe): {was} before, {was + 2} after"]
    assert leaks("it", after, before) == [], "fewer is no leak"


def test_the_cpu_that_a_process_has_used_is_seen(holder: subprocess.Popen[str]) -> None:
    mine, its = seconds(os.getpid()), seconds(holder.pid)
    while seconds(os.getpid()) < mine + 0.1:
        pass
    assert seconds(holder.pid) < its + 0.1, "it only waits"


def test_a_process_that_is_not_there(holder: subprocess.Popen[str]) -> None:
    with pytest.raises(FileNotFoundError):
        gauge(2**22 + 1)


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ({}, []),
        ({"threads": 4}, ["door: threads: 3 before, 4 after"]),
        ({"children": 1}, ["door: children: 0 before, 1 after"]),
        ({"descriptors": {"pipe": 1, "socket": 2}}, ["door: descriptors (socket): 1 before, 2 after"]),
        ({"descriptors": {"pipe": 5, "memfd": 1}}, ["door: descriptors (memfd): 0 before, 1 after"]),
    ],
)
def test_each_kind_is_counted_apart(after: dict[str, object], found: list[str]) -> None:
    before = Gauge({"pipe": 5, "socket": 1}, threads=3, children=0, resident=0)
    assert leaks("door", before, replace(before, **after)) == found  # type: ignore[arg-type]  # fields by name
