"""Looking at processes and descriptors from outside, and waiting for what one expects to see."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PATIENCE = 10.0
"""Seconds after which a test gives up. Far more than anything here takes: the machine may be busy."""


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} has not happened within {PATIENCE:g} s"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return stat(pid)[2] not in ("Z", "X")
    except OSError:
        return False


def stat(pid: int) -> list[str]:
    """The words of /proc/PID/stat: pid, name, state, parent, group, session, … (proc(5))."""
    with open(f"/proc/{pid}/stat") as file:
        head, _, tail = file.read().rpartition(")")
    number, _, name = head.partition(" (")
    return [number, name, *tail.split()]


def children(pid: int) -> list[int]:
    """Of the process, zombies too."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(stat(int(name))[3]) == pid:
                    found.append(int(name))
            except OSError:
                pass  # it ended while we looked
    return found


def descriptors(pid: int | None = None) -> list[str]:
    """What the process, or this one, has open."""
    folder = f"/proc/{pid or 'self'}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except OSError:
            pass  # the descriptor that the listing itself went through
    return sorted(found)


def has_zombies(pid: int) -> bool:
    """Whether a child of the process has ended, and nobody has noticed."""
    for child in children(pid):
        try:
            if stat(child)[2] == "Z":
                return True
        except OSError:
            pass  # it was reaped while we looked
    return False
