"""What a process and all its descendants use: processor time, memory, descriptors.

Whoever has ended in the meantime counts as nothing: measure while a tree is in one piece.
"""

import os
import re
import time

CPUCLOCK_SCHED = 2  # the kind of clock that clock_getcpuclockid(3) makes of a pid


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                for child in file.read().split():
                    found += tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree until now, exact to the nanosecond, ended threads included."""
    spent = 0.0
    for one in tree(pid):
        try:
            # The files in /proc count in ticks of 10 ms, or leave out threads that have ended.
            spent += time.clock_gettime(~one << 3 | CPUCLOCK_SCHED)
        except OSError:
            pass  # it has ended
    return spent


def resident(pid: int) -> int:
    """Bytes of memory (VmRSS) of the tree; what processes share counts in each."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/status") as file:
                found = re.search(r"^VmRSS:\s+(\d+) kB$", file.read(), re.MULTILINE)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        total += int(found[1]) * 1024 if found else 0  # a zombie has none
    return total


def descriptors(pid: int) -> int:
    """Open descriptors of the tree."""
    total = 0
    for one in tree(pid):
        try:
            total += len(os.listdir(f"/proc/{one}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended
    return total
