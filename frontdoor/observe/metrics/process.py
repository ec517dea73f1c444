"""What this process takes of the machine: CPU time, memory, descriptors. As proc(5) has it."""

import os
import resource
import time
from dataclasses import dataclass
from functools import cache

import trio

_DESCRIPTORS = "/proc/self/fd"


@dataclass(frozen=True, slots=True)
class Usage:
    """So much."""

    cpu_seconds: float
    resident_bytes: int
    open_descriptors: int
    most_descriptors: int
    """The limit of those (RLIMIT_NOFILE)."""
    started: float
    """When the process was started: seconds since the epoch."""


async def usage() -> Usage:
    """How much it is now."""
    times = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(
        cpu_seconds=times.ru_utime + times.ru_stime,
        resident_bytes=_resident(),
        open_descriptors=await descriptors(),
        most_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        started=_started(),
    )


async def descriptors() -> int:
    """How many are open. Since Linux 6.2 the kernel says so; before they are counted, in a thread: that takes long."""
    said = os.stat(_DESCRIPTORS).st_size
    return said or len(await trio.to_thread.run_sync(os.listdir, _DESCRIPTORS)) - 1


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@cache
def _started() -> float:
    with open("/proc/self/stat", "rb") as file:
        # The second field, the name, may have spaces and brackets in it. The 22nd is what is wanted: ticks since boot.
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK"), 2)
