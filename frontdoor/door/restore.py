"""Going on from what the keeper holds, after the door process before this one has died."""

import os
import time

from frontdoor.config import ConfigError, UnknownVersion
from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED
from frontdoor.door.door import Door
from frontdoor.door.notes import DoorNote, GenerationNote
from frontdoor.door.recipe import Recipe
from frontdoor.keeper.link import Held
from frontdoor.policy.generation import Generation, Happening, State
from frontdoor.policy.history import History, Past
from frontdoor.policy.roster import STANDING_BY
from frontdoor.processes.backend import Adopted
from frontdoor.processes.process import ready_key


def restore(door: Door, held: Held) -> int | None:
    """Take up the door's generations; how many streams were lost. None: nothing is known of it, it is a first start.

    Raises whatever is wrong with what the keeper holds: to start anew in silence would end what still runs.
    """
    entry = held.take(f"door/{door.name}")
    if entry is None:
        return None
    note = DoorNote.decode(entry[0])
    door.fleet.next, door.next_operation, door.paused = note.next_generation, note.next_swap, note.paused
    previous = Past(note.previous.version, note.previous.number) if note.previous else None
    door.history = History(previous, note.earlier)
    lost = door.ledger.restore()
    for generation in note.generations:
        _restore_generation(door, held, generation, active=generation.number == note.active)
    if note.swap is not None:
        door.operations[note.swap.number] = _outcome(door, note)
    return lost


def _restore_generation(door: Door, held: Held, note: GenerationNote, *, active: bool) -> None:
    generation = Generation(note.version, note.number, note.since)
    generation.total, generation.up_bytes, generation.down_bytes = note.total, note.up_bytes, note.down_bytes
    kept = held.take(f"config/{door.name}/{note.number}")
    try:
        if kept is None:
            raise KeyError(f"the keeper has no config of {generation.id}")
        recipe = Recipe.decode(kept[0], door.world.settings.path, door.name, note.version)
    except (ConfigError, UnknownVersion, KeyError, TypeError, ValueError) as error:
        # Its processes are left over then, and ended. None that serves is lost: it would have its config.
        door.world.log.error("restore.failed", generation=generation.id, error=str(error))
        return
    _keep_sockets(door, held, note.number)
    backend = door.fleet.restore(generation, recipe, _adopted(door, held, note.number))
    now = time.time()
    if active:
        generation.happen(Happening.PROVED_READY, now)
        door.switchboard.switch(generation, now)
        generation.since = note.since
    elif note.state in STANDING_BY and (keep := _keeps(door, note, now)):
        # One that drained has nothing left to drain: its streams went with the door process.
        generation.state = State.WARM
        door.keep_warm(backend, keep)
    else:
        # A candidate: its swap failed with the door process. Or one that is not kept any longer.
        generation.happen(Happening.STOPPED, now)
        door.world.nursery.start_soon(door.fleet.stop, backend)


def _keeps(door: Door, note: GenerationNote, now: float) -> float:
    """For how many seconds from now it is kept warm."""
    been_warm = max(0.0, now - note.since) if note.state == State.WARM else 0.0
    return max(0.0, door.settings.swap.keep_warm - been_warm)


def _keep_sockets(door: Door, held: Held, number: int) -> None:
    """The listeners that the keeper has for its processes stay with the keeper: nobody needs them here."""
    for key in [key for key in held.entries if key.startswith(f"socket/{door.name}/g{number}/")]:
        entry = held.take(key)
        for fd in entry[1] if entry else ():
            os.close(fd)


def _adopted(door: Door, held: Held, number: int) -> Adopted:
    adopted: Adopted = {}
    for report in held.children:
        if not report.note or report.note.get("door") != door.name or report.note.get("number") != number:
            continue
        output = held.take(f"output/{report.key}")
        if output is not None:
            was_ready = held.take(ready_key(report.key)) is not None
            adopted[report.note["process"]] = (report, output[1][0], was_ready)
    return adopted


def _outcome(door: Door, note: DoorNote) -> Operation:
    """The last swap as those who asked were told, and what can be said of the rest: a client comes back and asks."""
    swap = note.swap
    assert swap is not None
    operation = Operation(swap.number)
    for milestone, outcome in swap.outcomes.items():
        if outcome is not None:
            told = {key: value for key, value in outcome.items() if key not in ("event", "time", "swap")}
            operation.reach(milestone, **told)
    active = door.switchboard.active
    serves = f"{active.id} serves" if active else "nothing serves"
    if swap.switched:
        operation.reach("baked", "switched", DONE, swap.message)
        message = f"{serves}; frontdoor's door process died, and the streams that were open then are lost"
        operation.reach("drained", "drained", CUT, message)
    else:
        operation.fail("failed", FAILED, f"frontdoor's door process died during the swap; {serves}; swap again")
    return operation
