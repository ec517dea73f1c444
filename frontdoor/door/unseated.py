"""Clients without a backend: those who wait for one, or owe a PROXY header, when a door process yields to the next.

The vault has them from then until the next one has taken them up, or this one goes on: no longer, for they may get a
backend at any time, and a stream that the keeper has too is another thing (``traffic.protection``).
"""

import os
from collections.abc import Sequence
from typing import Any

import trio

from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.garbage import Garbage
from frontdoor.keeper.link import Held, Link
from frontdoor.traffic.unseated import Unseated

KEY = "client/"

RETRY = 0.002
"""Seconds until the wire, which was full, is tried again."""

_TOGETHER = 250
"""Clients in one message: SCM_RIGHTS takes 253 descriptors (unix(7))."""
_DROPPED_TOGETHER = 1000


class Entrusted:
    """Those that the keeper has."""

    def __init__(self, held: Held | None = None) -> None:
        """Takes those out of ``held`` that the process before this one has left there."""
        self._keys: list[str] = []
        self._clients: dict[str, list[Unseated]] = {}
        """By door."""
        self.garbage = Garbage()
        entries = held.entries if held is not None else {}
        for key in [key for key in entries if key.startswith(KEY)]:
            note, fds = entries.pop(key)
            self._keys.append(key)
            try:
                self._clients.setdefault(note["door"], []).append(_decode(note, fds))
            except (KeyError, TypeError, ValueError) as error:
                self.garbage.add(key, fds, error)

    def __repr__(self) -> str:
        return f"<Entrusted {len(self._keys)}>"

    async def reserve(self, doors: Doors) -> None:
        """Put all that there are, and hear that the keeper has taken them. Raises Refused.

        They are put once more by ``entrust``, as they are then. What is posted may be refused, and nobody would hear of
        that in time; but there is room for as many as there were here, and no more of them come meanwhile.
        """
        link, done = doors.world.link, 0
        await self.drop(link)
        while len(parts := _parts(doors)) > done:  # anew each time: who is turned away meanwhile is closed
            part, done = parts[done], done + 1
            self._keys += [key for key, _, _ in part]  # first: it is carried out even if the wait for it is cancelled
            await link.put([(key, note, [fd]) for key, note, fd in part])

    def entrust(self, doors: Doors) -> bool:
        """Put all that there are. No await. False: the wire is full."""
        for part in _parts(doors):
            entries = [[key, note, 1] for key, note, _ in part]
            if not doors.world.link.post("put", [fd for _, _, fd in part], entries=entries):
                return False
            self._keys += [key for key, _, _ in part]
        return True

    def drop_now(self, link: Link) -> bool:
        """The keeper is to have them no longer. No await. False: the wire is full."""
        while self._keys:
            if not link.post("drop", keys=self._keys[:_DROPPED_TOGETHER]):
                return False
            del self._keys[:_DROPPED_TOGETHER]
        return True

    async def drop(self, link: Link) -> None:
        """The same, as soon as there is room in the wire."""
        while True:
            if self.drop_now(link):
                return
            await trio.sleep(RETRY)

    def of(self, door: str) -> int:
        """How many were left of that door."""
        return len(self._clients.get(door, ()))

    def take_up(self, doors: Sequence[Door]) -> None:
        """Go on with those that were left: they wait as before."""
        for door in doors:
            for client in sorted(self._clients.pop(door.name, ()), key=lambda client: client.since):
                door.world.listener.take_up(door.gate, client)
        for clients in self._clients.values():  # of a door that is no more
            for client in clients:
                os.close(client.fd)
        self._clients.clear()


def _parts(doors: Doors) -> list[list[tuple[str, dict[str, Any], int]]]:
    """All that there are, as key, note and descriptor; as many together as fit into a message."""
    found = list(doors.world.listener.unseated())
    entries = [(f"{KEY}{place}", _note(gate.name, client), client.fd) for place, (gate, client) in enumerate(found)]
    return [entries[first : first + _TOGETHER] for first in range(0, len(entries), _TOGETHER)]


def _note(door: str, client: Unseated) -> dict[str, Any]:
    return {
        "door": door,
        "address": client.address if isinstance(client.address, str | tuple) else "",
        "destination": client.destination,
        "since": client.since,
        "header": None if client.header is None else client.header.hex(),
    }


def _decode(note: dict[str, Any], fds: Sequence[int]) -> Unseated:
    (fd,) = fds
    address, destination = (tuple(of) if isinstance(of, list) else of for of in (note["address"], note["destination"]))
    header = note["header"]
    return Unseated(fd, address, destination, float(note["since"]), None if header is None else bytes.fromhex(header))
