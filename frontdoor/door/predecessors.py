"""Predecessors: door processes that this one has replaced, and that finish the exchanges which they had begun.

Each has a channel to here (``door.departure`` is its other end). Until it says that an exchange is over, that counts as
an open stream here, with its lease: so no backend is stopped under it, a drain waits for it, and so does a stop. The
keeper has this end of the channel, too, and a note of what is open: should this process die, the next one goes on.
"""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from frontdoor.door.garbage import Garbage
from frontdoor.door.parcel import Joined, Left, Parcel, Place, decode
from frontdoor.keeper import wire
from frontdoor.keeper.link import Held
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Reason

if TYPE_CHECKING:
    from frontdoor.door.door import Door
    from frontdoor.door.world import World

KEY = "predecessor/"
"""Where the keeper keeps them."""

AT_ONCE = 16
"""Parcels that are opened in a row: streams have their turn in between."""


def note_of(open_: Counter[str], leases: Counter[Place]) -> dict[str, Any]:
    """What the keeper notes of one: open streams by door, and leases."""
    return {"open": dict(open_), "leases": [[*place, count] for place, count in leases.items()]}


class Predecessor:
    """One of them."""

    def __init__(self, key: str, channel: socket.socket, note: Any) -> None:
        """Raises KeyError, TypeError, ValueError when that is no note of one."""
        self.key = key
        self.pid = int(key.removeprefix(KEY))
        self.channel = channel
        self.open = Counter[str]({str(door): int(count) for door, count in note["open"].items()})
        """Streams that are not over, in the ledger's words, by door."""
        self.leases = Counter[Place]()
        for door, generation, process, count in note["leases"]:
            self.leases[str(door), int(generation), int(process)] += int(count)
        self.closing: set[Place] = set()
        """It was told to end what it has there."""
        self.told = True
        """The keeper's note says so."""
        self.stays = self.open.total() > 0
        """It had something to finish. Else it has only said that it might have."""

    def __repr__(self) -> str:
        return f"<Predecessor {self.pid}: {self.open.total()} open>"

    def note(self) -> dict[str, Any]:
        """For the keeper."""
        return note_of(+self.open, +self.leases)


