"""A trial: a new generation has streams and is watched, first perhaps as a canary, then for the time of its probation.

What is seen is judged the moment it happens (``policy.probation``), and what follows is done in the same instant: no
``await`` comes between a process's exit and the switch back.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from frontdoor.door.notes import TrialNote
from frontdoor.policy.canary import Plan, Walk
from frontdoor.policy.conduct import Conduct
from frontdoor.policy.generation import Generation
from frontdoor.policy.probation import Probation, Rules
from frontdoor.policy.share import WHOLE, show_share
from frontdoor.policy.swap import Event
from frontdoor.waiting import first_of

if TYPE_CHECKING:
    from frontdoor.door.door import Door

LOOK_AGAIN = 0.25
"""Seconds until it is asked again whether there is something to go back to by now."""

Judge = Callable[[float], Event | float]


class Trial:
    """The trial of one swap's candidate beside, or after, the generation that has served so far."""

    def __init__(
        self, door: "Door", new: Generation, old: Generation, abort: trio.Event, say: Callable[..., object]
    ) -> None:
        """``abort``: somebody ends it by hand; ``say``: publishes an event of the swap."""
        self.new = new
        self.old = old
        self.walk: Walk | None = None
        """The canary's way up, while it is one."""
        self.probation: Probation | None = None
        self.finding = ""
        """What has been seen that a good release does not show."""
        self.unproved = ""
        """Why it was not watched to the end of its probation, or what was seen with nothing to go back to."""
        self._door = door
        self._abort = abort
        self._say = say
        self._at_first = [_counts(side) for side in (new, old)]
        """What both had seen before the canary: streams, failed dials, early closes, crashes."""
        self._helpless = ""
        """What has been seen when there was nothing to go back to. It was said then, and is not said again."""
        self._woken = trio.Event()

    def __repr__(self) -> str:
        return f"<Trial of {self.new.id} {self.walk or ''} {self.probation or ''}>"

    # -- what somebody says -----------------------------------------------------------------------------------------

    def promote(self) -> None:
        """The canary is to become the active one."""
        assert self.walk is not None
        self.walk.set(WHOLE, time.monotonic())
        self._post()
        self.wake()

    def set_share(self, share: int) -> None:
        """The canary gets that share from here on, and walks no further by itself."""
        assert self.walk is not None
        self.walk.set(share, time.monotonic())
        self._give(share)
        self.wake()

    def end(self, why: str) -> None:
        """Watch it no longer: something else has been decided."""
        self.unproved = self.unproved or why
        self.wake()

    def wake(self) -> None:
        """Something has happened: judge anew."""
        self._woken.set()

    # -- what is done -----------------------------------------------------------------------------------------------

    def begin_canary(self, plan: Plan) -> None:
        """Give it its first share. No await: it has streams from this instant on, and is watched from it on."""
        now = time.monotonic()
        self.walk = Walk(plan, now)
        self._at_first = [_counts(side) for side in (self.new, self.old)]
        self.probation = Probation(self.new, self.old, self._rules, now)
        self._say_share(self.walk.share)

    def begin_probation(self, bake: float) -> None:
        """It has just been switched to."""
        self.walk = None
        self.probation = Probation(self.new, self.old, self._rules, time.monotonic(), bake)

    def resume(self, note: TrialNote) -> None:
        """Go on where a door process has died in the middle of it."""
        if note.walk is not None:
            self.walk = Walk.resumed(note.walk)
        self._at_first = note.at_first or self._at_first
        if note.probation is not None:
            self.probation = Probation.resumed(self.new, self.old, self._rules, note.probation)

    def note(self) -> TrialNote:
        """What the next door process has to know of it."""
        return TrialNote(
            walk=self.walk.note() if self.walk is not None else None,
            at_first=self._at_first,
            probation=self.probation.note() if self.probation is not None else None,
        )

    async def canary(self) -> Event:
        """Until it is promoted, withdrawn by somebody, or found wanting."""
        return await self._until(self._judge_canary, self._abort)

    async def bake(self) -> Event:
        """Until the time is over, somebody ends it, or it is found wanting and there is something to go back to."""
        return await self._until(self._judge_bake, self._abort, self._door.world.stopping, self._door.removed)

    def status(self) -> dict[str, Any] | None:
        """The canary as ``status --json`` shows it; None: it is none, or none any more."""
        walk, probation = self.walk, self.probation
        if walk is None or probation is None:
            return None
        now = time.monotonic()
        return {
            "generation": self.new.id,
            "base": self.old.id,
            "share": show_share(walk.share),
            "by": walk.plan.by,
            "sticky": self._door.settings.canary.sticky or None,
            "steps": [show_share(step) for step in walk.plan.steps],
            "every_s": None if walk.plan.every is None else round(walk.plan.every, 3),
            "next_step_s": None if math.isinf(walk.next_at) else round(max(0.0, walk.next_at - now), 1),
            "sides": [_side(side, first) for side, first in zip((self.new, self.old), self._at_first, strict=True)],
        }

    @property
    def left(self) -> float | None:
        """Seconds until the probation is over; None: it is none."""
        if self.walk is not None or self.probation is None or math.isinf(self.probation.until):
            return None
        return max(0.0, self.probation.until - time.monotonic())

    # -- judging ----------------------------------------------------------------------------------------------------

    @property
    def _rules(self) -> Rules:
        wanted = self._door.settings.probation
        return Rules(crashes=wanted.crashes, failures=wanted.failures)

    def _judge_canary(self, now: float) -> Event | float:
        assert self.walk is not None
        assert self.probation is not None
        if self._abort.is_set():
            return Event.ABORT
        if (finding := self.probation.finding(now)) is not None:
            self.finding = str(finding)
            return Event.FOUND_WANTING
        share = self.walk.look(now)
        if share == WHOLE:
            return Event.PROMOTED
        if share is not None:
            self._give(share)
        return self.walk.next_at

    def _judge_bake(self, now: float) -> Event | float:
        assert self.probation is not None
        if self.unproved:
            return Event.BAKED
        if self._abort.is_set():
            return Event.ABORT
        if self._door.world.stopping.is_set() or self._door.leaving:
            self.unproved = "it was stopped before its probation was over"
            return Event.BAKED
        until = self.probation.until
        finding = self.probation.finding(now)
        if finding is not None and self.old.able:
            self.finding = str(finding)
            return Event.FOUND_WANTING
        if finding is not None and not self._helpless:
            self._helpless = f"{finding}; but no process of {self.old.id} is up, so there is nothing to go back to"
            self._say("swap.stays", reason=self._helpless)
        if now < until:
            return until if finding is None else min(until, now + LOOK_AGAIN)
        self.unproved = self._helpless
        return Event.BAKED

    def _give(self, share: int) -> None:
        self._door.switchboard.set_share(share)
        self._post()
        self._say_share(share)

    def _post(self) -> None:
        """Its share is the same after a crash: what somebody was told of it holds, and no step is taken twice."""
        self._door.noting.post()  # if the wire is full, it is told in a second

    def _say_share(self, share: int) -> None:
        self._say("canary.share", **{"from": self.old.id, "to": self.new.id}, share=show_share(share))

    async def _until(self, judge: Judge, *ends: trio.Event) -> Event:
        self.new.conduct.told = self.wake
        try:
            while True:
                self._woken = trio.Event()  # first: what happens from here on is judged once more
                said = judge(time.monotonic())
                if isinstance(said, Event):
                    return said
                with trio.move_on_after(max(0.0, said - time.monotonic())):
                    await first_of(self._woken, *ends)
        finally:
            self.new.conduct.told = _nothing


def dial_ms(conduct: Conduct) -> dict[str, float | None]:
    """How long its dials have taken, in milliseconds, as ``status --json`` shows it; None before the first."""
    if not conduct.dials:
        return {"mean": None, "slowest": None}
    return {"mean": round(1000 * conduct.mean, 3), "slowest": round(1000 * conduct.slowest, 3)}


def _counts(side: Generation) -> list[int]:
    conduct = side.conduct
    return [side.total, conduct.failed_dials, conduct.early_closes, conduct.crashes]


def _side(side: Generation, first: list[int]) -> dict[str, Any]:
    """One of the two as ``status --json`` shows them next to each other: what there was since the canary began."""
    streams, dials, early, crashes = (now - then for now, then in zip(_counts(side), first, strict=True))
    seen = {"streams": streams, "failed_dials": dials, "early_closes": early, "crashes": crashes}
    return {"generation": side.id, **seen, "dial_ms": dial_ms(side.conduct)}


def _nothing() -> None:
    return None
