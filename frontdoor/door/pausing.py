"""Pausing: a door lets nobody in, until it is told to or until the time is over."""

import math
import time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from frontdoor.door.door import Door


class Pausing:
    """Whether one door is paused, and for how long."""

    def __init__(self, door: "Door") -> None:
        self.paused = False
        self.until = math.inf
        """When it resumes by itself, of the monotonic clock; infinity: it does not."""
        self._door = door
        self._timer = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Pausing {self.paused} until {self.until}>"

    @property
    def left(self) -> float | None:
        """Seconds until it resumes by itself; None: it does not, or it is not paused."""
        return None if math.isinf(self.until) else max(0.0, self.until - time.monotonic())

    def pause(self, seconds: float | None = None) -> None:
        """Let nobody in: clients wait in the backlog, and requests on open connections of an http door wait there.

        What was said of the time before does not hold any more.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        self.restore(until)
        self._door.world.listener.close(self._door.gate)
        self._door.say("paused", for_s=seconds)

    def resume(self, *, by_itself: bool = False) -> None:
        """Let clients in again; first come requests that wait on open connections of an http door."""
        self._timer.cancel()
        self.paused, self.until = False, math.inf
        self._door.say("resumed", reason="the time of the pause is over" if by_itself else None)
        self.let_go()
        self._door.accept()

    def let_go(self) -> None:
        """Requests that wait on open connections go on: the pause is over, or the door is on its way out."""
        self._door.gate.paused = False
        self._door.world.exchanges.resumed(self._door.gate)

    def restore(self, until: float) -> None:
        """It is paused until then, before anybody is let in."""
        self._timer.cancel()
        self.paused, self.until = True, until
        self._door.gate.paused = True
        if not math.isinf(until):
            self._timer = trio.CancelScope()
            self._door.world.nursery.start_soon(self._wait, self._timer, until)

    async def _wait(self, timer: trio.CancelScope, until: float) -> None:
        with timer:
            await trio.sleep(max(0.0, until - time.monotonic()))
        # A door on its way out lets in nobody new: whoever waited in its backlog has been let in.
        if not timer.cancel_called and not self._door.world.stopping.is_set() and not self._door.leaving:
            self.resume(by_itself=True)
            await self._door.remember()
