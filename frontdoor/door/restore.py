"""Going on from what the keeper holds, after the door process before this one has died."""

import math
import os
import time
from dataclasses import dataclass

from frontdoor.config import ConfigError, UnknownVersion
from frontdoor.control.operation import Operation
from frontdoor.control.operator import DONE, FAILED
from frontdoor.door.door import Door
from frontdoor.door.draining import Draining, report
from frontdoor.door.notes import DoorNote, GenerationNote, SwapNote
from frontdoor.door.recipe import Recipe
from frontdoor.door.survivors import Survivors
from frontdoor.door.swap import Swap
from frontdoor.keeper.link import ChildReport, Held
from frontdoor.policy.conduct import Conduct
from frontdoor.policy.generation import Generation, Happening, State
from frontdoor.policy.history import History
from frontdoor.processes.backend import Adopted
from frontdoor.processes.process import ready_key


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a door's streams."""

    streams: int
    """They go on; clients who have no backend yet are among them."""
    lost: int
    """They were open, and are no more. The ledger is not told yet."""


def restore(door: Door, held: Held, survivors: Survivors, unseated: int = 0) -> Restored | None:
    """Take up the door's generations and their streams. None: nothing is known of it, it is a first start.

    ``unseated``: so many clients go on who have no backend yet: they count as open streams.

    Raises Unreadable, before anything is done, or whatever else is wrong with what the keeper holds: to start anew in
    silence would end what still runs.
    """
    entry = held.take(f"door/{door.name}")
    if entry is None:
        return None
    note = DoorNote.decode(entry[0])
    door.fleet.next, door.next_operation = note.next_generation, note.next_swap
    if note.paused:
        door.pausing.restore(math.inf if note.paused_until is None else note.paused_until)
    door.maintaining.restore(note.maintenance)
    previous = note.previous.past() if note.previous else None
    door.history = History(previous, note.earlier)
    for generation in sorted(note.generations, key=lambda each: each.number != note.active):
        canary = _is_canary(note.swap, generation)
        _restore_generation(door, held, generation, survivors, active=generation.number == note.active, canary=canary)
    # Behind that of who is here: a generation is not drained as long as they have a lease of it.
    streams = survivors.seat(door) + unseated + door.world.predecessors.seat(door)
    lost = max(0, door.ledger.open - streams)
    _count_lost(door, note, lost)
    if note.swap is not None:
        _resume_swap(door, note.swap)
    door.noting.restored_from(note)
    return Restored(streams, lost)


def _is_canary(swap: SwapNote | None, generation: GenerationNote) -> bool:
    """Whether it had a share of the new streams."""
    if swap is None or swap.trial is None or swap.trial.walk is None:
        return False
    return swap.target == f"{generation.version}#{generation.number}"


def _restore_generation(
    door: Door, held: Held, note: GenerationNote, survivors: Survivors, *, active: bool, canary: bool
) -> None:
    generation = Generation(note.version, note.number, note.since)
    generation.total, generation.up_bytes, generation.down_bytes = note.total, note.up_bytes, note.down_bytes
    generation.conduct, generation.problem = Conduct.resumed(note.conduct), note.problem
    kept = held.take(f"config/{door.name}/{note.number}")
    try:
        if kept is None:
            raise KeyError(f"the keeper has no config of {generation.id}")
        recipe = Recipe.decode(kept[0], door.world.settings, door.name, note.version)
    except (ConfigError, UnknownVersion, KeyError, TypeError, ValueError) as error:
        # Its processes are left over then, and ended. None that serves is lost: it would have its config.
        about = {"door": door.name, "version": generation.version, "generation": generation.id}
        door.world.log.error("restore.failed", **about, error=str(error))
        return
    _keep_sockets(door, held, note.number)
    backend = door.fleet.restore(generation, recipe, _adopted(door, held, note.number))
    now = time.time()
    if active:
        generation.happen(Happening.PROVED_READY, now)
        door.switchboard.switch(generation, now)
        generation.since = note.since
    elif canary:
        generation.state, generation.since = State.READY, note.since  # its swap goes on, and gives it its share again
    elif note.state == State.DRAINING or (note.state == State.WARM and survivors.of(door.name, note.number)):
        # A warm one has streams again if the keeper was not told of their end: they will say so themselves.
        generation.state, generation.since = State.DRAINING, note.since
        door.resume_drain(backend, note.drain)
    elif note.state == State.WARM and (keep := _keeps(door, note, now)):
        generation.state = State.WARM
        door.keep_warm(backend, keep)
    else:
        # A candidate: its swap failed with the door process. Or one that is not kept any longer.
        generation.happen(Happening.STOPPED, now)
        door.world.nursery.start_soon(door.fleet.stop, backend)


