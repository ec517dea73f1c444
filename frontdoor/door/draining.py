"""Draining: an earlier generation finishes what it has."""

import math
import time
from typing import TYPE_CHECKING

import trio

from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED
from frontdoor.control.wording import count
from frontdoor.door.notes import DrainNote
from frontdoor.policy.drain import Drain
from frontdoor.policy.generation import Happening, State
from frontdoor.policy.ledger import Reason

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.processes.backend import Backend


LOOK_AGAIN = 0.1
"""Seconds between two looks after the deadline, while the last streams say goodbye."""


class Draining:
    """One generation on its way from the switch to its last stream, or back."""

    def __init__(
        self,
        door: "Door",
        backend: "Backend",
        swap: int | None,
        *,
        resumed: bool = False,
        note: DrainNote | None = None,
    ) -> None:
        """``swap``: the number of the one that waits for its end.

        ``resumed``: it was begun before a crash; ``note``: how far it had come then, if that is known.
        """
        settings = door.settings.drain
        self.backend = backend
        self.swap = swap
        self.finished = trio.Event()
        """Its last stream has ended, or it was taken back."""
        self.recalled = False
        """It has become the active one again, with the streams that it still had."""
        self._door = door
        self._resumed = resumed
        self._pace = _resume(note) if note else Drain(time.monotonic(), settings.timeout, settings.close_over)
        self._closed_before = 0
        self.cut = 0
        """Streams that were closed by something else: frontdoor's own stop."""
        self._changed = trio.Event()
        self._reserved: trio.Event | None = None

    def __repr__(self) -> str:
        return f"<Draining {self.backend.generation} {self._pace}>"

    @property
    def closed(self) -> int:
        """Streams that had to be closed."""
        return self._closed_before + self._pace.closed + self.cut

    @property
    def waits(self) -> bool:
        """Its last stream has ended, and it has not taken note of that yet."""
        return not self.backend.generation.open and not self.finished.is_set()

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it: seconds until the first stream is closed, and until the last one is."""
        now = time.monotonic()
        return {
            "closed": self.closed,
            "closes_from_s": None if math.isinf(self._pace.begins) else round(max(0.0, self._pace.begins - now), 1),
            "deadline_s": None if math.isinf(self._pace.deadline) else round(max(0.0, self._pace.deadline - now), 1),
        }

    def note(self) -> DrainNote:
        """What the next door process has to know of it."""
        begins, deadline = self._pace.begins, self._pace.deadline
        return DrainNote(
            None if math.isinf(begins) else begins, None if math.isinf(deadline) else deadline, self.closed, self.swap
        )

    def changed(self) -> None:
        """Its last stream has ended."""
        self._changed.set()

    def reserve(self, until: trio.Event) -> None:
        """A swap is about to take it: it is not stopped before that one is settled."""
        self._reserved = until

    def recall(self) -> None:
        """New streams go to it again: those that it has are left alone."""
        self.recalled = True
        self.finished.set()
        self._changed.set()

    def hasten(self, over: float) -> int:
        """Close what is left evenly over that many seconds from now; how many streams that are."""
        self._closed_before += self._pace.closed
        self._pace = Drain(time.monotonic(), over, over)
        self._changed.set()
        generation = self.backend.generation
        self._door.say("drain.started", generation, streams=generation.open, over_s=over)
        return generation.open

    async def run(self) -> None:
        """Until the last stream has ended; then it is kept warm, or stopped."""
        door, generation = self._door, self.backend.generation
        if not self._resumed:  # else it was said then
            door.say("drain.started", generation, swap=self.swap, streams=generation.open)
        while generation.open and not self.recalled:
            self._close_due()
            now = time.monotonic()
            with trio.move_on_after(self._pace.next_at(now) - now if self._pace.next_at(now) > now else LOOK_AGAIN):
                await self._changed.wait()
            self._changed = trio.Event()
        if self._reserved is not None:
            await self._reserved.wait()
        if self.recalled:
            return
        # No await from here to the change of state: see Warm.run.
        door.draining.pop(generation.number, None)
        keep = door.keeps_warm(self.backend)
        if generation.state is State.DRAINING:
            generation.happen(Happening.KEPT_WARM if keep else Happening.EMPTIED, time.time())
        if keep:
            door.keep_warm(self.backend, keep)
        door.say("drain.finished", generation, swap=self.swap, closed=self.closed)
        self.finished.set()
        if not keep:
            await door.fleet.stop(self.backend)

    def _close_due(self) -> None:
        """Close the oldest of those that are open, as many as the pace asks for now."""
        relay, now = self._door.world.relay, time.monotonic()
        streams = relay.of(self.backend.generation)
        still = [stream for stream in streams if stream.deadline is None]
        for stream in still[: self._pace.due(now, len(still))]:
            self._pace.closed += 1
            relay.close(stream, Reason.DRAIN_CLOSED)
        if now >= self._pace.deadline:
            for stream in streams:
                relay.close(stream, Reason.DRAIN_CLOSED)  # those that were saying goodbye have to be quick about it


def report(operation: Operation, target: str, old: str, draining: Draining | None) -> None:
    """Tell those who wait for the end of a swap how its drain has ended. ``old``, ``target``: from where it went to."""
    if draining is not None and draining.recalled:
        message = f"{old} was made active again before it was drained"
        operation.reach("drained", "recalled", FAILED, message)
    elif draining is not None and draining.closed:
        message = f"{target} is active; {count(draining.closed, 'stream')} of {old} had to be closed"
        operation.reach("drained", "drained", CUT, message, closed=draining.closed)
    else:
        message = f"{target} is active; {old} is drained, no stream had to be closed"
        operation.reach("drained", "drained", DONE, message, closed=0)


def _resume(note: DrainNote) -> Drain:
    begins = math.inf if note.begins is None else note.begins
    deadline = math.inf if note.deadline is None else note.deadline
    return Drain.resumed(time.monotonic(), begins, deadline, note.closed)
