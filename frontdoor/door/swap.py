"""A swap: carries out what the table in ``policy.swap`` says, and feeds back what happened."""

import time
from typing import TYPE_CHECKING, Any

import trio

from frontdoor.control.operation import Operation
from frontdoor.control.operator import DONE, FAILED
from frontdoor.door.answers import answer_soon
from frontdoor.door.draining import Draining
from frontdoor.door.notes import SwapNote
from frontdoor.door.recipe import Recipe
from frontdoor.door.steps import CARRY_OUT
from frontdoor.door.trial import Trial
from frontdoor.policy.canary import Plan
from frontdoor.policy.generation import Generation
from frontdoor.policy.sticky import share_of
from frontdoor.policy.swap import ABORTABLE, UNDER_WAY, Event, Phase, step
from frontdoor.processes.backend import Backend

if TYPE_CHECKING:
    from frontdoor.door.door import Door


class Swap:
    """One swap of a door."""

    def __init__(
        self,
        door: "Door",
        to: Recipe | Backend,
        *,
        rollback: bool = False,
        plan: Plan | None = None,
        go: trio.Event | None = None,
        note: str | None = None,
        operation: Operation | None = None,
    ) -> None:
        """``to``: what to start a new generation from, or one that runs and is taken. ``note``: to whoever asked.

        ``plan``: begin as a canary, like that. ``go``: it waits for this when it is ready to switch, since it is to
        happen together with something else. ``operation``: that of the swap that this one goes on with.
        """
        self.operation = operation or door.operate()
        self.number = self.operation.number
        self.phase = Phase.ASKED
        self.candidate: Backend | None = None
        self.takes = to.generation.number if isinstance(to, Backend) else None
        """The number of a generation that ran before, and is not this swap's to stop."""
        self.old: Generation | None = None
        self.switched = False
        self.trial: Trial | None = None
        """While the candidate is watched, as a canary or after the switch."""
        self.ready = trio.Event()
        """It waits for ``go``, or has failed."""
        self.settled = trio.Event()
        """It is not under way any more: the outcome is certain, and another one may begin."""
        self.answered = trio.Event()
        """Those who wait for what was reached last have been told of it."""
        self.answered.set()
        self.verdict: dict[str, Any] | None = None
        """What those who wait are told when it is so after a crash too. If this process dies before, the next one does.
        """
        self.ended = trio.Event()
        """Nothing more will become of it."""
        self.door = door
        self.to = to
        self.rollback = rollback
        self.plan = plan
        """Begin as a canary, like that."""
        self.go = go
        """Wait for it before the switch."""
        self.note = note
        self.generation = to.generation if isinstance(to, Backend) else door.fleet.add(to.version)
        self.message = f"the swap to {self.target} is under way"
        """What there is to say of it so far."""
        self.history = door.history
        """Where a rollback led before the switch."""
        self._began = time.monotonic()
        self.aborted = trio.Event()
        """Somebody ends it."""
        self.aborted_by = ""
        """What does so, if it is not whoever asked for it."""
        self.problem = ""
        """Why the candidate is not what serves."""
        self.output: list[str] = []
        """What it printed last, if it has failed."""
        self.draining: Draining | None = None
        """Of the old generation, after the switch."""

    @classmethod
    def resumed(cls, door: "Door", candidate: Backend, old: Generation, note: SwapNote, operation: Operation) -> "Swap":
        """One that a door process was in the middle of, and died: the candidate has streams, and is watched on.

        ``operation``: it has the outcomes that there were.
        """
        assert note.trial is not None
        swap = cls(door, candidate, operation=operation)
        swap.phase, swap.candidate, swap.old = Phase.RESUMED, candidate, old
        swap.switched, swap.message = note.switched, note.message
        if note.before is not None:
            swap.history = note.before.history()
        swap.trial = Trial(door, candidate.generation, old, swap.aborted, swap.say)
        swap.trial.resume(note.trial)
        if note.switched:
            swap.draining = door.draining.get(old.number)
            swap.hold()
        elif (walk := swap.trial.walk) is not None:
            door.try_out(candidate, share_of(walk.plan.by, swap.number, walk.share))
        return swap

    def __repr__(self) -> str:
        return f"<Swap {self.number} to {self.target}, {self.phase}>"

    @property
    def under_way(self) -> bool:
        """Another swap of this door has to wait."""
        return self.phase in UNDER_WAY

    @property
    def target(self) -> str:
        """The candidate's id."""
        return self.generation.id

    @property
    def canary(self) -> Trial | None:
        """The trial, while the candidate is a canary."""
        return self.trial if self.phase is Phase.CANARY else None

    @property
    def way_out(self) -> str:
        """What whoever is kept out by it can do."""
        if self.canary is not None:
            return "end it first, with frontdoor promote or frontdoor rollback"
        return "wait until it has ended, and try again"

    def forget(self) -> None:
        """It has ended: what it went from and to may go, too. Else each swap would hold on to all that were before."""
        self.old = self.candidate = self.trial = self.draining = None

    @property
    def ends(self) -> dict[str, str | None]:
        """Where it leads from and to, for its events."""
        return {"from": self.old.id if self.old else None, "to": self.target}

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it."""
        left = self.trial.left if self.trial is not None else None
        return {
            "number": self.number,
            "phase": str(self.phase),
            **self.ends,
            "elapsed_s": round(time.monotonic() - self._began, 3),
            **({} if left is None else {"bake_left_s": round(left, 1)}),
        }

    def abort(self, by: str = "") -> bool:
        """End it before the switch; ``by``: what does so, if it is not whoever asked for it. False: it is too late."""
        return not self.switched and self.phase in ABORTABLE and self._end(by)

    def undo(self, by: str) -> bool:
        """Go back to the old generation within the probation. False: there is none, or the old one cannot serve."""
        able = self.phase is Phase.BAKING and self.old is not None and self.old.able
        return able and self.trial is not None and self._end(by)

    def overtake(self, by: str) -> None:
        """Another one begins, and this one is past its switch: what it has switched to is not watched any longer."""
        if self.trial is not None:
            self.trial.end(f"{by} came before the end of its probation")

    def _end(self, by: str) -> bool:
        if not self.aborted.is_set():
            self.aborted_by = by
        self.aborted.set()
        return True

    async def run(self) -> None:
        """From the first process of the candidate to the last stream of the old generation."""
        event: Event | None = Event.BEGIN
        if self.phase is Phase.RESUMED:
            answer_soon(self)  # perhaps nobody was told yet, or the disk
            event = Event.PROBATION_GOES_ON if self.switched else Event.CANARY_GOES_ON
        while event is not None:
            self.phase, commands = step(self.phase, event)
            event = None
            for command in commands:
                event = await CARRY_OUT[command](self) or event

    def hold(self) -> None:
        """The old generation stays as it is until it is certain that it is not needed: all its streams, and itself."""
        if self.draining is not None:
            self.draining.reserve(self.settled)
        for draining in self.door.draining.values():  # those of earlier swaps too: their clients would all go to it
            draining.hold(self.settled)

    def broken(self, why: str) -> None:
        """Frontdoor itself failed in the middle of this swap, or stops. The outcomes that there are stay."""
        if self.under_way:
            self.phase = Phase.FAILED
        self.ready.set()
        self.settled.set()
        if self.switched:  # while it is watched nothing more is certain
            self.operation.reach("switched" if self.trial is not None else "baked", "switched", DONE, self.message)
        self.operation.fail("failed", FAILED, f"the swap to {self.target} ended without an outcome: {why}")

    def say(self, event: str, /, **fields: object) -> dict[str, Any]:
        """Publish an event of this swap, and show it to those who follow it."""
        return self.door.say(event, self.generation, swap=self.number, **fields)

    def say_backend(self, event: str, /, **fields: object) -> None:
        """Publish an event of the candidate's processes. Once it is settled it has nothing to do with the swap."""
        if not self.settled.is_set():  # also when it has been aborted, and is being stopped
            self.say(event, **fields)
        else:
            self.door.say(event, self.generation, **fields)
