"""The journal: whether a stderr is one that it reads, and how it is told what matters (sd-daemon(3))."""

import os
from collections.abc import Mapping

ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7
"""Priorities, as syslog(3) has them: ``journalctl -p warning`` shows the first two."""


def reads(fd: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the journal reads what is written to `fd`: JOURNAL_STREAM has its device and inode (systemd.exec(5)).

    The variable alone says nothing: it is inherited, also by a process whose stderr is a file or a pipe.
    """
    try:
        there = os.fstat(fd)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def mark(text: str, priority: int) -> str:
    """Put the priority in front of each line: to the journal each is an entry of its own."""
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))
