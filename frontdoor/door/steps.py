"""The steps of a swap: each does its part, and says what came of it."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from frontdoor.door.answers import answer_back, answer_baked, answer_soon, left
from frontdoor.door.draining import report
from frontdoor.door.fleet import why_not_ready
from frontdoor.door.outcome import report_failure
from frontdoor.door.recipe import Recipe
from frontdoor.door.trial import Trial
from frontdoor.hooks.hooks import BEFORE_SWAP, BEFORE_SWITCH
from frontdoor.policy.generation import Happening, State
from frontdoor.policy.roster import STANDING_BY, Full
from frontdoor.policy.share import show_share
from frontdoor.policy.sticky import share_of
from frontdoor.policy.swap import Command, Event, Phase
from frontdoor.processes.backend import Backend
from frontdoor.waiting import cut_short, first_of

if TYPE_CHECKING:
    from frontdoor.door.swap import Swap

OUTPUT_SHOWN = 20
"""Last lines of a candidate's output that are part of the message when it fails."""

_HOW_TO_END = "frontdoor promote makes it the active one, frontdoor rollback takes it back"

WAIT_FOR_CANDIDATE = 1.0
"""Seconds that the answer to a failed swap waits for the candidate's end. The outcome is certain before."""


async def _ask(swap: "Swap") -> Event:
    # Before a hook is told its numbers: if this process dies while it runs, the next one must not give them again.
    # To switch to what stands by, with no hook to tell, nobody need wait for the disk: the keeper knows.
    if isinstance(swap.to, Backend) and not swap.door.hooks.asks(BEFORE_SWAP):
        await swap.door.tell_keeper()
    else:
        await swap.door.remember()
    swap.old = swap.door.switchboard.active
    rollback = True if swap.rollback else None
    canary = show_share(swap.plan.steps[0]) if swap.plan else None
    said = swap.say("swap.started", **swap.ends, rollback=rollback, canary=canary, note=swap.note)
    async with cut_short(swap.aborted):
        swap.problem = await swap.door.hooks.veto(BEFORE_SWAP, said) or ""
    if swap.aborted.is_set():
        return Event.ABORT
    return Event.VETO if swap.problem else Event.ALLOWED


async def _start(swap: "Swap") -> Event:
    if isinstance(swap.to, Backend):
        swap.candidate = swap.to
        return Event.TAKEN
    try:
        swap.door.make_room()
    except Full:
        pass  # there was room when this began: nothing can have taken it but a generation that came back
    swap.candidate = await swap.door.fleet.start(swap.generation, swap.to, swap.say_backend)
    return Event.STARTED


async def _probe(swap: "Swap") -> Event:
    assert swap.candidate is not None
    assert isinstance(swap.to, Recipe)
    deadline = swap.to.ready.deadline
    event = await swap.door.fleet.prove(swap.candidate, deadline, swap.aborted)
    if event in (Event.CANDIDATE_FAILED, Event.DEADLINE):
        swap.problem = why_not_ready(swap.candidate, event, deadline)
    if event is Event.PROVED_READY:
        swap.candidate.generation.happen(Happening.PROVED_READY, time.time())
    return event


async def _agree(swap: "Swap") -> Event:
    """Ask ``before_switch``, and wait for a reload's other doors. What happens in between, the switch looks for."""
    if swap.takes is None and swap.door.hooks.asks(BEFORE_SWITCH) and not await _may_switch(swap):
        return Event.ABORT if swap.aborted.is_set() else Event.CANDIDATE_FAILED
    if swap.go is not None:
        assert swap.candidate is not None
        swap.ready.set()
        await first_of(swap.go, swap.aborted, swap.candidate.finished)
    if swap.plan is None:
        return Event.AGREED
    if swap.aborted.is_set() or swap.door.leaving:
        return Event.ABORT
    if problem := _unfit(swap):
        swap.problem = problem
        return Event.CANDIDATE_FAILED
    return Event.TRIED


async def _may_switch(swap: "Swap") -> bool:
    """Whether the hook that is asked last lets it have streams. It is told where the candidate listens."""
    sockets = [seat.address for seat in swap.generation.seats]
    rollback = True if swap.rollback else None
    said = swap.say("swap.ready", **swap.ends, sockets=sockets, rollback=rollback)
    async with cut_short(swap.aborted):
        swap.problem = await swap.door.hooks.veto(BEFORE_SWITCH, said) or ""
    return not swap.problem and not swap.aborted.is_set()


async def _share(swap: "Swap") -> Event:
    """Give the canary its share, and watch it. No await comes between what was looked at last, and the share."""
    if swap.trial is None:
        assert swap.candidate is not None
        assert swap.plan is not None
        swap.old = swap.door.switchboard.active
        assert swap.old is not None
        swap.trial = Trial(swap.door, swap.generation, swap.old, swap.aborted, swap.say)
        swap.door.try_out(swap.candidate, share_of(swap.plan.by, swap.number, swap.plan.steps[0]))
        swap.trial.begin_canary(swap.plan)
        share = show_share(swap.plan.steps[0])
        swap.message = f"{swap.target} gets {share} of the new streams, {swap.old.id} the rest: {_HOW_TO_END}"
        answer_soon(swap)
    event = await swap.trial.canary()
    swap.problem = swap.trial.finding
    return event


