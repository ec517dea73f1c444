"""The queue of the log, and the thread that writes what is in it. Whoever puts a line there never waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

QUEUE_LINES = 10_000  # ten seconds of a thousand lines a second
QUEUE_BYTES = 4 * 1024 * 1024  # lines differ: the last output of a failed release is a long one


class End(Protocol):
    """Where lines go: ``stderr.Stderr``, ``log_file.LogFile``."""

    @property
    def path(self) -> str:
        """Of a file; empty: it is none."""

    def mark(self, text: str, level: str) -> str:
        """Return the text of an entry as it is to be written."""

    def put(self, data: bytes) -> int:
        """Write whole lines, however long that takes; returns how many bytes were written."""

    def open(self) -> None:
        """Open it."""

    def reopen(self) -> None:
        """Open it anew."""

    def close(self) -> None:
        """Close it."""


class Writer:
    """Writes lines to one end, from a daemon thread that starts with the first line."""

    def __init__(self, end: End, report: Callable[[int], str], lines: int = QUEUE_LINES) -> None:
        """``report`` makes the line that says how many are missing; ``lines``: so many may wait."""
        self.end = end
        self.dropped = 0
        """Lines that were lost."""
        self._report = report
        self._lines: deque[bytes | None] = deque()
        """None: here the end is opened anew."""
        self._limit = lines
        self._bytes = 0
        self._unreported = 0
        self._writing = False
        self._leaving = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Writer to {self.end!r}: {len(self._lines)} lines wait, {self.dropped} lost>"

    def start(self) -> None:
        """Open the end now: what is wrong with it is to be said before there is a line."""
        with self._changed:
            self._begin()

    def write(self, line: str) -> None:
        """Queue one line."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._leaving or len(self._lines) >= self._limit or self._bytes + len(data) > QUEUE_BYTES:
                self._count(1)
                return
            self._bytes += len(data)
            self._queue(data)

    def reopen(self) -> None:
        """Open the end anew, when all is written that is queued by now."""
        with self._changed:
            self._queue(None)

    def lose(self) -> None:
        """Count a line that could not be made."""
        with self._changed:
            self._count(1)

    def close(self, timeout: float) -> bool:
        """Wait until everything is written, for at most `timeout` seconds; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._lines or self._writing), timeout)

    def leave(self) -> None:
        """Nothing more comes: end when everything is written, however long that takes. Nobody waits for it."""
        with self._changed:
            self._leaving = True
            self._changed.notify_all()

    def _queue(self, data: bytes | None) -> None:
        self._lines.append(data)
        self._changed.notify_all()
        self._begin()

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="frontdoor-log", daemon=True)
            self._thread.start()

    def _count(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines

    def _run(self) -> None:
        self.end.open()
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines or self._leaving)
                self._writing = True
                batch = list(self._lines)
                self._lines.clear()
                self._bytes = 0
                # What did not fit came after this batch: so does its count.
                missing, self._unreported = self._unreported, 0
            whole = self._write(batch)
            if missing and not (whole and self._put(self._report(missing).encode() + b"\n")):
                with self._changed:
                    self._unreported += missing
            if not batch:
                self.end.close()  # it was told to leave
                return

    def _write(self, batch: list[bytes | None]) -> bool:
        """Write line by line, so that a reader who goes away costs a known number of lines; whether all of them are."""
        lost, broken = 0, False
        for data in batch:
            if data is None:
                self.end.reopen()
                broken = False
            elif broken or not self._put(data):
                broken = True  # nothing of it before the next batch: it would be in vain
                lost += 1
        with self._changed:
            self._count(lost)
        return not broken

    def _put(self, data: bytes) -> bool:
        return self.end.put(data) == len(data)
