"""The log: events and messages as lines on stderr, in the console's format or as JSON.

Whoever logs never waits for whoever reads: lines go through a bounded queue to a thread of its own, and what
does not fit is counted, and said as soon as there is room (``log.dropped``). A stderr that is blocked, closed
or broken costs lines and nothing else.

Standard library only: it is loaded before a byte moves after a crash, and it has to say which library is not there.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from frontdoor.control.wording import clock, describe

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUEUE_LINES = 10_000  # ten seconds of a thousand lines a second
QUEUE_BYTES = 4 * 1024 * 1024  # lines differ: the last output of a failed release is a long one

_FIRST = ("event", "time", "level")
"""What each line begins with. No field takes their place."""

# Events that ask for attention; all others are "info".
_EVENT_LEVELS = {
    "config.refused": "error",
    "swap.failed": "error",
    "upgrade.failed": "error",
    "backend.exited": "warning",
    "backend.restarting": "warning",
    "swap.vetoed": "warning",
    "swap.aborted": "warning",
    "swap.rolled_back": "warning",
    "hook.failed": "warning",
    "limit.reached": "warning",
    "vault.full": "warning",
}


Render = Callable[[Mapping[str, Any]], str]
"""An entry as one line; a message's excerpt may make it several."""


def render_console(entry: Mapping[str, Any]) -> str:
    """For people: ``12:03:11 swap.switched main v1#1 → v2#2 (132 streams)``."""
    words = [clock(str(entry["time"]))]
    if entry["level"] in ("warning", "error"):
        words.append(f"{entry['level']}:")
    words += [str(entry["event"]), describe(entry)]
    return " ".join(word for word in words if word)


def render_json(entry: Mapping[str, Any]) -> str:
    """For machines."""
    return json.dumps(entry, default=str, ensure_ascii=False)


def now() -> str:
    """The time, as all logs have it."""
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03}Z"


class Log:
    """Writes lines to the descriptor `fd`, from a daemon thread that starts with the first line.

    `format` is the config's ``log_format``: ``console``, ``json``, or ``auto``, which is the console's on a
    terminal. `level` is the lowest that is written: ``debug``, ``info``, ``warning`` or ``error``.
    """

    def __init__(
        self,
        *,
        format: str = "auto",  # noqa: A002 - the word of the config's key
        level: str = "info",
        fd: int = 2,
        queue: int = QUEUE_LINES,
    ) -> None:
        if format == "auto":
            format = "console" if _is_terminal(fd) else "json"  # noqa: A001 - as above
        self._render: Render = render_json if format == "json" else render_console
        self._writer = Writer(fd, self._render, queue)
        self._lowest = LEVELS[level]

    @property
    def fd(self) -> int:
        """The descriptor that it writes to."""
        return self._writer.fd

    @property
    def turn(self) -> threading.Lock:
        """Held while something is written there: so that no line begins in the middle of another one."""
        return self._writer.turn

    def set_level(self, level: str) -> None:
        """Write what has this level or a higher one from here on."""
        self._lowest = LEVELS[level]

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log what only a developer of frontdoor wants to read."""
        self._say("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log what happens as it should."""
        self._say("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._say("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log what failed."""
        self._say("error", event, fields)

    def publish(self, event: Mapping[str, Any]) -> None:
        """Log an event of the bus, at the level that its name has: ``bus.subscribe(log.publish)``."""
        name = str(event["event"])
        level = "info" if event.get("asked_for") else _EVENT_LEVELS.get(name, "info")
        self._say(level, name, {k: v for k, v in event.items() if k != "event"})

    @property
    def dropped(self) -> int:
        """How many lines were lost in all because the reader was too slow, or gone."""
        return self._writer.dropped

    def close(self, timeout: float = 1.0) -> bool:
        """Write what is queued, for at most `timeout` seconds; returns whether all of it was."""
        return self._writer.close(timeout)

    def _say(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        if LEVELS[level] < self._lowest:
            return
        try:
            # An event of the bus has its time already: the log says when it happened, not when it was written.
            when = fields.get("time") or now()
            rest = {key: value for key, value in fields.items() if key not in _FIRST}
            self._writer.write(self._render({"event": event, "time": when, "level": level, **rest}))
        except Exception:
            # A field that cannot be rendered must not end the swap that it is about.
            self._writer.lose()


class Writer:
    """The queue and the thread behind it."""

    def __init__(self, fd: int, render: Render, lines: int) -> None:
        self.dropped = 0
        self.fd = fd
        self.turn = threading.Lock()
        self._render = render
        self._lines: deque[bytes] = deque()
        self._limit = lines
        self._bytes = 0
        self._unreported = 0
        self._writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Queue one line."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if len(self._lines) >= self._limit or self._bytes + len(data) > QUEUE_BYTES:
                self._count(1)
                return
            self._lines.append(data)
            self._bytes += len(data)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="frontdoor-log", daemon=True)
                self._thread.start()

    def lose(self) -> None:
        """Count a line that could not be made."""
        with self._changed:
            self._count(1)

    def close(self, timeout: float) -> bool:
        """Wait until everything is written, for at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._lines or self._writing), timeout)

    def _count(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._writing = True
                batch = list(self._lines)
                self._lines.clear()
                self._bytes = 0
                # What did not fit came after this batch: so does its count.
                missing, self._unreported = self._unreported, 0
            if missing:
                batch.append(self._report(missing))
            self._write(batch, missing)

    def _report(self, missing: int) -> bytes:
        entry = {
            "event": "log.dropped",
            "time": now(),
            "level": "warning",
            "count": missing,
            "message": "log lines were lost: whoever reads this log is too slow",
        }
        return self._render(entry).encode() + b"\n"

    def _write(self, batch: list[bytes], reported: int) -> None:
        """Write line by line, so that a reader who goes away costs a known number of lines."""
        for place, data in enumerate(batch):
            with self.turn:
                written = write_all(self.fd, data)
            if not written:
                with self._changed:
                    # The last line may be the report of earlier losses: those are to be reported again.
                    lines = len(batch) - place - (1 if reported else 0)
                    self._unreported += reported
                    self._count(lines)
                return


def write_all(fd: int, data: bytes) -> bool:
    """Write `data`, waiting as long as it takes; returns False if `fd` is closed or broken.

    A stderr may be non-blocking: O_NONBLOCK belongs to the open file description, which a shell, or another
    program on the same terminal, shares with us.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            try:
                # poll, not select: descriptors here may be above 1023.
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll(1000)
            except OSError:
                return False
        except OSError:
            return False  # EPIPE, EIO, EBADF: nobody reads it any more
    return True


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