async def _switch(swap: "Swap") -> Event:
    assert swap.candidate is not None
    # From here to the switch there is no await: what is decided is what is done.
    if swap.aborted.is_set() or swap.door.leaving:
        return Event.ABORT
    if problem := _unfit(swap):
        swap.problem = problem
        return Event.CANDIDATE_FAILED
    swap.old, swap.history = swap.door.switchboard.active, swap.door.history
    swap.draining = swap.door.switch(swap.candidate, swap.number)
    swap.switched = True
    bake = 0.0 if swap.rollback else swap.door.settings.swap.bake
    if bake and swap.old is not None:
        swap.trial = swap.trial or Trial(swap.door, swap.generation, swap.old, swap.aborted, swap.say)
        swap.trial.begin_probation(bake)
        swap.hold()
    else:
        swap.trial = None
    streams = swap.old.open if swap.old else 0
    swap.say("swap.switched", **swap.ends, streams=streams, bake_s=bake if swap.trial is not None else None)
    if swap.rollback:
        swap.say("swap.rolled_back", **swap.ends)
    swap.message = f"{swap.target} is active{left(swap)}"
    answer_soon(swap)
    if swap.trial is None:
        await swap.answered.wait()  # else it is watched from this instant on, however long the disk takes
    return Event.SWITCHED


def _unfit(swap: "Swap") -> str:
    """Why the candidate cannot be switched to at this instant; empty: it can."""
    assert swap.candidate is not None
    if swap.takes is None and swap.trial is None:  # a canary has been watched: how many crashes are too many is settled
        return "" if swap.candidate.alive() else swap.candidate.problem("it exited right after it was ready")
    if swap.candidate.generation.state not in STANDING_BY | {State.READY}:
        return "it was stopped in the meantime"
    why = swap.candidate.problem("they have just exited")
    return "" if swap.candidate.generation.able else f"none of its processes is up: {why}"


async def _bake(swap: "Swap") -> Event:
    if swap.trial is None:
        return Event.BAKED
    event = await swap.trial.bake()
    swap.problem = swap.trial.finding
    return event


async def _drain(swap: "Swap") -> Event:
    await first_of(swap.answered, swap.door.world.stopping)  # the way out waits for no disk
    swap.say("swap.settled", to=swap.target)
    answer_baked(swap)
    swap.trial = None
    swap.settled.set()
    await swap.door.remember()
    if swap.draining is not None:
        await swap.draining.finished.wait()
    return Event.DRAINED


async def _withdraw(swap: "Swap") -> None:
    """The canary gets no new stream any more; those that it has, it may finish."""
    _blame(swap)
    swap.door.withdraw(swap.number)


async def _switch_back(swap: "Swap") -> None:
    """The old generation, which still runs, gets the new streams again."""
    assert swap.old is not None
    _blame(swap)
    swap.door.switch_back(swap.old, swap.number, swap.history)


def _blame(swap: "Swap") -> None:
    """It was found wanting, if nobody else has ended this: so it is not kept for a rollback."""
    if swap.problem and swap.candidate is not None:
        swap.generation.problem = swap.problem
        swap.output = swap.candidate.ring.last(OUTPUT_SHOWN)


async def _stop_candidate(swap: "Swap") -> None:
    assert swap.candidate is not None
    if swap.takes is not None:
        return  # it is what it was before
    aborted = swap.phase is Phase.ABORTED
    swap.output = swap.candidate.ring.last(OUTPUT_SHOWN)
    happening = Happening.ABANDONED if aborted else Happening.FAILED
    swap.candidate.generation.happen_unless_late(happening, time.time())  # frontdoor's stop may have been first
    swap.candidate.generation.problem = swap.problem
    swap.door.world.nursery.start_soon(swap.door.fleet.stop, swap.candidate)
    assert isinstance(swap.to, Recipe)
    with trio.move_on_after(swap.to.backend.stop_timeout + 1 if aborted else WAIT_FOR_CANDIDATE):
        await swap.candidate.finished.wait()


async def _finish(swap: "Swap") -> None:
    swap.ready.set()
    if swap.phase is Phase.DONE:
        report(swap.operation, swap.target, swap.old.id if swap.old else "nothing", swap.draining)
    else:
        report_failure(swap, swap.door, swap.say)
    swap.trial = None
    if swap.verdict is not None:
        await answer_back(swap, swap.verdict)
    swap.settled.set()
    await swap.door.remember()


Carry = Callable[["Swap"], Awaitable[Event | None]]

CARRY_OUT: dict[Command, Carry] = {
    Command.ASK: _ask,
    Command.START: _start,
    Command.PROBE: _probe,
    Command.AGREE: _agree,
    Command.SHARE: _share,
    Command.SWITCH: _switch,
    Command.BAKE: _bake,
    Command.DRAIN: _drain,
    Command.WITHDRAW: _withdraw,
    Command.SWITCH_BACK: _switch_back,
    Command.STOP_CANDIDATE: _stop_candidate,
    Command.FINISH: _finish,
}
"""What does each command of the table in ``policy.swap``."""
