"""Reporting: each swap is followed from its first event to the end of its drain, and a report is kept of it.

Nothing waits for that. What is seen is seen in the instant of an event, or now and then in between: the longer nothing
happens, the more seldom. An event wakes whoever follows; a drain of a week in which nothing happens costs nothing.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import trio

from frontdoor.control.feed import Event
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.following import Following
from frontdoor.door.report_files import ReportFiles
from frontdoor.door.report_folder import Summary
from frontdoor.observe.reports.curve import Curve, wait
from frontdoor.observe.reports.report import Report
from frontdoor.waiting import cut_short

LAST_WORD = 5.0
"""Seconds for a swap that is over to say what became of it."""

AT_THE_END = 1.0
"""Seconds for the disk when frontdoor ends."""

NOT_FOLLOWED = "nobody has followed this to its end: frontdoor was ended first"
STOPPED = "frontdoor was stopped before the end of this"


class Reporting:
    """Of all doors."""

    def __init__(self, doors: Doors, files: ReportFiles) -> None:
        self._doors = doors
        self._files = files
        self._followed: dict[tuple[str, int], Following] = {}
        doors.world.bus.subscribe(self._take)

    def __repr__(self) -> str:
        return f"<Reporting {list(self._followed)}>"

    async def run(self) -> None:
        """Keep what there is to keep, until cancelled."""
        await self._files.run()

    async def close(self) -> None:
        """Frontdoor ends, and so does all that is followed."""
        for each in list(self._followed.values()):
            self._conclude(each)
        with trio.move_on_after(AT_THE_END):
            await self._files.settled()

    # -- what there is to tell --------------------------------------------------------------------------------------

    async def summaries(self, door: str) -> list[Summary]:
        """Of all reports of a door, the newest first."""
        found = await self._files.summaries(door)
        for number in [number for number, summary in found.items() if summary["ended"] is None]:
            if (report := await self.report(door, number)) is not None:  # its file is not complete: as it is shown
                found[number] = report.summary()
        for (name, number), each in self._followed.items():
            if name == door and each.report is not None:
                found[number] = each.report.summary()
        return sorted(found.values(), key=lambda summary: (summary["started"], summary["number"]), reverse=True)

    async def report(self, door: str, number: int) -> Report | None:
        """That report; None: there is none."""
        each = self._followed.get((door, number))
        if each is not None and each.report is not None:
            # A look of its own: who asks changes nothing of what is kept.
            shown = replace(each.report, curve=Curve([*each.report.curve.points]))
            shown.see(each.look())
            return shown
        report = await self._files.read(door, number)
        if report is not None and report.ended is None:
            report.cut_off(NOT_FOLLOWED)
        return report

    # -- following --------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        try:
            self._hear(event)
        except Exception as error:  # in the middle of a swap, which is not to suffer from that
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        self._doors.world.log.error("report.broken", error=repr(error), reason="a report is not complete")

    def _start(self, follow: Callable[..., Awaitable[None]], each: Following, *more: Event) -> None:
        async def kept_apart() -> None:
            try:
                await follow(each, *more)
            except Exception as error:  # nor is all the rest
                self._followed.pop((each.door.name, each.number), None)
                self._broken(error)

        self._doors.world.nursery.start_soon(kept_apart)

    def _hear(self, event: Event) -> None:
        name = event["event"]
        door = self._doors.get(event.get("door", ""))
        if door is not None and name == "swap.started":
            self._begin(door, event)
        elif door is not None and name == "door.restored":
            self._resume(door, event)
        elif door is not None or "door" not in event:
            for each in self._followed.values():
                if each.concerns(event):
                    self._tell(each, event)

    def _tell(self, each: Following, event: Event) -> None:
        each.take(event)
        # What is certain, or may be followed by another process, is written: what happens between is not urgent.
        if each.report is not None and event["event"].startswith(("swap.", "upgrade.", "canary.")):
            self._files.put(each.report)

    def _begin(self, door: Door, event: Event) -> None:
        swap = door.swap
        mine = swap is not None and swap.number == event["swap"]
        of_reload = mine and swap is not None and swap.go is not None
        reused = mine and swap is not None and swap.takes is not None
        report = Report.begin(event, reload=of_reload, reused=reused)
        each = self._followed[door.name, report.number] = Following(door, report.number, report)
        self._tell(each, event)
        self._start(self._follow, each)

    def _resume(self, door: Door, event: Event) -> None:
        """Another door process was here before: what it had not completed is."""
        numbers = {draining.swap for draining in door.draining.values() if draining.swap is not None}
        if door.swap is not None:
            numbers.add(door.swap.number)
        if door.noting.restored is not None:
            numbers.add(door.noting.restored[0].number)
        for number in numbers:
            each = self._followed[door.name, number] = Following(door, number, None)
            self._start(self._find, each, event)

    async def _find(self, each: Following, event: Event) -> None:
        report = await self._files.read(each.door.name, each.number)
        if self._followed.get((each.door.name, each.number)) is not each:
            return  # frontdoor has ended it meanwhile
        if report is None or report.ended is not None:
            del self._followed[each.door.name, each.number]
            return
        report.resume(time.time(), event)
        each.found(report)
        self._files.put(report)
        await self._follow(each)

    async def _follow(self, each: Following) -> None:
        report = each.report
        assert report is not None
        while not each.over:
            await self._pause(each)
            report.see(each.look())
            if each.due(time.monotonic()):
                self._files.put(report)
        operation = each.door.operations.get(each.number)
        if operation is not None:
            with trio.move_on_after(LAST_WORD):
                await operation.certain("drained")
        self._conclude(each)

    async def _pause(self, each: Following) -> None:
        """Until there may be something to see. In a drain without traffic, until something happens."""
        with trio.move_on_after(wait(time.monotonic() - each.news_at)):
            await each.woken.wait()
        if not each.woken.is_set() and each.drains:
            async with cut_short(each.woken):
                each.seen = await self._doors.world.protection.stirred(each.seen)
        each.woken = trio.Event()

    def _conclude(self, each: Following) -> None:
        """It is complete."""
        if self._followed.pop((each.door.name, each.number), None) is None or each.report is None:
            return
        operation = each.door.operations.get(each.number)
        outcome: dict[str, Any] | None = operation.outcome("drained") if operation is not None else None
        if outcome is None:
            each.report.cut_off(STOPPED)
            outcome = (operation.outcome("baked") if operation is not None else None) or {}
        each.report.end(time.time(), outcome, each.look())
        self._files.put(each.report)
