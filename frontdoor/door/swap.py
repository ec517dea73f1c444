"""A swap: carries out what the table in ``policy.swap`` says, and feeds back what happened."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from frontdoor.control.operator import DONE, FAILED, NOT_READY
from frontdoor.control.wording import count
from frontdoor.door.draining import Draining, report
from frontdoor.door.fleet import why_not_ready
from frontdoor.door.recipe import Recipe
from frontdoor.policy.generation import Generation, Happening
from frontdoor.policy.roster import STANDING_BY, Full
from frontdoor.policy.swap import ABORTABLE, UNDER_WAY, Command, Event, Phase, step
from frontdoor.processes.backend import Backend
from frontdoor.waiting import cut_short, first_of

if TYPE_CHECKING:
    from frontdoor.door.door import Door

INTERRUPTED = 130
"""The shell's exit code for Ctrl-C: 128 and the number of SIGINT."""

OUTPUT_SHOWN = 20
"""Last lines of a candidate's output that are part of the message when it fails."""

WAIT_FOR_CANDIDATE = 1.0
"""Seconds that the answer to a failed swap waits for the candidate's end. The outcome is certain before."""


class Swap:
    """One swap of a door."""

    def __init__(
        self,
        door: "Door",
        to: Recipe | Backend,
        *,
        rollback: bool = False,
        go: trio.Event | None = None,
        note: str | None = None,
    ) -> None:
        """``to``: what to start a new generation from, or one that runs and is taken. ``note``: to whoever asked.

        ``go``: it waits for this when it is ready to switch, since it is to happen together with something else.
        """
        self.operation = door.operate()
        self.number = self.operation.number
        self.phase = Phase.ASKED
        self.candidate: Backend | None = None
        self.takes = to.generation.number if isinstance(to, Backend) else None
        """The number of a generation that ran before, and is not this swap's to stop."""
        self.old: Generation | None = None
        self.switched = False
        self.ready = trio.Event()
        """It waits for ``go``, or has failed."""
        self.settled = trio.Event()
        """It is not under way any more: the outcome is certain, and another one may begin."""
        self.ended = trio.Event()
        """Nothing more will become of it."""
        self._door = door
        self._to = to
        self._rollback = rollback
        self._go = go
        self._note = note
        self._generation = to.generation if isinstance(to, Backend) else door.fleet.add(to.version)
        self.message = f"the swap to {self.target} is under way"
        """What there is to say of it so far."""
        self._began = time.monotonic()
        self._abort = trio.Event()
        self._aborted_by = ""
        self._problem = ""
        self._output: list[str] = []
        self._draining: Draining | None = None

    def __repr__(self) -> str:
        return f"<Swap {self.number} to {self.target}, {self.phase}>"

    @property
    def under_way(self) -> bool:
        """Another swap of this door has to wait."""
        return self.phase in UNDER_WAY

    @property
    def target(self) -> str:
        """The candidate's id."""
        return self._generation.id

    def forget(self) -> None:
        """It has ended: what it went from and to may go, too. Else each swap would hold on to all that were before."""
        self.old = self.candidate = self._draining = None

    @property
    def _ends(self) -> dict[str, str | None]:
        return {"from": self.old.id if self.old else None, "to": self.target}

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it."""
        return {
            "number": self.number,
            "phase": str(self.phase),
            **self._ends,
            "elapsed_s": round(time.monotonic() - self._began, 3),
        }

    def abort(self, by: str = "") -> bool:
        """End it before the switch; ``by``: what does so, if it is not whoever asked for it. False: it is too late."""
        if self.switched or self.phase not in ABORTABLE:
            return False
        if not self._abort.is_set():
            self._aborted_by = by
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

    async def _ask(self) -> Event:
        # Before a hook is told its numbers: if this process dies while it runs, the next one must not give them again.
        # To switch to what stands by, with no hook to tell, nobody need wait for the disk: the keeper knows.
        if isinstance(self._to, Backend) and not self._door.hooks.vetoes:
            await self._door.tell_keeper()
        else:
            await self._door.remember()
        self.old = self._door.switchboard.active
        said = self._say("swap.started", **self._ends, rollback=True if self._rollback else None, note=self._note)
        async with cut_short(self._abort):
            self._problem = await self._door.hooks.veto(said) or ""
        if self._abort.is_set():
            return Event.ABORT
        return Event.VETO if self._problem else Event.ALLOWED

    async def _start(self) -> Event:
        if isinstance(self._to, Backend):
            self.candidate = self._to
            return Event.TAKEN
        try:
            self._door.make_room()
        except Full:
            pass  # there was room when this began: nothing can have taken it but a generation that came back
        self.candidate = await self._door.fleet.start(self._generation, self._to, self._say_backend)
        return Event.STARTED

    async def _probe(self) -> Event:
        assert self.candidate is not None
        assert isinstance(self._to, Recipe)
        deadline = self._to.ready.deadline
        event = await self._door.fleet.prove(self.candidate, deadline, self._abort)
        if event in (Event.CANDIDATE_FAILED, Event.DEADLINE):
            self._problem = why_not_ready(self.candidate, event, deadline)
        if event is Event.PROVED_READY:
            self.candidate.generation.happen(Happening.PROVED_READY, time.time())
        return event

    async def _agree(self) -> Event:
        """Wait for the other doors of a reload, if there are any. What happens in between, the switch looks for."""
        if self._go is not None:
            assert self.candidate is not None
            self.ready.set()
            await first_of(self._go, self._abort, self.candidate.finished)
        return Event.AGREED

    async def _switch(self) -> Event:
        assert self.candidate is not None
        # From here to the switch there is no await: what is decided is what is done.
        if self._abort.is_set() or self._door.leaving:
            return Event.ABORT
        if problem := self._unfit():
            self._problem = problem
            return Event.CANDIDATE_FAILED
        self._draining = self._door.switch(self.candidate, self.number)
        self.switched = True
        streams = self.old.open if self.old else 0
        self._say("swap.switched", **self._ends, streams=streams)
        if self._rollback:
            self._say("swap.rolled_back", **self._ends)
        self.message = f"{self.target} is active{self._left(streams)}"
        await self._door.remember()  # and then the answer: what was said to be so must be so after a crash too
        if problem := self._door.world.record.problem:
            self.message += f"; but a restart of frontdoor would not know of it: {problem}"
        self.operation.reach("switched", "switched", DONE, self.message, streams=streams)
        return Event.SWITCHED

    def _left(self, streams: int) -> str:
        if self.old is None:
            return ""
        return f"; {self.old.id} " + (f"drains {count(streams, 'stream')}" if streams else "had no open stream")

    def _unfit(self) -> str:
        """Why the candidate cannot be switched to at this instant; empty: it can."""
        assert self.candidate is not None
        if self.takes is None:
            return "" if self.candidate.alive() else self.candidate.problem("it exited right after it was ready")
        if self.candidate.generation.state not in STANDING_BY:
            return "it was stopped in the meantime"
        why = self.candidate.problem("they have just exited")
        return "" if self.candidate.generation.able else f"none of its processes is up: {why}"

    async def _bake(self) -> Event:
        return Event.BAKED

    async def _drain(self) -> Event:
        self._say("swap.settled", to=self.target)
        switched = self.operation.outcome("switched") or {}
        self.operation.reach("baked", "switched", DONE, self.message, streams=switched.get("streams"))
        await self._door.remember()
        self.settled.set()
        if self._draining is not None:
            await self._draining.finished.wait()
        return Event.DRAINED

    async def _stop_candidate(self) -> None:
        assert self.candidate is not None
        if self.takes is not None:
            return  # it is what it was before
        aborted = self.phase is Phase.ABORTED
        self._output = self.candidate.ring.last(OUTPUT_SHOWN)
        happening = Happening.ABANDONED if aborted else Happening.FAILED
        self.candidate.generation.happen_unless_late(happening, time.time())  # frontdoor's stop may have been first
        self.candidate.generation.problem = self._problem
        self._door.world.nursery.start_soon(self._door.fleet.stop, self.candidate)
        assert isinstance(self._to, Recipe)
        with trio.move_on_after(self._to.backend.stop_timeout + 1 if aborted else WAIT_FOR_CANDIDATE):
            await self.candidate.finished.wait()

    async def _finish(self) -> None:
        self.ready.set()
        serves = self._door.serves
        if self.phase is Phase.ABORTED:
            self._say("swap.aborted", **self._ends, reason=self._aborted_by or None)
            by = f" by {self._aborted_by}" if self._aborted_by else ""
            message = f"the swap to {self.target} was aborted{by} before the switch; {serves}"
            self.operation.fail("aborted", FAILED if self._aborted_by else INTERRUPTED, message)
        elif self.phase is Phase.VETOED:
            self._say("swap.vetoed", **self._ends, reason=self._problem)
            message = f"the swap to {self.target} was vetoed: {self._problem}; {serves}"
            self.operation.fail("vetoed", FAILED, message, reason=self._problem)
        elif self.phase is Phase.FAILED:
            self._say("swap.failed", **self._ends, reason=self._problem, output=self._output)
            message = f"{self.target} did not become ready ({self._problem}); {serves}"
            self.operation.fail("failed", NOT_READY, message, reason=self._problem, output=self._output)
        else:
            report(self.operation, self.target, self.old.id if self.old else "nothing", self._draining)
        self.settled.set()
        await self._door.remember()

    def broken(self, why: str) -> None:
        """Frontdoor itself failed in the middle of this swap, or stops. The outcomes that there are stay."""
        if self.under_way:
            self.phase = Phase.FAILED
        self.ready.set()
        self.settled.set()
        if self.switched:
            self.operation.reach("baked", "switched", DONE, self.message)
        self.operation.fail("failed", FAILED, f"the swap to {self.target} ended without an outcome: {why}")

    def _say(self, event: str, /, **fields: object) -> dict[str, Any]:
        """Publish an event of this swap, and show it to those who follow it."""
        return self._door.say(event, self._generation, swap=self.number, **fields)

    def _say_backend(self, event: str, /, **fields: object) -> None:
        """Publish an event of the candidate's processes. Once it is settled it has nothing to do with the swap."""
        if self.under_way:
            self._say(event, **fields)
        else:
            self._door.say(event, self._generation, **fields)


Carry = Callable[[Swap], Awaitable[Event | None]]

_CARRY_OUT: dict[Command, Carry] = {
    Command.ASK: Swap._ask,
    Command.START: Swap._start,
    Command.PROBE: Swap._probe,
    Command.AGREE: Swap._agree,
    Command.SWITCH: Swap._switch,
    Command.BAKE: Swap._bake,
    Command.DRAIN: Swap._drain,
    Command.STOP_CANDIDATE: Swap._stop_candidate,
    Command.FINISH: Swap._finish,
}
