"""Warm: a drained generation that is kept running for a while, so that a rollback is instant."""

import math
import time
from typing import TYPE_CHECKING

import trio

from frontdoor.policy.generation import Happening, State
from frontdoor.waiting import first_of

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.processes.backend import Backend


class Warm:
    """One generation between its last stream and its end, or its return."""

    def __init__(self, door: "Door", backend: "Backend", keep: float) -> None:
        """``keep``: seconds from now; infinity for as long as frontdoor runs."""
        self.backend = backend
        self._door = door
        self._until = time.monotonic() + keep
        self._over = trio.Event()
        self._recalled = False
        self._reserved: trio.Event | None = None

    def __repr__(self) -> str:
        return f"<Warm {self.backend.generation}>"

    @property
    def left(self) -> float | None:
        """Seconds until it is stopped; None: it is kept."""
        return None if math.isinf(self._until) else max(0.0, self._until - time.monotonic())

    def recall(self) -> None:
        """It has become the active one again."""
        self._recalled = True
        self._over.set()

    def reserve(self, until: trio.Event) -> None:
        """A swap is about to take it: its time does not run out before that one is settled."""
        self._reserved = until

    def cool(self) -> None:
        """Its place is needed."""
        self._over.set()

    async def run(self) -> None:
        """Until it is recalled, or its time is up, or none of its processes runs any more; then stop it."""
        generation = self.backend.generation
        left = self.left
        self._door.say("generation.warm", generation, for_s=None if left is None else round(left, 1))
        await self._door.remember()
        with trio.move_on_after(math.inf if left is None else left):
            await first_of(self._over, self.backend.finished)
        if self._reserved is not None:
            await self._reserved.wait()
        if self._recalled:
            return
        # No await from here to the change of state: a switch that came now would take what is about to be stopped.
        self._door.warm.pop(generation.number, None)
        if generation.state is State.WARM:
            generation.happen(Happening.COOLED, time.time())
        await self._door.fleet.stop(self.backend)
