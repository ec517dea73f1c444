"""Processes that live apart from whoever starts them, for what plays systemctl or docker; a file says which there are.

The file has the pid and the start time of the process, for a pid alone may be somebody else's by now.
"""

import os
import select
import signal
import subprocess
from typing import Any

FOLDER = f"{os.environ['PLAYGROUND']}/started"


def start(name: str, command: list[str], **options: Any) -> None:
    """Start it, and note that it is there. ``options``: of subprocess.Popen."""
    nothing = subprocess.DEVNULL
    process: subprocess.Popen[bytes] = subprocess.Popen(
        command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, **options
    )
    os.makedirs(FOLDER, exist_ok=True)
    with open(f"{FOLDER}/{name}", "w") as file:
        file.write(f"{process.pid} {_began(process.pid)}")


def is_there(name: str) -> bool:
    """Whether it was started, and nobody has removed it since; it may have ended by itself."""
    return os.path.exists(f"{FOLDER}/{name}")


def names() -> list[str]:
    """All that are there."""
    return sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []


def stop(name: str, at_most: float = 30) -> None:
    """SIGTERM, if it has not ended by itself; returns at its end. Raises SystemExit if that does not come."""
    with open(f"{FOLDER}/{name}") as file:
        pid, began = map(int, file.read().split())
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    if _began(pid) == began:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], at_most)[0]:
            raise SystemExit(f"{name} does not stop")


def remove(name: str) -> None:
    """It is not there any more."""
    os.unlink(f"{FOLDER}/{name}")


def _began(pid: int) -> int:
    """Its start time, in clock ticks since the boot (proc(5)); -1 if it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return -1
