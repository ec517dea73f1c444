"""The log: events and messages as lines on stderr or in a file, in the console's format or as JSON.

Whoever logs never waits for whoever reads: lines go through a bounded queue to a thread of its own, and what
does not fit is counted, and said as soon as there is room (``log.dropped``). A stderr that is blocked, closed
or broken, or a full disk, costs lines and nothing else.

Standard library only: it is loaded before a byte moves after a crash, and it has to say which library is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frontdoor.observe.logs.formats import LEVELS, Render, choose, dropped, level_of, now
from frontdoor.observe.logs.log_file import LogFile
from frontdoor.observe.logs.stderr import Stderr
from frontdoor.observe.logs.writer import QUEUE_LINES, End, Writer

_FIRST = ("event", "time", "level")
"""What each line begins with. No field takes their place."""

_TOO_SLOW = "log lines were lost: whoever reads this log is too slow"
_NO_ROOM = "log lines were lost: this file could not be written to, or not as fast"


class Log:
    """Writes lines to the descriptor `fd`, or appends them to the file `path`.

    `format` is the config's ``log_format``: ``console``, ``json``, or ``auto``, which is the console's on a
    terminal. `level` is the lowest that is written: ``debug``, ``info``, ``warning`` or ``error``.
    """

    def __init__(
        self,
        *,
        format: str = "auto",  # noqa: A002 - the word of the config's key
        level: str = "info",
        path: str = "",
        fd: int = 2,
        queue: int = QUEUE_LINES,
    ) -> None:
        self.stderr = Stderr(fd)
        self._format = format
        self._queue = queue
        self._lowest = LEVELS[level]
        self._left: list[Writer] = []
        """Those to where it went before: what was said then may still be on its way there."""
        self._render: Render
        self._writer: Writer
        self._open(path)

    def __repr__(self) -> str:
        return f"<Log: {self._writer!r}>"

    @property
    def path(self) -> str:
        """The file that it goes to; empty: stderr."""
        return self._writer.end.path

    @property
    def descriptors(self) -> set[int]:
        """Those that it writes to."""
        return {end.fd for end in (self._writer.end, self.stderr) if isinstance(end, Stderr | LogFile) and end.fd >= 0}

    def set_level(self, level: str) -> None:
        """Write what has this level or a higher one from here on."""
        self._lowest = LEVELS[level]

    def direct(self, path: str) -> None:
        """Go on in that file, "" for stderr. What was said before goes where it was to go."""
        if path != self.path:
            self._left.append(self._writer)
            self._open(path)
            self._left[-1].leave()

    def reopen(self) -> bool:
        """The file has another name by now (logrotate(8)): what comes from here on is in a new one; if there is one."""
        if self.path:
            self._writer.reopen()
        return bool(self.path)

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
        self._say(level_of(event), str(event["event"]), {k: v for k, v in event.items() if k != "event"})

    @property
    def dropped(self) -> int:
        """How many lines were lost in all because the reader was too slow, or gone, or there was no room for them."""
        return self._writer.dropped + sum(writer.dropped for writer in self._left)

    def close(self, timeout: float = 1.0) -> bool:
        """Write what is queued, for at most `timeout` seconds; returns whether all of it was."""
        return self._writer.close(timeout)

    def _open(self, path: str) -> None:
        end: End = LogFile(path, self._complain) if path else self.stderr
        render = choose(self._format, None if path else self.stderr.fd)
        why = _NO_ROOM if path else _TOO_SLOW
        writer = Writer(end, lambda count: end.mark(render(dropped(count, why)), "warning"), self._queue)
        self._render, self._writer = render, writer
        if path:
            writer.start()  # it is there from the beginning, and what is wrong with it is said at once

    def _say(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        if LEVELS[level] < self._lowest:
            return
        writer = self._writer
        try:
            # An event of the bus has its time already: the log says when it happened, not when it was written.
            when = fields.get("time") or now()
            rest = {key: value for key, value in fields.items() if key not in _FIRST}
            writer.write(writer.end.mark(self._render({"event": event, "time": when, "level": level, **rest}), level))
        except Exception:
            # A field that cannot be rendered must not end the swap that it is about.
            writer.lose()

    def _complain(self, why: str) -> None:
        """Say that the file is none to write to, where it can still be said: by the thread that writes to the file."""
        render = choose(self._format, self.stderr.fd)
        fields = {"file": self.path, "reason": f"{why}; log lines are lost until it can, and counted"}
        self.stderr.mention(render({"event": "log.failed", "time": now(), "level": "error", **fields}), "error")
