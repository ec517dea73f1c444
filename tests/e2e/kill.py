"""Killing a process that is not a child of the test."""

import os
import time

from e2e.harness import until


def is_dead(pid: int) -> bool:
    """Whether that process has ended, though perhaps its parent has not looked yet (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill(pid: int, number: int) -> float:
    """Send that signal, which ends the process; when it was dead, on the monotonic clock."""
    os.kill(pid, number)
    until(lambda: is_dead(pid), f"{pid} is dead")
    return time.monotonic()
