"""What one run of a hook prints: all of it is read, since a full pipe hangs whoever writes; a little of it is kept.

A hook may print a gigabyte. It is read as fast as it comes, so that this does not use up the hook's time, but only its
first lines are passed on, and only its last ones are remembered.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from frontdoor.control.wording import count

LINES = 100
"""Lines passed on to the log."""

LINE = 2 * 1024
"""Bytes of a line that are passed on in one piece; a longer one is cut into several."""

TAIL = 8 * 1024
"""Bytes at the end that are remembered: the last thing that a hook says is mostly why it failed."""

CHUNK = 64 * 1024
"""Bytes read at a time: as many as a pipe holds. Who has waited for the relay in the meantime gets its turn then."""

LINES_AT_A_TIME = 16
"""Lines passed on before others get their turn: a line that goes to the log costs up to 0.1 ms."""

_LONGEST_PIPE = 1 << 20
"""Bytes that a hook may have made its pipe hold (pipe(7), F_SETPIPE_SZ)."""


class Excerpt:
    """Reads a hook's output pipe to its end. The descriptor, non-blocking, is closed by ``close``."""

    def __init__(self, fd: int, told: Callable[[str], object]) -> None:
        """``told``: called with each line that is passed on."""
        self._fd = fd
        self._told = told
        self._room = LINES
        self._waiting: deque[bytes] = deque()
        """Lines to be passed on: never more than there is room for."""
        self._rest = b""
        """What has been read of a line that has no end yet."""
        self._tail = b""
        self._read = 0
        self._thrown_away = 0
        """Bytes that were not passed on, and the ends of line among them."""
        self._lines_thrown_away = 0
        self.ended = trio.Event()
        """The last writer has closed its end."""

    async def run(self) -> None:
        """Read until the last writer has closed its end."""
        while not self.ended.is_set():
            if self._read_some():
                await trio.lowlevel.checkpoint()
                while self._waiting:
                    self._pass_on(LINES_AT_A_TIME)
                    await trio.lowlevel.checkpoint()
            elif not self.ended.is_set():
                await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        """Take what is in the pipe now, pass on what there is room for, and say how much was not passed on."""
        for _ in range(_LONGEST_PIPE // CHUNK):
            if not self._read_some():
                break
        os.close(self._fd)
        if self._rest:
            self._add(self._rest)  # the last line may have no end
        self._pass_on(LINES)
        if self._thrown_away:
            unfinished = not self._tail.endswith(b"\n")
            lines = count(self._lines_thrown_away + unfinished, "more line")
            self._told(
                f"… {lines} ({_size(self._thrown_away)}) not shown: of a hook's output the first {LINES} lines are"
            )

    def last(self, most: int) -> list[str]:
        """The last lines, the oldest first; as many as have been remembered, and no more than ``most``."""
        lines = self._tail.removesuffix(b"\n").split(b"\n") if self._tail else []
        if self._read > len(self._tail) and len(lines) > 1:
            del lines[0]  # its beginning is lost
        return [_text(line) for line in lines[-most:]]

    def _read_some(self) -> bool:
        """Read what is there. False: nothing, for now or for good."""
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._fd, CHUNK)
            if not data:
                self.ended.set()
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        self._read += len(data)
        self._tail = data[-TAIL:] if len(data) >= TAIL else (self._tail + data)[-TAIL:]
        beyond = self._split(self._rest + data) if self._room else data
        self._thrown_away += len(beyond)
        self._lines_thrown_away += beyond.count(b"\n")

    def _split(self, data: bytes) -> bytes:
        """Take lines as long as there is room; what is beyond."""
        self._rest = b""
        at = 0
        while self._room and at < len(data):
            end = data.find(b"\n", at, at + LINE + 1)
            if end < 0 and len(data) - at <= LINE:
                self._rest = data[at:]
                return b""
            self._add(data[at:end] if end >= 0 else data[at : at + LINE])
            at = end + 1 if end >= 0 else at + LINE
        return data[at:]

    def _add(self, line: bytes) -> None:
        self._room -= 1
        self._waiting.append(line)

    def _pass_on(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            self._told(_text(self._waiting.popleft()))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:  # else its three digits would be rounded to 1e+03
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
