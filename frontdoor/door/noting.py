"""Noting: the keeper is told how a door stands, so that the next door process goes on from there."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from frontdoor.control.operation import MILESTONES, Operation
from frontdoor.door.notes import DoorNote, GenerationNote, HistoryNote, PastNote, SwapNote
from frontdoor.keeper.link import Refused
from frontdoor.policy.generation import ENDED, Generation

if TYPE_CHECKING:
    from frontdoor.door.door import Door


class Noting:
    """Of one door."""

    def __init__(self, door: "Door") -> None:
        self._door = door
        self._told: DoorNote | None = None
        """What the keeper was told last."""
        self.restored: tuple[SwapNote, Operation] | None = None
        """The last swap, if it was begun by a door process that has died since, and what has become of it."""

    def __repr__(self) -> str:
        return f"<Noting of {self._door.name}>"

    def restored_from(self, note: DoorNote) -> None:
        """The keeper has this one."""
        self._told = note

    async def tell(self) -> None:
        """Tell the keeper how things stand."""
        self._told = note = self._note()
        try:
            await self._door.world.link.request("note", key=f"door/{self._door.name}", note=note.encode())
        except Refused as error:
            # It serves all the same; a crash of this process now would take it back to what was noted last.
            self._door.world.log.error("note.failed", door=self._door.name, error=error.strerror)

    async def refresh(self) -> None:
        """Tell it if it has changed: counts do, all the time."""
        # Nothing was told yet while the first generation is being started: a crash begins anew then.
        if self._told is not None and self._told != self._note():
            await self.tell()

    def post(self) -> bool:
        """Tell it at once, without waiting for an answer. False: the wire is full."""
        # Nothing was told yet: as in refresh.
        return self._told is None or self._door.world.link.post(
            "note", key=f"door/{self._door.name}", note=self._note().encode()
        )

    def _note(self) -> DoorNote:
        door = self._door
        active = door.switchboard.active
        return DoorNote(
            next_generation=door.fleet.next,
            next_swap=door.next_operation,
            active=active.number if active else None,
            generations=[self._generation(g) for g in door.fleet.generations.values() if g.state not in ENDED],
            swap=self._swap(),
            previous=PastNote.of(door.history.previous),
            earlier=door.history.earlier,
            paused=door.pausing.paused,
            paused_until=None if math.isinf(door.pausing.until) else door.pausing.until,
            maintenance=door.maintaining.now,
        )

    def _generation(self, generation: Generation) -> GenerationNote:
        draining = self._door.draining.get(generation.number)
        return GenerationNote(
            version=generation.version,
            number=generation.number,
            state=str(generation.state),
            since=generation.since,
            total=generation.total,
            up_bytes=generation.up_bytes,
            down_bytes=generation.down_bytes,
            open=generation.open,
            drain=draining.note() if draining is not None else None,
            conduct=generation.conduct.note(),
            problem=generation.problem,
        )

    def _swap(self) -> SwapNote | None:
        swap = self._door.swap
        if swap is not None:
            outcomes = {name: swap.operation.outcome(name) or swap.verdict for name in MILESTONES}
            return SwapNote(
                number=swap.number,
                switched=swap.switched,
                message=swap.message,
                outcomes=outcomes,
                old=swap.old.id if swap.old else None,
                target=swap.target,
                trial=swap.trial.note() if swap.trial is not None else None,
                before=HistoryNote.of(swap.history),
            )
        if self.restored is not None:
            note, operation = self.restored
            return replace(note, outcomes={name: operation.outcome(name) for name in MILESTONES})
        return None
