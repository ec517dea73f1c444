"""The keeper's stderr, and what others say on theirs.

A reader that has stopped to read must not stop the keeper: what does not fit is lost.
"""

import os
import select
from contextlib import suppress

_PIPE_BUF = 4096
"""Bytes that a pipe which has room takes in one piece (pipe(7))."""


_LAST_WORDS = 8192
"""Bytes of what a process has said that are kept for whoever asks why it failed: they fit into a message."""
_LAST_LINES = 20


def end_of(said: bytes) -> bytes:
    """As much of what a process has said as is kept."""
    return said[-_LAST_WORDS:]


def last_lines(said: bytes) -> list[str]:
    """Its last words, as text."""
    return end_of(said).decode(errors="replace").splitlines()[-_LAST_LINES:]


def say(text: str) -> None:
    """Say one line."""
    write(f"frontdoor: {text}\n".encode(errors="replace")[:_PIPE_BUF])


def write(data: bytes) -> None:
    """Write as it is."""
    with suppress(OSError):  # nobody reads it any more; that is no reason to stop
        while data and select.select([], [2], [], 0)[1]:
            data = data[os.write(2, data[:_PIPE_BUF]) :]