class Predecessors:
    """All of them. What they say is not heard before the relay makes its turns."""

    def __init__(self, held: Held) -> None:
        """Takes them out of ``held``."""
        self.garbage = Garbage()
        self._all: list[Predecessor] = []
        self._doors: dict[str, Door] = {}
        self._seats: dict[Place, Seat] = {}
        """Those that they have leases of."""
        self._world: World | None = None
        for key in [key for key in held.entries if key.startswith(KEY)]:
            note, fds = held.entries.pop(key)
            try:
                (fd,) = fds
                sock = socket.socket(fileno=fd)
            except (ValueError, OSError) as error:
                self.garbage.add(key, fds, error)
                continue
            sock.setblocking(False)
            try:
                self._all.append(Predecessor(key, sock, note))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.garbage.add(key, [sock.detach()], error)

    def __repr__(self) -> str:
        return f"<Predecessors {self._all}>"

    def __iter__(self) -> Iterator[Predecessor]:
        return iter(list(self._all))

    # -- the beginning ----------------------------------------------------------------------------------------------

    def seat(self, door: "Door") -> int:
        """Give them the leases of that door again; how many open streams they have there."""
        self._doors[door.name] = door
        seats = {
            (door.name, generation.number, seat.process): seat
            for generation in door.fleet.generations.values()
            for seat in generation.seats
        }
        for each in self._all:
            for place, count in each.leases.items():
                if place in seats:
                    self._seats[place] = seats[place]
                    door.switchboard.retake(seats[place], count)
        return sum(each.open[door.name] for each in self._all)

    def begin(self, world: "World") -> None:
        """All doors have been restored: hear what they say from here on."""
        self._world = world
        for each in self._all:
            if each.stays:
                world.log.info("predecessor.stays", pid=each.pid, requests=each.open.total())
            world.relay.listen(each.channel.fileno(), partial(self._hear, each))

    def status(self) -> list[dict[str, object]]:
        """As ``status --json`` shows it: those that have something to finish."""
        return [{"pid": each.pid, "requests": each.open.total()} for each in self._all if each.open.total()]

    # -- what is asked of them --------------------------------------------------------------------------------------

    def of(self, generation: Generation) -> int:
        """How many leases of that generation they have."""
        return sum(
            each.leases[place]
            for place, seat in self._seats.items()
            if seat.generation is generation
            for each in self._all
        )

    def at(self, door: str) -> int:
        """How many streams of that door they have open."""
        return sum(each.open[door] for each in self._all)

    def close(self, door: str, generation: Generation | None, reason: Reason) -> int:
        """Have what they have there ended before its time. ``generation``: None is any.

        How many leases of theirs had not been told of before.
        """
        number, closed = generation.number if generation is not None else None, 0
        order = wire.encode({"op": "close", "door": door, "generation": number, "reason": reason})
        for each in self._all:
            told = [place for place in each.leases if place[0] == door and number in (None, place[1])]
            if not told and (number is not None or not each.open[door]):
                continue
            try:
                wire.send(each.channel, order)
            except OSError:
                continue  # it has ended, which will be heard; or it does not listen, and is asked again
            closed += sum(each.leases[place] for place in told if place not in each.closing)
            each.closing.update(told)
        return closed

    def abandon(self, door: "Door", reason: Reason) -> None:
        """Wait for nothing any more that they have there."""
        for each in self._all:
            self._release(each, door, reason)

    def post(self) -> bool:
        """Have the keeper note how it stands, at once. False: there is no room in the wire."""
        return all(self._note(each) for each in self._all)

    # -- what they say ----------------------------------------------------------------------------------------------

    def _hear(self, each: Predecessor) -> None:
        for _ in range(AT_ONCE):
            try:
                message = wire.receive(each.channel)
            except BlockingIOError:
                break
            except (EOFError, OSError):
                self._ended(each)
                return
            except wire.Garbage:
                continue
            self._open(each, message)
        self._note(each)

    def _open(self, each: Predecessor, message: wire.Message) -> None:
        assert self._world is not None
        try:
            if message.truncated:
                raise ValueError("this process has no room for the descriptors")
            parcel = decode(message)
        except (KeyError, TypeError, ValueError, OSError) as error:
            message.close()
            self._world.log.error("predecessor.garbage", pid=each.pid, reason=str(error))
            return
        each.told = False
        for door_name, client in parcel.clients:
            door = self._doors.get(door_name)
            each.open[door_name] -= client.counted
            if door is not None and door.gate.http is not None:
                self._world.exchanges.take_up(door.gate, client)
                continue
            os.close(client.fd)
            if client.counted and door is not None:
                door.ledger.end(Reason.LOST)
        for stream in parcel.streams:
            self._join(each, stream)
        self._count(each, parcel)
        self._world.relay.close_now()

    def _join(self, each: Predecessor, joined: Joined) -> None:
        """An exchange has become a stream: it has the lease from here on."""
        world, seat, door = self._world, self._seats.get(joined.place), self._doors.get(joined.place[0])
        assert world is not None
        client_fd, backend_fd = joined.fds
        each.open[joined.place[0]] -= 1
        each.leases[joined.place] -= 1
        if seat is None or door is None:
            os.close(client_fd)
            os.close(backend_fd)
        else:
            try:
                stream = world.relay.join(door.gate, seat, joined.client, client_fd, backend_fd)
            except OSError:
                os.close(client_fd)
                door.switchboard.release(seat)
            else:
                stream.since = joined.since
                stream.up.moved, stream.down.moved = joined.moved
                return
        if door is not None:
            door.ledger.end(Reason.LOST)

    def _count(self, each: Predecessor, parcel: Parcel) -> None:
        for (door_name, reason), count in parcel.ended.items():
            each.open[door_name] -= count
            if (door := self._doors.get(door_name)) is not None:
                for _ in range(count):
                    door.ledger.end(reason)
        for place, left in parcel.left.items():
            self._give_back(each, place, left)

    def _give_back(self, each: Predecessor, place: Place, left: Left) -> None:
        each.leases[place] -= left.streams
        seat, door = self._seats.get(place), self._doors.get(place[0])
        if seat is None or door is None:
            return
        seat.generation.up_bytes += left.up_bytes
        seat.generation.down_bytes += left.down_bytes
        for _ in range(left.streams):
            door.switchboard.release(seat)

    def _release(self, each: Predecessor, door: "Door", reason: Reason) -> None:
        """Nothing more comes of what it has there."""
        for _ in range(each.open.pop(door.name, 0)):
            door.ledger.end(reason)
        for place in [place for place in each.leases if place[0] == door.name]:
            self._give_back(each, place, Left(each.leases[place]))
            del each.leases[place]

    def _ended(self, each: Predecessor) -> None:
        """It has ended: what it had not finished is lost."""
        world = self._world
        assert world is not None
        lost = each.open.total()
        if each.stays:
            say = world.log.warning if lost else world.log.info
            say("predecessor.ended", pid=each.pid, lost=lost)
        for door in self._doors.values():
            self._release(each, door, Reason.LOST)
        self._all.remove(each)
        world.relay.unlisten(each.channel.fileno())
        each.channel.close()
        world.nursery.start_soon(partial(world.link.request, "drop", keys=[each.key]))

    def _note(self, each: Predecessor) -> bool:
        assert self._world is not None
        if not each.told:
            each.told = self._world.link.post("note", key=each.key, note=each.note())
        return each.told
