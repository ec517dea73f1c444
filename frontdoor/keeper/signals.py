"""The signals that come to the keeper: whom they are for, and what becomes of them while there is nobody to tell."""

import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
STOPS = (signal.SIGINT, signal.SIGTERM)

FORCED_AFTER = 15.0
"""Seconds from a second stop signal until everything is ended: a door process that still answers needs at most six,
five of them for the backends' own stop."""


def catch(before: Sequence[int] = (), blocked: Collection[int] = ()) -> tuple[int, int]:
    """Have them written to a pipe, from here on; its read end and its write end.

    ``before``, ``blocked``: after a renewal of the keeper, that pipe, and which signals were blocked before it.
    """
    woken, wake = before or os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    caught = (*PASSED_ON, signal.SIGCHLD)
    for number in caught:
        signal.signal(number, lambda *_: None)  # its number arrives through the pipe
    if before:
        with suppress(BlockingIOError):  # then there is something to read, all the same
            os.write(wake, bytes([signal.SIGCHLD]))  # in case one was lost
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)  # until here all were: there was nobody to catch them
    signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)  # whoever started serve may have blocked them
    return woken, wake


class Signals:
    """Those for the door process."""

    def __init__(self) -> None:
        self.untold: list[int] = []
        """They came while there was no door process to tell."""
        self.stops = 0
        """How often everything was told to stop."""
        self.force_at: float | None = None
        """When everything is ended, of the monotonic clock."""

    def __repr__(self) -> str:
        return f"<Signals: {self.untold} untold, {self.stops} stops>"

    def remember(self) -> dict[str, Any]:
        """All of it, as JSON, for a renewal of the keeper."""
        return {"untold": self.untold, "stops": self.stops, "force_at": self.force_at}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """As it was. Raises KeyError."""
        self.untold, self.stops, self.force_at = (remembered[name] for name in ("untold", "stops", "force_at"))

    def came(self, number: int, now: float) -> bool:
        """One more. False: it was the third stop, and everything is to be ended."""
        if number in STOPS:
            self.stops += 1
            if self.stops == 2:
                self.force_at = now + FORCED_AFTER
            if self.stops > 2:
                return False
        if number in STOPS or number not in self.untold:  # of the others one says it all, however long nobody is there
            self.untold.append(number)
        return True

    def take(self) -> list[int]:
        """All that are to be told now."""
        untold, self.untold = self.untold, []
        return untold

    def repeat_stops(self) -> None:
        """Whoever was told to stop is dead: the next one must know."""
        self.untold += [signal.SIGTERM] * (min(self.stops, 2) - sum(number in STOPS for number in self.untold))
