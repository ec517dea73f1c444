"""What a run was measured on: without that, its figures say nothing."""

import os
import platform
import re
from collections.abc import Iterable

from benchmark.peers import Peer


def machine(peers: Iterable[Peer]) -> dict[str, str]:
    """What a reader wants to know of it → what it is. No name, no address."""
    known = {
        "CPU": f"{_cpu()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return known | {peer.name: version for peer in peers if (version := peer.version())}


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*: (.+)$", file.read(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()
