"""The channel between a door process that stays after an upgrade and the one that serves: this side of it.

The keeper is given the other end before this process yields, with a note of what will be open here then.
"""

import os
from collections import Counter

from frontdoor.door.doors import Doors
from frontdoor.door.parcel import Place
from frontdoor.door.predecessors import KEY, note_of
from frontdoor.keeper import wire
from frontdoor.keeper.link import Link


class Channel:
    """For one try of an upgrade."""

    def __init__(self) -> None:
        self.key = f"{KEY}{os.getpid()}"
        self.ours, self._theirs = wire.pair()

    def __repr__(self) -> str:
        return f"<Channel {self.key}>"

    async def offer(self, link: Link) -> None:
        """Give the keeper the other end. Raises Refused."""
        await link.put([(self.key, note_of(Counter(), Counter()), [self._theirs.fileno()])])
        self._theirs.close()  # this process would never hear that nobody is there

    def post(self, doors: Doors) -> bool:
        """Have the keeper note what is open here, at once. False: there is no room in the wire."""
        return doors.world.link.post("note", key=self.key, note=note_of(*_open(doors)))

    def drop(self, link: Link) -> bool:
        """The keeper is to have it no longer: nobody stays. False: there is no room in the wire."""
        return link.post("drop", keys=[self.key])

    def close(self) -> None:
        """Nobody leaves."""
        self.ours.close()
        self._theirs.close()


def _open(doors: Doors) -> tuple[Counter[str], Counter[Place]]:
    """The streams that are exchanges, or may become one, by door; and their leases."""
    streams, leases = Counter[str](), Counter[Place]()
    for door in doors:
        for visitor in doors.world.exchanges.visitors(door.gate):
            streams[door.name] += visitor.counted
            seat = visitor.exchange.seat if visitor.exchange is not None else None
            if seat is not None:
                leases[door.name, seat.generation.number, seat.process] += 1
    return streams, leases
