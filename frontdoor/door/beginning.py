"""The beginning: each door is restored, or its first generation started; what nobody has taken up is cleared away."""

import os
import signal
from collections.abc import Callable

import trio

from frontdoor.control.operator import DONE
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors, NotReady, nothing_serves
from frontdoor.door.notes import Unreadable
from frontdoor.door.refusal import CannotStart
from frontdoor.door.restore import Restored, restore
from frontdoor.door.survivors import Survivors
from frontdoor.door.unseated import Entrusted
from frontdoor.keeper.link import ChildReport, Held

DROPPED_AT_ONCE = 500
"""Keys of what nobody has taken up that are dropped with one request: the longest of them fill half a message."""


class Beginning:
    """Of all doors, after they were opened."""

    def __init__(
        self,
        doors: Doors,
        held: Held,
        survivors: Survivors,
        entrusted: Entrusted,
        *,
        stopping: bool,
        serving: Callable[[], object],
        successor: bool = False,
    ) -> None:
        """``stopping``: the door process before this one died on the way out, and nobody is let in.

        ``serving`` is called when the keeper knows that this process serves: more than once.

        ``successor``: another one serves as long as this one does not.
        """
        self._doors = doors
        self._link = doors.world.link
        self._held = held
        self._survivors = survivors
        self._entrusted = entrusted
        self._predecessors = doors.world.predecessors
        self._was_stopping = stopping
        self._serving = serving
        self._successor = successor
        self._restored: dict[Door, Restored] = {}
        """What was found of each door. It is not in its ledger yet."""
        self._doomed: set[str] = set()
        """Keys of processes that nobody has taken up: they are being ended."""

    async def run(self) -> None:
        """Restore each door, or start its first generation. It accepts as soon as it can serve, whatever others do.

        Raises CannotStart when none of them does. A successor raises Unreadable, too: who serves can read it.
        """
        refusals: list[NotReady] = []
        total = len(self._doors)
        async with trio.open_nursery() as nursery:
            for door in self._doors:
                self._restore(door)
                if door.switchboard.active is None and not self._was_stopping:
                    # Also if this process died while it was doing that, or if it had failed.
                    nursery.start_soon(self._first_generation, door, refusals)
            self._doors.world.protection.all_adopted()
            self._predecessors.begin(self._doors.world)
            # Only now is there an await: before, what the keeper reports might be of a door that is not restored yet.
            for door in self._doors:
                if door.switchboard.active is not None:
                    await self._accept(door)
            await self._clear_leftovers()
        if len(refusals) == total:
            if any(refusal.aborted for refusal in refusals):
                raise CannotStart("stopped before anything served", DONE)
            raise nothing_serves(refusals)
        for door in self._doors:
            await self._accept(door)  # one whose first generation has failed, too: a swap may heal it in time

    def on_exit(self, report: ChildReport) -> None:
        """What the keeper says of a process that is nobody's."""
        if report.key in self._doomed:
            self._doors.world.nursery.start_soon(self._forget, report)

    def _restore(self, door: Door) -> None:
        try:
            restored = restore(door, self._held, self._survivors, self._entrusted.of(door.name))
        except Unreadable as error:
            if self._successor:
                raise
            why = f"what the keeper has of this door cannot be read ({error}): it starts anew, and its streams end"
            door.world.log.error("restore.failed", door=door.name, reason=why)
            restored = Restored(0, door.ledger.open)
        if restored is not None:
            self._restored[door] = restored
            counts = {"streams": restored.streams, "lost": restored.lost}
            door.say("door.restored", door.switchboard.active, pid=self._held.keeper, **counts)

    async def _accept(self, door: Door) -> None:
        if not self._was_stopping:
            door.accept()
        await self._link.request("served")
        # Not sooner: up to then another process might have had to go on with these counts.
        restored, self._restored = self._restored, {}
        for each, found in restored.items():
            each.ledger.restore(found.streams)
        self._entrusted.take_up(list(self._doors))
        await self._entrusted.drop(self._link)
        self._serving()

    async def _first_generation(self, door: Door, refusals: list[NotReady]) -> None:
        """Start one door. When it is in trouble, it leaves the others alone."""
        try:
            backend = await self._doors.first(door, self._doors.world.settings.text)
        except NotReady as refusal:
            refusals.append(refusal)
            return
        door.serve(backend)
        await door.tell_keeper()  # first: a successor must not end what clients have been let in to
        await self._accept(door)
        self._doors.say_started(door, self._held.keeper)
        await door.remember()

    async def _clear_leftovers(self) -> None:
        """What the keeper holds and no door has taken up: a process that was started in the moment of the crash."""
        self._survivors.give_up()
        for garbage in (self._survivors.garbage, self._entrusted.garbage, self._predecessors.garbage):
            garbage.say(self._doors.world.log)
        for report in self._held.children:
            if not any(door.on_report(report) for door in self._doors):
                self._doomed.add(report.key)  # first: the word of its end may be here before the answer
                await self._link.request("signal", key=report.key, number=signal.SIGKILL)
                await self._forget(report)
        for _, fds in self._held.entries.values():
            for fd in fds:
                os.close(fd)
        keys = [*self._survivors.gone, *self._predecessors.garbage, *self._held.entries]
        for first in range(0, len(keys), DROPPED_AT_ONCE):
            await self._link.request("drop", keys=keys[first : first + DROPPED_AT_ONCE])

    async def _forget(self, report: ChildReport) -> None:
        if report.gone:
            self._doomed.discard(report.key)
            await self._link.request("forget", key=report.key)
