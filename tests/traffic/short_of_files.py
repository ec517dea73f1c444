"""A door in a process of its own that has few descriptors: ``python -m traffic.short_of_files SOCKET LIMIT``.

It prints its port; and for each line on stdin what it has seen up to then. It leaves at the end of stdin.
"""

import json
import os
import resource
import sys
import time

import trio

from frontdoor.traffic.sweeper import TICK
from traffic.relay_under_test import Door, open_door


async def sweep(door: Door) -> None:
    """What the thread's main loop does."""
    while True:
        await trio.sleep(TICK)
        door.sweeper.sweep(time.monotonic())


async def main(backend: str, limit: int) -> None:
    async with open_door(backlog=None) as door:
        door.backend.seat.address = backend
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sweep, door)
            print(door.address[1], flush=True)
            asked = trio.lowlevel.FdStream(os.dup(0))
            while await asked.receive_some(1):
                seen = {
                    "accepted": door.ledger.accepted,
                    "open": door.ledger.open,
                    "ended": door.ledger.ended,
                    "episodes": door.episodes,
                    "full": door.gate.full,
                    "turns": door.relay.turns,
                    "cpu": time.process_time(),
                }
                print(json.dumps(seen), flush=True)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
