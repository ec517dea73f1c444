"""Following: a report that is not complete, and the swap that it is about."""

import time

import trio

from frontdoor.control.feed import Event
from frontdoor.door.door import Door
from frontdoor.observe.reports.look import Figures, Look
from frontdoor.observe.reports.report import TAKEN_BACK, Report
from frontdoor.policy.generation import Generation

FIRST_WRITE = 2.0
"""Seconds from the start to the first time that it is written without anything having happened; each next one takes"""
LAST_WRITE = 60.0
"""twice as long, up to this: so much of its curve is lost when this process is killed."""

OF_ALL = frozenset({"paused", "resumed", "maintenance.on", "maintenance.off", "limit.reached", "vault.full"})
OF_ALL_TOO = ("upgrade.", "door.")
"""Events that are part of each report that is being written, whatever they are about."""


class Following:
    """A report that is not complete."""

    def __init__(self, door: Door, number: int, report: Report | None) -> None:
        """``report``: None until it was found: another door process has begun it."""
        self.door = door
        self.number = number
        self.report = report
        self.missed: list[tuple[Event, Look]] = []
        """What has happened before the report was found."""
        self.old: Generation | None = None
        self.new: Generation | None = None
        self.woken = trio.Event()
        self.seen = -1
        """What the relay had done when somebody looked last."""
        self.news_at = time.monotonic()
        """When something has happened last."""
        self.write_at = self.news_at + FIRST_WRITE
        self.write_next = FIRST_WRITE
        self._written: object = None
        if report is not None:
            self.found(report)

    def __repr__(self) -> str:
        return f"<Following swap {self.number} of {self.door.name}>"

    @property
    def drains(self) -> bool:
        """A generation drains because of it."""
        return any(draining.swap == self.number for draining in self.door.draining.values())

    @property
    def over(self) -> bool:
        """The swap has its outcome, and no generation drains because of it."""
        door = self.door
        if self.drains:
            return False
        if door.swap is not None and door.swap.number == self.number:
            return door.swap.settled.is_set()
        operation = door.operations.get(self.number)
        return operation is None or operation.finished or operation.outcome("baked") is not None

    def found(self, report: Report) -> None:
        """Go on with that ``report``."""
        self.report = report
        for event, look in self.missed:
            report.take(event, look)
        self.missed.clear()

    def concerns(self, event: Event) -> bool:
        """It is part of this report."""
        if event.get("door", self.door.name) != self.door.name:
            return False
        name = event["event"]
        if name in OF_ALL or name.startswith(OF_ALL_TOO):
            return True
        if "swap" in event:
            back = self.report is not None and event.get("to") == self.report.leaves
            return event["swap"] == self.number or (name in TAKEN_BACK and back)
        return self.report is not None and event.get("generation") in (self.report.old, self.report.new)

    def take(self, event: Event) -> None:
        """Something has happened."""
        if self.report is None:
            self.missed.append((event, self.look()))
        else:
            self.report.take(event, self.look())
        self.news_at = time.monotonic()
        self.woken.set()

    def look(self) -> Look:
        """How the door is now."""
        ledger, report = self.door.ledger, self.report
        if report is not None and (self.new is None or self.old is None):
            known = {generation.id: generation for generation in self.door.fleet.generations.values()}
            self.old, self.new = known.get(report.old or ""), known.get(report.new)  # it is there once it is started
        old, new = (None if side is None else Figures.of(side) for side in (self.old, self.new))
        return Look(time.time(), ledger.accepted, ledger.open, ledger.ended, old, new)

    def due(self, now: float) -> bool:
        """Something has changed since it was written, and that was long enough ago."""
        assert self.report is not None
        if now < self.write_at:
            return False
        self.write_next = min(LAST_WRITE, 2 * self.write_next)
        self.write_at = now + self.write_next
        last = self.report.curve.points[-1] if self.report.curve.points else None
        state = len(self.report.events), self.report.left_out, last and (last.old, last.new)
        changed, self._written = state != self._written, state
        return changed
