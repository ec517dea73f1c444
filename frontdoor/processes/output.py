"""What a backend prints: always read, since a full pipe hangs whoever writes into it, and kept in a bounded ring."""

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import trio

LINE = 8 * 1024
"""Bytes of a line that are kept in one piece; a longer one is cut into several."""

LINES = 1000
"""Lines kept of a generation."""

CHUNK = 16 * 1024
"""Bytes read at a time."""

LINES_AT_A_TIME = 16
"""Lines passed on before others get their turn: a line that goes to the log costs up to 0.1 ms."""

PIPE = 64 * 1024
"""Bytes that a pipe holds where nobody has changed it (pipe(7))."""


class Line(NamedTuple):
    """One line of output."""

    time: float
    """When it was read: seconds since the epoch."""
    pid: int
    text: str


class Ring:
    """The last lines of a generation."""

    def __init__(self, told: Callable[[Line], None] = lambda line: None) -> None:
        self._lines: deque[Line] = deque(maxlen=LINES)
        self._told = told
        """Called with each line as it comes."""

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> list[Line]:
        """All that is kept, the oldest first."""
        return list(self._lines)

    def add(self, pid: int, text: str) -> None:
        """Keep one line."""
        line = Line(time.time(), pid, text)
        self._lines.append(line)
        self._told(line)

    def last(self, count: int) -> list[str]:
        """The text of the last lines, the oldest first."""
        return [line.text for line in self.lines[max(0, len(self._lines) - count) :]]


class Reader:
    """Reads one process' output pipe, line by line, into the ring."""

    def __init__(self, fd: int, pid: int, ring: Ring) -> None:
        self._fd = fd
        self._pid = pid
        self._ring = ring
        self._lines: deque[bytes] = deque()
        """Read, and not passed on yet."""
        self._rest = b""
        """What has been read of a line that has no end yet."""
        self.ended = trio.Event()
        """The last writer has closed its end."""

    async def run(self) -> None:
        """Read until the last writer has closed its end."""
        while self._read():
            if self._lines:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._fd)
        self.ended.set()

    def close(self) -> None:
        """Take what is left, as far as there is room for it, and close."""
        with suppress(BlockingIOError):
            self._take(os.read(self._fd, PIPE))
        self._flush()
        os.close(self._fd)

    def _read(self) -> bool:
        """Pass on a little of what is there now: who prints without a pause must not hold up others. False: the end."""
        if not self._lines:
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return True
            if not data:
                self._flush()
                return False
            self._take(data)
        for _ in range(min(LINES_AT_A_TIME, len(self._lines))):
            self._say(self._lines.popleft())
        return True

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            while len(line) > LINE:
                self._lines.append(line[:LINE])
                line = line[LINE:]
            self._lines.append(line)
        while len(self._rest) > LINE:
            self._lines.append(self._rest[:LINE])
            self._rest = self._rest[LINE:]

    def _flush(self) -> None:
        if self._rest:  # the last line may have no end
            self._lines.append(self._rest)
        for line in list(self._lines)[-LINES:]:
            self._say(line)
        self._lines.clear()
        self._rest = b""

    def _say(self, line: bytes) -> None:
        self._ring.add(self._pid, line.decode(errors="replace").rstrip("\r"))
