"""Trouble where new streams go: whoever is sent away from elsewhere would meet it."""

import time
from typing import TYPE_CHECKING

from frontdoor.control.wording import count

if TYPE_CHECKING:
    from frontdoor.door.door import Door

TROUBLED_FOR = 5.0
"""Seconds without any trouble after which there is none."""


def trouble(door: "Door") -> str:
    """What is wrong there now, in words; empty: nothing."""
    if waiting := door.world.listener.waiting(door.gate):
        return f"{count(waiting, 'client')} {'waits' if waiting == 1 else 'wait'} for a backend"
    now = time.monotonic()
    for generation in (door.switchboard.active, door.switchboard.canary):
        if generation is None:
            continue
        # Not whether it is able: to ask that ten times a second would be as many dials of an external one.
        if not any(seat.up and not seat.gone() for seat in generation.seats):
            return f"no process of {generation.id} is up"
        if now - generation.conduct.troubled_at < TROUBLED_FOR:
            return f"a process of {generation.id} has exited, or a dial of it failed or took long"
    return ""
