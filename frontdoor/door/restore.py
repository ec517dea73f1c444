"""Going on from what the keeper holds, after the door process before this one has died."""

import time

from frontdoor.config import ConfigError, UnknownVersion, parse
from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED
from frontdoor.door.door import Door
from frontdoor.door.notes import DoorNote, GenerationNote
from frontdoor.keeper.link import Held
from frontdoor.policy.generation import Generation, Happening
from frontdoor.processes.backend import Adopted
from frontdoor.processes.process import ready_key


def restore(door: Door, held: Held) -> int | None:
    """Take up the door's generations; how many streams were lost. None: nothing is known of it, it is a first start.

    Raises whatever is wrong with what the keeper holds: to start anew in silence would end what still runs.
    """
    entry = held.take(f"door/{door.name}")
    if entry is None:
        return None
    note = door.note = DoorNote.decode(entry[0])
    lost = door.ledger.restore()
    for generation in note.generations:
        _restore_generation(door, held, generation)
    if note.swap is not None:
        door.operations[note.swap.number] = _outcome(door, note)
    return lost


def _restore_generation(door: Door, held: Held, note: GenerationNote) -> None:
    generation = Generation(note.version, note.number, note.since)
    generation.total, generation.up_bytes, generation.down_bytes = note.total, note.up_bytes, note.down_bytes
    kept = held.take(f"config/{door.name}/{note.number}")
    try:
        settings = door.settings if kept is None else parse(kept[0], door.world.settings.path).doors[door.name]
        backend_settings = settings.backend(note.version)
    except (ConfigError, UnknownVersion) as error:
        # Its processes are left over then, and ended. None that serves is lost: it would have its config.
        door.world.log.error("restore.failed", generation=generation.id, error=str(error))
        return
    backend = door.restore_backend(generation, backend_settings, _adopted(door, held, note.number))
    now = time.time()
    if note.number == door.note.active:
        generation.happen(Happening.PROVED_READY, now)
        door.switchboard.switch(generation, now)
        generation.since = note.since
    else:
        # A candidate: its swap failed with the door process. Or one that drained: its streams went with it.
        generation.happen(Happening.STOPPED, now)
        door.world.nursery.start_soon(door.stop_backend, backend)


def _adopted(door: Door, held: Held, number: int) -> Adopted:
    adopted: Adopted = {}
    for report in held.children:
        if report.note["door"] == door.name and report.note["number"] == number:
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
