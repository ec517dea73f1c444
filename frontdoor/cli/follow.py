"""A stream that is followed for as long as ``serve`` lives, over as many connections as it takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from frontdoor.cli.output import progress
from frontdoor.control.dial import Broken, NotRunning

if TYPE_CHECKING:
    from frontdoor.control.client import Client, Lines

HISTORY = 1000  # as many as are kept of the events, and of a generation's output
PAUSE = 0.1  # seconds between two attempts


def read(
    client: Client, call: str, asked: Mapping[str, str], history: int, *, follow: bool
) -> Iterator[dict[str, Any]]:
    """Give the last `history` lines that `call` answers when this is `asked`, and with `follow` all that come.

    A door process that dies is started again, and asked again; what was given is not given again. The keeper holds
    the control socket meanwhile: the iteration ends when there is none any more. Raises :exc:`ControlError`.
    """
    seen = Seen()
    lines = _stream(client, call, asked, history, follow)
    while True:
        with lines:
            yield from filter(seen.new, lines)
        if not follow:
            return
        seen.again()
        try:
            lines = _again(client, call, asked, HISTORY if seen.last else history)
        except NotRunning:
            progress("frontdoor has stopped")
            return


def _again(client: Client, call: str, asked: Mapping[str, str], history: int) -> Lines:
    said = False
    while True:
        time.sleep(PAUSE)
        try:
            # Mostly this simply waits in the backlog until a door process is back: nothing was missed.
            return _stream(client, call, asked, history, follow=True)
        except Broken:
            if not said:
                progress("the connection to frontdoor broke: asking it again")
            said = True


def _stream(client: Client, call: str, asked: Mapping[str, str], history: int, follow: bool) -> Lines:
    from urllib.parse import urlencode  # here: nobody needs it to learn that nothing is running

    return client.stream("GET", f"{call}?" + urlencode({**asked, "history": history, "follow": int(follow)}))


class Seen:
    """Which lines have been seen: those of a new connection begin in the past."""

    def __init__(self) -> None:
        self.last = ""
        """The time of the last line."""
        self._then: Counter[str] = Counter()
        """The lines of that time: a backend may well print the same twice in a millisecond."""
        self._old: Counter[str] = Counter()
        """Of these, those that the new connection has not repeated yet."""
        self._doubtful = 0
        """How many lines of the new connection may still be of the past."""

    def again(self) -> None:
        """Say that what comes now is from a new connection."""
        self._old = Counter(self._then)
        self._doubtful = HISTORY

    def new(self, line: dict[str, Any]) -> bool:
        """Whether `line` is new; it is seen now."""
        if line.get("event") == "events.dropped":
            return True  # of this connection, and of no time
        when = str(line.get("time"))  # all are in UTC and of one length: their order is that of the text
        text = repr(line)
        if self._doubtful and when <= self.last:
            self._doubtful -= 1
            if when < self.last or self._old[text]:
                self._old[text] -= 1
                return False
        else:
            # What is later than all that was seen, everything after it is too; and so is what comes after so many
            # lines that it cannot be of the past, even if somebody has set the clock back.
            self._doubtful = 0
        if when != self.last:
            self.last = when
            self._then.clear()
        self._then[text] += 1
        return True
