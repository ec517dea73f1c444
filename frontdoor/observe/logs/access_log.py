"""Where the lines of an access log go: a file, or stderr, by a thread that nobody waits for.

There is a line for each request, so this is not the way of the other log, which wakes its thread with each line: the
thread writes what has come together in a twentieth of a second, in one piece. What does not fit is counted, and said as
soon as there is room (``log.dropped``). A disk that is full or slow, or a file that cannot be opened, costs lines and
nothing else. What has not been written yet when the process is killed is lost.
"""

import json
import threading
from collections import deque

from frontdoor.observe.logs.formats import dropped
from frontdoor.observe.logs.log_file import Complain, LogFile
from frontdoor.observe.logs.stderr import Stderr
from frontdoor.observe.logs.writer import End

STDERR = "-"
"""As a path: stderr, wherever the other log goes."""

GATHER = 0.05
"""Seconds between two writes."""

QUEUE = 4 << 20
"""Bytes that wait at the most: some fifteen thousand lines."""

PIECE = 64 << 10
"""Bytes of one write, about: on stderr the other log's lines come in between."""

_WHY = "lines of the access log were lost: what it is written to is too slow, or cannot be written to"


class AccessLog:
    """Lines on their way to one file."""

    def __init__(self, path: str, stderr: Stderr, complain: Complain) -> None:
        """``path``: "-" is ``stderr``. ``complain`` is told why nothing can be written, by the thread."""
        self.path = path
        self._end: End = stderr if path == STDERR else LogFile(path, complain)
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
        self._end.open()
        last = False
        while not last:
            self._wake.wait()
            self._wake.clear()  # first: what comes from here on wakes it once more
            last = self._closing.is_set()
            self._write_all()
            if self._reopen:
                self._reopen = False
                self._end.reopen()
            if not last:
                self._closing.wait(GATHER)
        self._end.close()

    def _write_all(self) -> None:
        """Write what there is by now, in pieces."""
        count = len(self._lines)
        while count:
            piece, size = [], 0
            while count and size < PIECE:
                piece.append(self._lines.popleft())
                size += len(piece[-1])
                count -= 1
            self._write(b"".join(piece))
            self._taken += size
        missing = self.dropped - self._said
        if missing and self._report(missing):
            self._said += missing

    def _write(self, data: bytes) -> None:
        """Write whole lines; of each that is lost the end is missing."""
        written = self._end.put(data)
        if written < len(data):
            self._unwritten += data.count(b"\n", written)

    def _report(self, missing: int) -> bool:
        data = self._end.mark(json.dumps(dropped(missing, _WHY)), "warning").encode() + b"\n"
        return self._end.put(data) == len(data)