def _keeps(door: Door, note: GenerationNote, now: float) -> float:
    """For how many seconds from now it is kept warm."""
    return max(0.0, door.settings.swap.keep_warm - max(0.0, now - note.since))


def _keep_sockets(door: Door, held: Held, number: int) -> None:
    """The listeners that the keeper has for its processes stay with the keeper: nobody needs them here."""
    for key in [key for key in held.entries if key.startswith(f"socket/{door.name}/g{number}/")]:
        entry = held.take(key)
        for fd in entry[1] if entry else ():
            os.close(fd)


def _adopted(door: Door, held: Held, number: int) -> Adopted:
    adopted: Adopted = {}
    for child in held.children:
        if not child.note or child.note.get("door") != door.name or child.note.get("number") != number:
            continue
        was_ready = held.take(ready_key(child.key)) is not None
        adopted[child.note["process"]] = (child, _output(door, held, child), was_ready)
    return adopted


def _output(door: Door, held: Held, child: ChildReport) -> int:
    """What the process prints. It lives, and its streams with it, even if nobody can read that any more."""
    _, fds = held.take(f"output/{child.key}") or (None, [])
    if fds:
        return fds[0]
    why = "the keeper does not have its output any more: it goes on, and what it prints is lost"
    door.world.log.error("restore.failed", door=door.name, process=child.key, pid=child.pid, reason=why)
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.close(write)
    return read


def _count_lost(door: Door, note: DoorNote, lost: int) -> None:
    """What a drain has lost counts as closed by it: as many as are missing, and no more than the door has lost."""
    for generation in note.generations:
        draining = door.draining.get(generation.number)
        if draining is not None:
            draining.cut += min(lost, max(0, generation.open - draining.backend.generation.open))


def _resume_swap(door: Door, note: SwapNote) -> None:
    """The last swap as those who asked were told, and what comes of the rest: a client comes back and asks."""
    operation = door.operations[note.number] = Operation(note.number)
    door.noting.restored = note, operation
    for milestone, outcome in note.outcomes.items():
        if outcome is not None:
            told = {key: value for key, value in outcome.items() if key not in ("event", "time", "swap")}
            operation.reach(milestone, **told)
    if note.trial is not None and (swap := _watched(door, note, operation)) is not None:
        door.begin_swap(swap)
        return
    if not note.switched:
        active = door.switchboard.active
        serves = f"{active.id} serves" if active else "nothing serves"
        operation.fail("failed", FAILED, f"frontdoor's door process died during the swap; {serves}; swap again")
        return
    operation.reach("baked", "switched", DONE, note.message)
    draining = next((each for each in door.draining.values() if each.swap == note.number), None)
    door.world.nursery.start_soon(_report_drain, door, note, operation, draining)


def _watched(door: Door, note: SwapNote, operation: Operation) -> Swap | None:
    """The swap whose candidate is to be watched on; None: one of the two generations is no more."""
    known = {generation.id: generation for generation in door.fleet.generations.values()}
    candidate, old = known.get(note.target), known.get(note.old or "")
    if candidate is None or old is None:
        if candidate is not None and candidate.state is State.READY:
            candidate.happen(Happening.STOPPED, time.time())  # a canary beside nothing
            door.world.nursery.start_soon(door.fleet.stop, door.fleet.backends[candidate.number])
        return None
    return Swap.resumed(door, door.fleet.backends[candidate.number], old, note, operation)


async def _report_drain(door: Door, note: SwapNote, operation: Operation, draining: Draining | None) -> None:
    if draining is not None:
        await draining.finished.wait()
    report(operation, note.target, note.old or "nothing", draining)
    await door.remember()
