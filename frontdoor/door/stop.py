"""The way out: stop accepting, let streams finish, then stop the backends."""

import time
from typing import TYPE_CHECKING

import trio

from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.policy.generation import Happening
from frontdoor.policy.ledger import Reason
from frontdoor.processes.backend import Backend
from frontdoor.traffic.ending import FORCED_GOODBYE
from frontdoor.waiting import cut_short

if TYPE_CHECKING:
    from frontdoor.door.operator import DoorOperator

LOOK = 0.05
"""Seconds between two looks at whether all streams have ended."""

STOPPING = "stopping"
"""Where the keeper keeps the word that everything is being stopped."""

LAST_WORDS = 1.0
"""Seconds for those who watch a swap to be told its outcome; a quarter of it for the last line to reach them."""

LAST_HOOKS = 5.0
"""Seconds for the hooks to be told of the end; after them, and when it was said to stop at once, they are killed."""

STOP_NOW = 5.0
"""Seconds that backends get for their stop signal when it was said to stop at once."""


class Stop:
    """One graceful stop of everything, which a second request turns into an immediate one."""

    def __init__(self, doors: Doors) -> None:
        self._world = doors.world
        self.asked = self._world.stopping
        self._doors = doors
        self._now = trio.Event()

    def begin(self, now: bool) -> None:
        """Stop; with ``now`` without waiting for streams."""
        self.asked.set()
        if now:
            self._now.set()

    async def run(self, operator: "DoorOperator") -> None:
        """Wait until somebody asks, and then do it."""
        await self.asked.wait()
        operator.stopping = True
        # First of all: if this process dies on the way out, the next one must go on leaving and not serve again.
        await self._world.link.request("note", key=STOPPING, note=True)
        for door in self._doors:
            door.say("door.stopping", streams=door.ledger.open)
            if door.swap is not None:
                door.swap.abort("the stop of frontdoor")
            await self._doors.close_listeners(door)
        async with trio.open_nursery() as nursery:
            for door in self._doors:
                nursery.start_soon(self._stop_door, door)
        # What was told of this last to the hooks: some of them send messages to people.
        with trio.move_on_after(LAST_HOOKS):
            async with cut_short(self._now):
                for door in self._doors:
                    await door.hooks.settled()
        # Whoever watches a swap is told how it ended, before the control socket closes under him.
        with trio.move_on_after(LAST_WORDS):
            for door in self._doors:
                await door.swap_ended()
            self._world.bus.close()
            self._world.outputs.close()
            await trio.sleep(LAST_WORDS / 4)

    async def _stop_door(self, door: Door) -> None:
        await self._end_streams(door)
        backends = list(door.fleet.backends.values())
        async with trio.open_nursery() as outer:
            outer.start_soon(self._hurry, backends)
            async with trio.open_nursery() as nursery:
                for backend in backends:
                    # Some servers wait for the end of what we kept for a next request.
                    self._world.streams.forget(backend.generation)
                    backend.generation.happen_unless_late(Happening.STOPPED, time.time())
                    nursery.start_soon(door.fleet.stop, backend)
            outer.cancel_scope.cancel()

    async def _hurry(self, backends: list[Backend]) -> None:
        await self._now.wait()
        for backend in backends:
            backend.stop(STOP_NOW)

    async def _end_streams(self, door: Door) -> None:
        """Wait until the last one has ended, or the time is up; then close what is left, in order, and at last cut it.

        All at once: there is nothing left that their clients could stampede to.
        """
        with trio.move_on_after(door.settings.drain.shutdown_timeout):
            await self._all_ended(door)
        streams, predecessors = self._world.streams, self._world.predecessors
        self._world.listener.dismiss(door.gate)
        streams.close_elsewhere(door.name, None, Reason.SHUTDOWN)
        for stream in streams.at(door.gate):
            door.close_stream(stream, Reason.SHUTDOWN)
        with trio.move_on_after(FORCED_GOODBYE + LOOK):
            await self._all_ended(door)
        predecessors.abandon(door, Reason.SHUTDOWN)
        for stream in streams.at(door.gate):
            streams.abandon(stream, Reason.SHUTDOWN)
        # A generation that was draining has nothing left now: its drain says so, and how many had to be closed.
        while any(draining.ending for draining in door.draining.values()):
            await trio.lowlevel.checkpoint()

    async def _all_ended(self, door: Door) -> None:
        while door.ledger.open and not self._now.is_set():
            with trio.move_on_after(LOOK):
                await self._now.wait()
