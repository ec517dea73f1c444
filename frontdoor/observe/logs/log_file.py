"""A file that lines of a log are appended to. It may be moved, removed, full, or not ours to write to.

Only one thread has to do with it, which nobody waits for. What cannot be written costs lines and nothing else: whoever
writes counts them, and this complains, not each time.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress

MODE = 0o640
"""Of a file that is made: who may read what is in it is the group's matter."""

_HOW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Without a wait: a pipe that nobody reads (fifo(7)) cannot be opened, and that is said. A terminal does not become
ours."""

TRY_AGAIN = 5.0
"""Seconds between two attempts to open a file that cannot be opened."""

SAY_AGAIN = 60.0
"""Seconds between two complaints of the same."""

Complain = Callable[[str], None]


class LogFile:
    """The file of that name, whichever it is."""

    def __init__(self, path: str, complain: Complain) -> None:
        """``complain`` is told why nothing can be written, by the thread that writes."""
        self.path = path
        self.fd = -1
        self._complain = complain
        self._torn = False
        """It ends in the middle of a line: there was no room for the rest."""
        self._tried = -TRY_AGAIN
        """When it last could not be opened; monotonic clock."""
        self._said = ""
        self._said_at = 0.0

    def __repr__(self) -> str:
        return f"<LogFile {self.path}{', which is not open' if self.fd < 0 else ''}>"

    def mark(self, text: str, level: str) -> str:
        """The text as it is to be written."""
        return text

    def put(self, data: bytes) -> int:
        """Write whole lines; how many bytes were written. What is missing is lost, and was complained of."""
        if self.fd >= 0 and self._is_removed():
            self.close()
        if self.fd < 0 and time.monotonic() >= self._tried + TRY_AGAIN:
            self.open()
        if self.fd < 0:
            return 0
        view = memoryview(b"\n" + data if self._torn else data)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
                self._torn = bool(view)
        except OSError as error:
            self._fail(f"it cannot be written to: {error.strerror}")
        return max(0, len(data) - len(view))

    def open(self) -> None:
        """Open it, or make it."""
        try:
            self.fd = os.open(self.path, _HOW, MODE)
        except OSError as error:
            self._tried = time.monotonic()
            self._fail(f"it cannot be opened: {error.strerror}")
            return
        os.set_blocking(self.fd, True)
        self._torn = self._torn and os.fstat(self.fd).st_size > 0  # it may be the same file once more

    def reopen(self) -> None:
        """It has another name by now (logrotate(8)): go on with a new one. Whoever has mended it hears at once."""
        self.close()
        self._said = ""
        self.open()

    def close(self) -> None:
        """Close it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            # NFS, or a quota, may complain only now (close(2)), of what was written long ago.
            with suppress(OSError):
                os.close(fd)

    def _is_removed(self) -> bool:
        """Whether it has no name any more: what is written to it is gone without a word."""
        return os.fstat(self.fd).st_nlink == 0

    def _fail(self, why: str) -> None:
        now = time.monotonic()
        if why != self._said or now >= self._said_at + SAY_AGAIN:
            self._said, self._said_at = why, now
            self._complain(why)
