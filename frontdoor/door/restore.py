"""Going on from what the keeper holds, after the door process before this one has died."""

import time

from frontdoor.config import parse
from frontdoor.control.operation import Operation
from frontdoor.control.operator import CUT, DONE, FAILED
from frontdoor.door.door import Door
from frontdoor.door.notes import DoorNote, GenerationNote
from frontdoor.keeper.link import Held
from frontdoor.policy.generation import Generation, Happening, State
from frontdoor.processes.backend import Adopted


def restore(door: Door, held: Held) -> int:
    """Take up the door's generations; how many streams were lost. Raises KeyError when nothing is known of it."""
    entry = held.take(f"door/{door.name}")
    if entry is None:
        raise KeyError(door.name)
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
    active = note.number == door.note.active
    kept = held.take(f"config/{door.name}/{note.number}")
    settings = door.settings if kept is None else parse(kept[0], door.world.settings.path).doors[door.name]
    backend = door.restore_backend(generation, settings.backend(note.version), _adopted(door, held, note.number))
    now = time.time()
    if active:
        generation.happen(Happening.PROVED_READY, now)
        door.switchboard.switch(generation, now)
        generation.since = note.since
    else:
        # A candidate: its swap failed with the door process. Or one that drained: its streams went with it.
        generation.state = State.STOPPING
        door.world.nursery.start_soon(door.stop_backend, backend)


def _adopted(door: Door, held: Held, number: int) -> Adopted:
    adopted: Adopted = {}
    for report in held.children:
        if report.note["door"] == door.name and report.note["number"] == number:
            output = held.take(f"output/{report.key}")
            if output is not None:
                adopted[report.note["process"]] = (report, output[1][0])
    return adopted


def _outcome(door: Door, note: DoorNote) -> Operation:
    """What can be said of the swap that was going on: a client comes back and asks."""
    swap = note.swap
    assert swap is not None
    operation = Operation(swap.number)
    active = door.switchboard.active
    serves = f"{active.id} serves" if active else "nothing serves"
    if swap.switched:
        operation.reach("baked", "switched", DONE, swap.message)
        message = f"{serves}; frontdoor's door process died, and the streams that were open then are lost"
        operation.reach("drained", "drained", CUT, message)
    else:
        operation.fail("failed", FAILED, f"frontdoor's door process died during the swap; {serves}; swap again")
    return operation
