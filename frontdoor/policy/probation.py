"""The probation of a new generation: what it shows is compared with what the one before it has shown.

It is found wanting when its processes crash, or when the dials and first moments of its streams fail, beyond what was
usual with the old one. That it is slow is no reason.
"""

import math
from dataclasses import dataclass
from typing import Any

from frontdoor.policy.conduct import WINDOW
from frontdoor.policy.generation import Generation

LENIENCE = 2
"""Failures are too many beyond so many times the share that the old one has shown: shares of a hundred streams vary."""

CANARY_BEFORE = 60.0
"""Seconds before a canary's begin in which crashes of the old generation count as usual. A canary has no set end, so
there is no equal time before it."""


@dataclass(frozen=True)
class Rules:
    """How much is too much: at least 1 of each."""

    crashes: int = 1
    """Crashes beyond as many as the old generation had in an equal time."""
    failures: int = 5
    """Failures among the last hundred new streams, beyond twice the old generation's share."""


@dataclass(frozen=True)
class Finding:
    """What was too much: crashes, or else failures."""

    crashes: int
    """Crashes since the probation began; 0: it was failures."""
    failed_dials: int
    early_closes: int
    streams: int
    """Of so many new streams, the last ones."""
    old: str
    """The old generation's id; empty: there is none."""
    usual: tuple[int, int]
    """What that had: crashes in an equal time, or failures; and of how many streams."""

    def __str__(self) -> str:
        """As a part of a sentence: ``one of its processes has crashed``."""
        usual, of = self.usual
        if self.crashes:
            crashed = "one of its processes has crashed"
            said = crashed if self.crashes == 1 else f"its processes have crashed {self.crashes} times"
            return f"{said} ({self.old}: {usual} in an equal time)" if usual else said
        failures = self.failed_dials + self.early_closes
        said = (
            f"{failures} of its last {self.streams} new streams failed: "
            f"{_count(self.failed_dials, 'dial')} that nobody took, {_count(self.early_closes, 'early close')}"
        )
        return f"{said} ({self.old}: {usual} of {of})" if self.old else said


class Probation:
    """One generation under watch, from one point in time on."""

    def __init__(
        self, new: Generation, old: Generation | None, rules: Rules, now: float, bake: float = math.inf
    ) -> None:
        """``now``: it begins; ``bake``: for so many seconds. Infinity: as a canary, as long as it is one.

        ``old``: what it is compared with. None: with one that has never failed.
        """
        self.until = now + bake
        """When it is over, of the monotonic clock; infinity for a canary."""
        self._new = new
        self._old = old
        self._rules = rules
        self._began = now
        self._since = new.conduct.attempts(new.total)
        """Attempts before it began: they are nothing to it."""

    @classmethod
    def resumed(cls, new: Generation, old: Generation | None, rules: Rules, note: dict[str, Any]) -> "Probation":
        """Go on with one that another door process had begun, for what is left of its time."""
        began, until = note["began"], note["until"]
        probation = cls(new, old, rules, began)
        probation.until = math.inf if until is None else until
        probation._since = note["since"]
        return probation

    def __repr__(self) -> str:
        return f"<Probation of {self._new.id} against {self._old.id if self._old else 'nothing'}, {self._rules}>"

    def note(self) -> dict[str, Any]:
        """What the next door process has to know of it, for JSON."""
        return {
            "began": self._began,
            "until": None if math.isinf(self.until) else self.until,
            "since": self._since,
        }

    def finding(self, now: float) -> Finding | None:
        """What was too much so far; None: nothing, or the time is over."""
        if now >= self.until:
            return None
        return self._crashes() or self._failures()

    def _crashes(self) -> Finding | None:
        crashes = sum(at > self._began for at in self._new.conduct.crash_times)
        usual = self._usual_crashes()
        if crashes < self._rules.crashes + usual:
            return None
        return Finding(crashes, 0, 0, 0, self._old.id if self._old else "", (usual, 0))

    def _usual_crashes(self) -> int:
        """Those of the old one: in an equal time before; of a canary's, those at the same time as well."""
        if self._old is None:
            return 0
        canary = math.isinf(self.until)
        first = self._began - (CANARY_BEFORE if canary else self.until - self._began)
        return sum(first < at and (canary or at <= self._began) for at in self._old.conduct.crash_times)

    def _failures(self) -> Finding | None:
        conduct, total = self._new.conduct, self._new.total
        dials, closes = conduct.recent_kinds(total, self._since)
        # The first of them: streams of before that are closed early by now count too, and there may be more of those.
        streams = max(dials + closes, min(WINDOW, conduct.attempts(total) - self._since))
        failed, of = self._usual_failures()
        # A share of very few streams says nothing: one that failed, of one, is not all of them.
        usual = failed / max(of, 2 * self._rules.failures)
        if dials + closes < self._rules.failures + LENIENCE * usual * streams:
            return None
        return Finding(0, dials, closes, streams, self._old.id if self._old else "", (failed, of))

    def _usual_failures(self) -> tuple[int, int]:
        """(failures, streams) of the old one: in its life; beside a canary, its last ones if they were worse.

        What both of them suffer from at the same time, as from a database that is down, is not the canary's fault.
        """
        if self._old is None:
            return 0, 0
        conduct, total = self._old.conduct, self._old.total
        life = conduct.failures, conduct.attempts(total)
        if math.isfinite(self.until):
            return life
        last = conduct.recent(total), min(WINDOW, life[1])
        return max(life, last, key=lambda seen: seen[0] / max(seen[1], 1))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
