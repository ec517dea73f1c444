"""The notice: each process of a generation is told that it drains, so that an app may ask its clients to come back."""

from typing import TYPE_CHECKING, Any

import trio

from frontdoor.processes.notice import give

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.processes.backend import Backend
    from frontdoor.processes.member import Member


async def tell(door: "Door", backend: "Backend", swap: int | None) -> None:
    """Tell all of them at once, and wait until each has answered or its time is over. ``swap``: the one that did it.

    A notice that was in vain is said, and changes nothing else.
    """
    generation, active = backend.generation, door.switchboard.active
    told = {
        "event": "drain.started",
        "door": door.name,
        "version": generation.version,
        "generation": generation.id,
        "to": active.id if active is not None else None,
    }
    async with trio.open_nursery() as nursery:
        for member in backend.processes:
            nursery.start_soon(_tell, door, member, told, swap)


async def _tell(door: "Door", member: "Member", told: dict[str, Any], swap: int | None) -> None:
    settings = door.settings.drain
    problem = await give(member, settings.notify, settings.notify_timeout, told)
    if problem:
        reason = f"it was not told that it drains: {problem}; its streams go on, and are closed as the config says"
        pid = member.pid or None
        door.say("drain.notify_failed", member.seat.generation, swap=swap, pid=pid, reason=reason)
