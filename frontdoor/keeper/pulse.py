"""Whether a door process still answers: a hang is a crash.

::

    every quarter of ``timeout``   nothing is asked  ── ping ──▶ it is asked
                                   it is asked       ── one more quarter has passed
    four quarters after a ping     it hangs: the keeper kills it, and the next one goes on with all that is kept
    whatever comes from it         it answers: nothing is asked

Quarters are counted, not seconds. A keeper that was stopped itself (SIGSTOP, a frozen container, a machine with no time
for it) comes back to one quarter that was long: not to a door process that has been silent for an hour, and that was
stopped with it, as like as not.
"""

import math
import sys
from enum import Enum

TIMEOUT = 10.0
"""Seconds, until the door process has said what is set."""

QUARTERS = 4

MOST = 8
"""A start that hung is followed by one that gets twice as long, up to so many times the timeout: on a machine as slow
as that, a limit that stays the same would never let anybody start."""


class Beat(Enum):
    """What there is to do now."""

    REST = "nothing"
    PING = "ask it"
    DEAD = "it hangs"


class Pulse:
    """Of one door process. Times are of the monotonic clock, in seconds."""

    def __init__(self, now: float, timeout: float = TIMEOUT) -> None:
        """It was started ``now``, which counts as being asked: its first words are the answer."""
        self.timeout = timeout
        """Seconds from a ping to the verdict; ``math.inf``: there is none, but it is asked all the same."""
        self.at = 0.0
        """When ``beat`` is to be called."""
        self._missed = 0
        """Quarters since it was asked."""
        self._asked = True
        self._heard_at = now
        self._wait(now)

    def __repr__(self) -> str:
        return f"<Pulse: {'asked' if self._asked else 'answered'}, {self._missed} of {QUARTERS} quarters>"

    @property
    def answers(self) -> bool:
        """It has answered, or has had less than half of the time for it: what a watchdog may be told."""
        return self._missed < QUARTERS // 2

    def silence(self, now: float) -> float:
        """Seconds since it was heard last, or started."""
        return now - self._heard_at

    def heard(self, now: float) -> None:
        """Something came from it, whatever it was: a process that hangs says nothing at all."""
        self._heard_at = now
        self._missed, self._asked = 0, False

    def set(self, timeout: float, now: float) -> None:
        """It has said how long it may be silent."""
        self.timeout = timeout
        self._wait(now)

    def obey(self, asked: object, now: float) -> None:
        """It has said so over the wire; None: it is never taken for hung. Raises ValueError when that is no time."""
        # Compared and not converted: JSON has numbers that are larger than any float.
        if asked is not None and not (isinstance(asked, int | float) and 0 < asked <= sys.float_info.max):
            raise ValueError(f"{asked!r} is no time to wait for an answer")
        self.set(math.inf if asked is None else float(asked), now)

    def be_patient(self, hung: int, now: float) -> None:
        """It is starting, and so many starts before it have hung."""
        self.set(TIMEOUT * min(MOST, 2**hung), now)

    def resume(self, now: float) -> None:
        """It was neither listened to nor meant to speak until now: it begins anew."""
        self.heard(now)
        self._wait(now)

    def beat(self, now: float) -> Beat:
        """Called at ``at`` or later, and after all that has come was read. DEAD is said again until it is dead."""
        if now < self.at:
            return Beat.REST
        self._wait(now)
        if not self._asked:
            self._asked = True
            return Beat.PING
        self._missed += 1
        return Beat.DEAD if self._missed >= QUARTERS and not math.isinf(self.timeout) else Beat.REST

    def _wait(self, now: float) -> None:
        self.at = now + (TIMEOUT if math.isinf(self.timeout) else self.timeout) / QUARTERS
