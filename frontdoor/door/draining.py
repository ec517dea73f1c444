"""Draining: an earlier generation finishes what it has."""

import math
import time
from typing import TYPE_CHECKING

import trio

from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED
from frontdoor.control.wording import count
from frontdoor.door.notes import DrainNote
from frontdoor.door.notice import tell
from frontdoor.door.trouble import trouble
from frontdoor.policy.drain import Drain
from frontdoor.policy.generation import Happening, State
from frontdoor.policy.ledger import Reason
from frontdoor.waiting import first_of

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.exchanges.exchange import Exchange
    from frontdoor.processes.backend import Backend
    from frontdoor.traffic.stream import Stream


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
        self._notified = note is not None and note.notified
        self._at_once = note is not None and note.at_once
        """Somebody wants it over: nothing is waited for, and no rate is kept."""
        rate, now = self._close_rate(), time.monotonic()
        self._pace = _resume(note, rate) if note else Drain(now, settings.timeout, settings.close_over, rate)
        self._waits_for = ""
        """Why it is no good moment to send clients away; empty: it is one."""
        self._said_so = False
        """It was said that it waits."""
        self._closed_before = 0
        self.cut = 0
        """Streams that were closed by something else: frontdoor's own stop."""
        self._changed = trio.Event()
        self._reserved: list[trio.Event] = []
        self._held: list[trio.Event] = []

    def __repr__(self) -> str:
        return f"<Draining {self.backend.generation} {self._pace}>"

    @property
    def closed(self) -> int:
        """Streams that had to be closed."""
        return self._closed_before + self._pace.closed + self.cut

    @property
    def ending(self) -> bool:
        """Its last stream has ended, and it has not taken note of that yet."""
        return not self.backend.generation.open and not self.finished.is_set()

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it: seconds until the first stream is closed, and until the last one is."""
        now = time.monotonic()
        return {
            "closed": self.closed,
            "waits": self._waits_for or None,
            "closes_from_s": None if math.isinf(self._pace.begins) else round(max(0.0, self._pace.begins - now), 1),
            "deadline_s": None if math.isinf(self._pace.deadline) else round(max(0.0, self._pace.deadline - now), 1),
        }

    def note(self) -> DrainNote:
        """What the next door process has to know of it."""
        begins, deadline = self._pace.begins, self._pace.deadline
        return DrainNote(
            begins=None if math.isinf(begins) else begins,
            deadline=None if math.isinf(deadline) else deadline,
            closed=self.closed,
            swap=self.swap,
            notified=self._notified,
            at_once=self._at_once,
        )

    def changed(self) -> None:
        """Its last stream has ended."""
        self._changed.set()

    def reserve(self, until: trio.Event) -> None:
        """A swap is about to take it, or may yet: it is not stopped before that one is settled."""
        self._reserved.append(until)

    def hold(self, until: trio.Event) -> None:
        """None of its streams is closed before that: it may have to serve again."""
        self._held = [*self._holding(), until]
        self._changed.set()

    def recall(self) -> None:
        """New streams go to it again: those that it has are left alone."""
        self.recalled = True
        self.finished.set()
        self._changed.set()

    def hasten(self, over: float) -> int:
        """Close what is left evenly over that many seconds from now; how many streams that are."""
        self._closed_before += self._pace.closed
        self._at_once = over == 0
        self._pace = Drain(time.monotonic(), over, over, self._close_rate())
        self._changed.set()
        generation = self.backend.generation
        self._door.say("drain.started", generation, streams=generation.open, over_s=over)
        return generation.open

    async def run(self) -> None:
        """Until the last stream has ended; then it is kept warm, or stopped."""
        door, generation = self._door, self.backend.generation
        if not self._resumed:  # else it was said then
            door.say("drain.started", generation, swap=self.swap, streams=generation.open)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notify)
            while generation.open and not self.recalled:
                self._close_due()
                now = time.monotonic()
                next_at = self._pace.next_at(now)
                with trio.move_on_after(next_at - now if next_at > now else LOOK_AGAIN):
                    await first_of(self._changed, *self._holding())
                self._changed = trio.Event()
            nursery.cancel_scope.cancel()
        for event in self._reserved:
            await event.wait()
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

    def _close_rate(self) -> float:
        """Closes a second, at the most."""
        return math.inf if self._at_once else self._door.settings.drain.close_rate or math.inf

    def _holding(self) -> list[trio.Event]:
        """What has to come first."""
        return [event for event in self._held if not event.is_set()]

    def _close_due(self) -> None:
        """Close as many of those that are open as the pace asks for now."""
        settings, streams, now = self._door.settings.drain, self._door.world.streams, time.monotonic()
        self._look_round(now)
        generation, waits = self.backend.generation, bool(self._waits_for)
        # Before it closes anything, and that may be an hour of looks, nobody need go through all streams there are.
        still = self._still() if now >= self._pace.begins and not waits else None
        due = self._pace.due(now, generation.open if still is None else len(still), wait=waits)
        if due:
            still = self._still() if still is None else still
            if settings.close_first == "idle":
                still.sort(key=lambda stream: stream.stamp)  # stable: of those that are idle as long, the oldest
            for stream in still[:due]:
                self._pace.closed += 1
                streams.close(stream, Reason.DRAIN_CLOSED, settings.close_grace)
        if now >= self._pace.deadline and not waits:
            for stream in streams.of(generation):
                # Those that were saying goodbye have to be quick about it.
                streams.close(stream, Reason.DRAIN_CLOSED, settings.close_grace)
            self._pace.closed += streams.close_elsewhere(self._door.name, generation, Reason.DRAIN_CLOSED)

    def _still(self) -> "list[Stream | Exchange]":
        """Its streams that are not being closed yet, the oldest first."""
        return [stream for stream in self._door.world.streams.of(self.backend.generation) if stream.deadline is None]

    def _look_round(self, now: float) -> None:
        """See whether it is a good moment to send clients away; say so when that has changed."""
        begun, why = now >= self._pace.begins, ""
        if not self._at_once:
            if self._holding():
                why = "the probation of the new generation"
            elif begun:
                why = trouble(self._door)
        self._waits_for = why
        # Before the first one is to be closed it waits with nothing, and whoever has not waited does not resume.
        if bool(why) != self._said_so and (begun or self._said_so):
            generation, event = self.backend.generation, "drain.waits" if why else "drain.resumed"
            self._said_so = bool(why)
            self._door.say(event, generation, swap=self.swap, streams=generation.open, reason=why or None)

    async def _notify(self) -> None:
        """Tell its processes that it drains, once it is certain that it does."""
        for event in self._holding():
            await event.wait()
        wanted = self._door.settings.drain.notify and not self._notified and not self.recalled
        if wanted and self.backend.generation.open:  # else there is no client left whom they could ask to come back
            self._notified = True
            self._door.noting.post()  # the next door process need not tell them again
            await tell(self._door, self.backend, self.swap)


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


def _resume(note: DrainNote, rate: float) -> Drain:
    begins = math.inf if note.begins is None else note.begins
    deadline = math.inf if note.deadline is None else note.deadline
    return Drain.resumed(time.monotonic(), begins, deadline, note.closed, rate)
