"""The keeper's stderr, and what others say on theirs.

A reader that has stopped to read must not stop the keeper: what does not fit is lost.
"""

import os
import select
from contextlib import suppress

from frontdoor.keeper import journal

_PIPE_BUF = 4096
"""Bytes that a pipe which has room takes in one piece (pipe(7))."""


_PATIENCE = 1.0
"""Seconds that last words wait for a reader."""

_LAST_WORDS = 8192
"""Bytes of what a process has said that are kept for whoever asks why it failed: they fit into a message."""
_LAST_LINES = 20


def end_of(said: bytes) -> bytes:
    """As much of what a process has said as is kept."""
    return said[-_LAST_WORDS:]


def last_lines(said: bytes) -> list[str]:
    """Its last words, as text."""
    return end_of(said).decode(errors="replace").splitlines()[-_LAST_LINES:]


def say(text: str, priority: int = journal.WARNING) -> None:
    """Say one line."""
    write(_encoded(f"frontdoor: {text}", priority)[: _PIPE_BUF - 1] + b"\n")


def tell(text: str, priority: int = journal.ERROR) -> None:
    """Say several lines, as they are: the last words of a process that has nothing else to do, so it waits a little."""
    write(_encoded(text, priority) + b"\n", _PATIENCE)


def _encoded(text: str, priority: int) -> bytes:
    return (journal.mark(text, priority) if journal.reads(2) else text).encode(errors="replace")


def write(data: bytes, patience: float = 0.0) -> None:
    """Write as it is; ``patience``: seconds that it waits for room, for each piece."""
    with suppress(OSError):  # nobody reads it any more; that is no reason to stop
        while data and select.select([], [2], [], patience)[1]:
            data = data[os.write(2, data[:_PIPE_BUF]) :]
