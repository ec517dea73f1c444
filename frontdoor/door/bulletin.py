"""The bulletin: how things stand, in one line, for systemd; and whether frontdoor reloads just now.

The keeper passes it on (``keeper/notify.py``), and says whether there is anybody to read it: without, nothing runs.
"""

from collections.abc import Iterable
from typing import Any

import trio

from frontdoor.control.wording import count
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.operator import DoorOperator
from frontdoor.keeper.link import Link

LOOK = 1.0
"""Seconds until the next look at the counts of streams, of which no event tells."""
LONGEST = 8.0
"""The same, after some looks that have found nothing new: a frontdoor with nothing to do is to use no CPU."""

RETRY = 0.05
"""Seconds until the keeper may have room for it."""


class Bulletin:
    """Tells the keeper whatever has changed."""

    def __init__(self, doors: Doors, operator: DoorOperator, link: Link) -> None:
        self._doors = doors
        self._operator = operator
        self._link = link
        self._told: dict[str, Any] = {}
        self._news = trio.Event()
        operator.on_reload = self.publish
        doors.world.bus.subscribe(lambda event: self._news.set())

    def __repr__(self) -> str:
        return f"<Bulletin: {line(self._doors)}>"

    def publish(self) -> None:
        """Tell it at once; if there is no room, soon."""
        if not self._post():
            self._news.set()

    async def run(self) -> None:
        """Tell it again and again."""
        look = LOOK
        while True:
            self._news = trio.Event()
            before = self._told
            told = self._post()
            look = LOOK if self._told != before else min(2 * look, LONGEST)
            with trio.move_on_after(look if told else RETRY):
                await self._news.wait()
                await trio.sleep(RETRY)  # one line for events that come together

    def _post(self) -> bool:
        """False: there was no room."""
        report: dict[str, Any] = {
            "line": line(self._doors),
            "reloading": self._operator.reloading,
            "answered": self._operator.answered,
            "stopping": self._doors.world.stopping.is_set(),
        }
        if report == self._told:
            return True
        if not self._link.post("report", **report):
            return False
        self._told = report
        return True


def line(doors: Iterable[Door]) -> str:
    """All doors in a line: ``v2#2 active, 9 streams; v1#1 draining, 3 streams``."""
    found = list(doors)
    if len(found) == 1:
        return _door(found[0])
    return " | ".join(f"{door.name}: {_door(door)}" for door in found)


def _door(door: Door) -> str:
    if door.world.stopping.is_set() or door.leaving:
        return f"stopping, {count(door.ledger.open, 'stream')} left"
    active = door.switchboard.active
    if active is not None:
        parts = [f"{active.id} {_standing(door)}, {count(active.open, 'stream')}"]
    else:
        parts = [f"nothing serves: {door.trouble}" if door.trouble else "starting"]
    for draining in door.draining.values():
        generation = draining.backend.generation
        parts.append(f"{generation.id} draining, {count(generation.open, 'stream')}")
    if door.swap is not None and door.swap.under_way:
        parts.append(f"swap to {door.swap.target} ({door.swap.phase})")
    return "; ".join(parts)


def _standing(door: Door) -> str:
    if door.pausing.paused:
        return "paused"
    return "active" if door.maintaining.now is None else "in maintenance"
