"""The way out: stop accepting, let streams finish, then stop the backends."""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from frontdoor.door.door import Door
from frontdoor.door.world import World
from frontdoor.policy.drain import Drain
from frontdoor.policy.generation import Happening, State
from frontdoor.policy.ledger import Reason
from frontdoor.processes.backend import Backend

if TYPE_CHECKING:
    from frontdoor.door.operator import DoorOperator

LOOK = 0.05
"""Seconds between two looks at whether all streams have ended."""

STOP_NOW = 5.0
"""Seconds that backends get for their stop signal when it was said to stop at once."""


class Stop:
    """One graceful stop of everything, which a second request turns into an immediate one."""

    def __init__(self, world: World, doors: list[Door]) -> None:
        self.asked = trio.Event()
        self._world = world
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
        for door in self._doors:
            door.say("door.stopping", streams=door.ledger.open)
            if door.swap is not None:
                door.swap.abort()
            await self._close_listeners(door)
        async with trio.open_nursery() as nursery:
            for door in self._doors:
                nursery.start_soon(self._stop_door, door)

    async def _close_listeners(self, door: Door) -> None:
        """Who is in the backlog has been let in by the kernel: he is served. Who comes now is refused."""
        self._world.listener.finish(door.gate)
        addresses = [f"listen/{door.name}/{address}" for address in door.settings.listen]
        await self._world.link.request("drop", keys=addresses)
        for sock in door.gate.listeners:
            sock.close()
        for address in door.settings.listen:
            if address.startswith("unix:"):
                with suppress(OSError):
                    os.unlink(address.removeprefix("unix:"))
        door.gate.listeners = ()

    async def _stop_door(self, door: Door) -> None:
        await self._end_streams(door)
        backends = list(door.backends.values())
        async with trio.open_nursery() as outer:
            outer.start_soon(self._hurry, backends)
            async with trio.open_nursery() as nursery:
                for backend in backends:
                    if backend.generation.state is State.ACTIVE:
                        backend.generation.happen(Happening.STOPPED, time.time())
                    nursery.start_soon(door.stop_backend, backend)
            outer.cancel_scope.cancel()

    async def _hurry(self, backends: list[Backend]) -> None:
        await self._now.wait()
        for backend in backends:
            backend.stop(STOP_NOW)

    async def _end_streams(self, door: Door) -> None:
        settings = door.settings.drain
        # All at once at the deadline: there is nothing left that their clients could stampede to.
        pace = Drain(time.monotonic(), settings.shutdown_timeout, 0.0)
        while door.ledger.open and not self._now.is_set():
            still = [s for s in self._world.relay.streams if s.gate is door.gate and s.deadline is None]
            for stream in still[: pace.due(time.monotonic(), len(still))]:
                self._world.relay.close(stream, Reason.SHUTDOWN)
            with trio.move_on_after(LOOK):
                await self._now.wait()
        for stream in self._world.relay.streams:
            if stream.gate is door.gate:
                self._world.relay.abandon(stream, Reason.SHUTDOWN)
