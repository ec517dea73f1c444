"""A swap: carries out what the table in ``policy.swap`` says, and feeds back what happened."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from frontdoor.config import BackendSettings
from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED, NOT_READY
from frontdoor.control.wording import count
from frontdoor.policy.generation import Generation, Happening
from frontdoor.policy.swap import ABORTABLE, UNDER_WAY, Command, Event, Phase, step

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.door.draining import Draining
    from frontdoor.processes.backend import Backend

INTERRUPTED = 130
"""The shell's exit code for Ctrl-C: 128 and the number of SIGINT."""

OUTPUT_SHOWN = 20
"""Last lines of a candidate's output that are part of the message when it fails."""

WAIT_FOR_CANDIDATE = 1.0
"""Seconds that the answer to a failed swap waits for the candidate's end. The outcome is certain before."""


class Swap:
    """One swap of a door."""

    def __init__(self, door: "Door", number: int, version: str, settings: BackendSettings, text: str) -> None:
        """``text``: of the config file that ``settings`` were read from."""
        self.number = number
        self.operation = Operation(number)
        self.phase = Phase.ASKED
        self.candidate: Backend | None = None
        self.old: Generation | None = None
        self.switched = False
        self.message = f"the swap to {version} is under way"
        """What there is to say of it so far."""
        self.ended = trio.Event()
        """Nothing more will become of it."""
        self._door = door
        self._version = version
        self._settings = settings
        self._text = text
        self._began = time.monotonic()
        self._abort = trio.Event()
        self._problem = ""
        self._output: list[str] = []
        self._draining: Draining | None = None

    def __repr__(self) -> str:
        return f"<Swap {self.number} to {self._version}, {self.phase}>"

    @property
    def under_way(self) -> bool:
        """Another swap of this door has to wait."""
        return self.phase in UNDER_WAY

    @property
    def target(self) -> str:
        """The candidate's id, or before it has one, the version."""
        return self.candidate.generation.id if self.candidate else self._version

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it."""
        return {
            "number": self.number,
            "phase": str(self.phase),
            "from": self.old.id if self.old else None,
            "to": self.target,
            "elapsed_s": round(time.monotonic() - self._began, 3),
        }

    def abort(self) -> bool:
        """End it before the switch. False: it is too late."""
        if self.switched or (self.phase not in ABORTABLE and self.phase is not Phase.ASKED):
            return False
        self._abort.set()
        return True

    async def run(self) -> None:
        """From the first process of the candidate to the last stream of the old generation."""
        event: Event | None = Event.BEGIN
        while event is not None:
            self.phase, commands = step(self.phase, event)
            event = None
            for command in commands:
                event = await _CARRY_OUT[command](self) or event

    # -- the commands: each does its part, and says what came of it -------------------------------------------------

    async def _start(self) -> Event:
        self.old = self._door.switchboard.active
        self.candidate = await self._door.start_backend(self._version, self._settings, self._text, self._say_backend)
        self._say("swap.started", **{"from": self.old.id if self.old else None, "to": self.target})
        await self._door.remember()
        return Event.STARTED

    async def _probe(self) -> Event:
        assert self.candidate is not None
        event = await self._door.prove(self.candidate, self._abort)
        if event in (Event.CANDIDATE_FAILED, Event.DEADLINE):
            self._problem = self._door.why_not_ready(self.candidate, event)
        if event is Event.PROVED_READY:
            self.candidate.generation.happen(Happening.PROVED_READY, time.time())
        return event

    async def _switch(self) -> Event:
        assert self.candidate is not None
        # From here to the switch there is no await: what is decided is what is done.
        if self._abort.is_set():
            return Event.ABORT
        if not self.candidate.alive():
            self._problem = self.candidate.problem() or "it exited right after it was ready"
            return Event.CANDIDATE_FAILED
        self._draining = self._door.switch(self.candidate, self.number)
        self.switched = True
        streams = self.old.open if self.old else 0
        self._say("swap.switched", **{"from": self.old.id if self.old else None, "to": self.target, "streams": streams})
        drains = f"; {self.old.id} drains {count(streams, 'stream')}" if self.old else ""
        self.message = f"{self.target} is active{drains}"
        await self._door.remember()  # and then the answer: what was said to be so must be so after a crash too
        self.operation.reach("switched", "switched", DONE, self.message, streams=streams)
        return Event.SWITCHED

    async def _bake(self) -> Event:
        return Event.BAKED

    async def _drain(self) -> Event:
        self._say("swap.settled", to=self.target)
        switched = self.operation.outcome("switched") or {}
        self.operation.reach("baked", "switched", DONE, self.message, streams=switched.get("streams"))
        await self._door.remember()
        self._door.free()
        if self._draining is not None:
            await self._draining.finished.wait()
        return Event.DRAINED

    async def _stop_candidate(self) -> None:
        assert self.candidate is not None
        aborted = self.phase is Phase.ABORTED
        self._output = self.candidate.ring.last(OUTPUT_SHOWN)
        happening = Happening.ABANDONED if aborted else Happening.FAILED
        self.candidate.generation.happen(happening, time.time())
        self._door.world.nursery.start_soon(self._door.stop_backend, self.candidate)
        with trio.move_on_after(self._settings.stop_timeout + 1 if aborted else WAIT_FOR_CANDIDATE):
            await self.candidate.finished.wait()

    async def _finish(self) -> None:
        serves = f"{self.old.id} still serves" if self.old else "nothing serves"
        if self.phase is Phase.ABORTED:
            self._say("swap.aborted", to=self.target)
            message = f"the swap to {self.target} was aborted before the switch; {serves}"
            self.operation.fail("aborted", INTERRUPTED, message)
        elif self.phase is Phase.FAILED:
            self._say("swap.failed", to=self.target, reason=self._problem, output=self._output)
            message = f"{self.target} did not become ready ({self._problem}); {serves}"
            self.operation.fail("failed", NOT_READY, message, reason=self._problem, output=self._output)
        else:
            closed = self._draining.closed if self._draining else 0
            if closed:
                message = f"{self.target} is active; {count(closed, 'stream')} of {self._old_id} had to be closed"
                self.operation.reach("drained", "drained", CUT, message, closed=closed)
            else:
                message = f"{self.target} is active; {self._old_id} is drained, no stream had to be closed"
                self.operation.reach("drained", "drained", DONE, message, closed=0)
        await self._door.remember()

    def broken(self, why: str) -> None:
        """Frontdoor itself failed in the middle of this swap, or stops. The outcomes that there are stay."""
        if self.under_way:
            self.phase = Phase.FAILED
        if self.switched:
            self.operation.reach("baked", "switched", DONE, self.message)
        self.operation.fail("failed", FAILED, f"the swap to {self.target} ended without an outcome: {why}")

    @property
    def _old_id(self) -> str:
        return self.old.id if self.old else "nothing"

    def _say(self, event: str, /, **fields: object) -> None:
        """Publish an event of this swap, and show it to those who follow it."""
        generation = self.candidate.generation if self.candidate else None
        self._door.say(event, generation, swap=self.number, **fields)

    def _say_backend(self, event: str, /, **fields: object) -> None:
        """Publish an event of the candidate's processes. Once it is settled it has nothing to do with the swap."""
        if self.under_way:
            self._say(event, **fields)
        elif self.candidate is not None:
            self._door.say(event, self.candidate.generation, **fields)


Carry = Callable[[Swap], Awaitable[Event | None]]

_CARRY_OUT: dict[Command, Carry] = {
    Command.START: Swap._start,
    Command.PROBE: Swap._probe,
    Command.SWITCH: Swap._switch,
    Command.BAKE: Swap._bake,
    Command.DRAIN: Swap._drain,
    Command.STOP_CANDIDATE: Swap._stop_candidate,
    Command.FINISH: Swap._finish,
}
