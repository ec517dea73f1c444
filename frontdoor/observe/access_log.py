"""Where the lines of an access log go: a file, or stderr, by a thread that nobody waits for.

There is a line for each request, so this is not the way of the other log, which wakes its thread with each line: the
thread writes what has come together in a twentieth of a second, in one piece. What does not fit is counted, and said as
soon as there is room (``log.dropped``). A disk that is full or slow, or a file that cannot be opened, costs lines and
nothing else. What has not been written yet when the process is killed is lost.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable

from frontdoor.observe.log import Log, now, write_all

STDERR = "-"
"""As a path: where the other log goes."""

GATHER = 0.05
"""Seconds between two writes."""

QUEUE = 4 << 20
"""Bytes that wait at the most: some fifteen thousand lines."""

PIECE = 64 << 10
"""Bytes of one write, about: on stderr the other log's lines come in between."""

TRY_AGAIN = 5.0
"""Seconds between two attempts at a file that cannot be opened, and between two complaints of it."""

MODE = 0o640
"""Of a file that is made: who may read what visitors have asked for is the group's matter."""

Complain = Callable[[str], None]


class AccessLog:
    """Lines on their way to one file."""

    def __init__(self, path: str, log: Log, complain: Complain) -> None:
        """``path``: "-" is where ``log`` goes. ``complain`` is told why nothing can be written, by the thread."""
        self.path = path
        self._log = log
        self._complain = complain
        self._fd = -1
        self._lines: deque[bytes] = deque()
        # Each of these numbers has one side that writes it: so there is no lock.
        self._queued = 0
        self._taken = 0
        """Bytes, of all lines so far."""
        self._unfit = 0
        self._unwritten = 0
        """Lines that were lost: for want of room, and because they could not be written."""
        self._said = 0
        """So many of them have been said."""
        self._failed = -TRY_AGAIN
        """When it last could not be opened or written to, of the monotonic clock."""
        self._wake = threading.Event()
        self._reopen = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frontdoor-access-log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<AccessLog to {self.path}, {len(self._lines)} lines to write>"

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._unfit + self._unwritten

    # -- the relay's side -------------------------------------------------------------------------------------------

    def write(self, line: bytes) -> None:
        """One line, with its end. It is written soon, or counted as lost."""
        if self._queued - self._taken > QUEUE:
            self._unfit += 1
            return
        self._queued += len(line)
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def reopen(self) -> None:
        """The file has another name by now (logrotate(8)): go on with a new one. What came before is in the old one."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout: float) -> bool:
        """Write what there is and end, within so many seconds; whether all of it was written. Nothing more comes."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._lines

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._open()
        last = False
        while not last:
            self._wake.wait()
            self._wake.clear()  # first: what comes from here on wakes it once more
            last = self._closing.is_set()
            self._write_all()
            if self._reopen:
                self._reopen = False
                self._close()
                self._failed = -TRY_AGAIN
                self._open()
            if not last:
                self._closing.wait(GATHER)
        self._close()

    def _write_all(self) -> None:
        """Write what there is by now, in pieces."""
        count = len(self._lines)
        while count:
            piece, size = [], 0
            while count and size < PIECE:
                piece.append(self._lines.popleft())
                size += len(piece[-1])
                count -= 1
            self._write(b"".join(piece), len(piece))
            self._taken += size
        missing = self.dropped - self._said
        if missing and self._write(_report(missing), 0):
            self._said += missing

    def _write(self, data: bytes, lines: int) -> bool:
        if self._fd < 0 and self._again():
            self._open()
        if self._fd >= 0:
            why = self._put(data)
            if not why:
                return True
            self._fail(f"it cannot be written to: {why}")
        self._unwritten += lines
        return False

    def _put(self, data: bytes) -> str:
        """Why it was not written, or not all of it; empty: it was."""
        if self.path == STDERR:
            with self._log.turn:
                return "" if write_all(self._fd, data) else "nobody reads it"
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _open(self) -> None:
        if self.path == STDERR:
            self._fd = self._log.fd
            return
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            self._fail(f"it cannot be opened: {error.strerror}")

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0 and self.path != STDERR:
            os.close(fd)

    def _again(self) -> bool:
        return time.monotonic() >= self._failed + TRY_AGAIN

    def _fail(self, why: str) -> None:
        """Say so, not with each line."""
        if self._again():
            self._failed = time.monotonic()
            self._complain(why)


def _report(missing: int) -> bytes:
    message = "lines of the access log were lost: what it is written to is too slow, or cannot be written to"
    entry = {"event": "log.dropped", "time": now(), "level": "warning", "count": missing, "message": message}
    return json.dumps(entry).encode() + b"\n"
