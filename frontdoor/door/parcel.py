"""A parcel: what a door process that finishes its last exchanges tells the one that serves, in one message.

It brings clients whose exchange is over, and streams that one has become (RFC 9110, 7.8); and it says which exchanges
have ended, so that they are counted in one place, and whose lease is over.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from frontdoor.keeper import wire
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.unseated import Unseated

Place = tuple[str, int, int]
"""A seat from outside: the door, the number of the generation, and that of the process."""


@dataclass(frozen=True, slots=True)
class Joined:
    """An exchange that has become a stream, with the lease that it has."""

    place: Place
    client: object
    """His address."""
    since: float
    """On the monotonic clock, which is one for the whole machine."""
    moved: tuple[int, int]
    """Bytes up and down, so far."""
    fds: tuple[int, int]
    """The client's socket and the backend's. Nothing of them was read that was not passed on."""


@dataclass(slots=True)
class Left:
    """Leases of one place that are over."""

    streams: int = 0
    up_bytes: int = 0
    down_bytes: int = 0


@dataclass(slots=True)
class Parcel:
    """Its descriptors belong to whoever has it."""

    clients: list[tuple[str, Unseated]] = field(default_factory=list)
    """With the names of their doors."""
    streams: list[Joined] = field(default_factory=list)
    ended: Counter[tuple[str, Reason]] = field(default_factory=Counter)
    """Streams, in the ledger's words: by door, why and how many."""
    left: dict[Place, Left] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.clients or self.streams or self.ended or self.left)

    def fds(self) -> list[int]:
        """All that it brings."""
        return [*(client.fd for _, client in self.clients), *(fd for stream in self.streams for fd in stream.fds)]

    def close(self) -> None:
        """It is nobody's."""
        for fd in self.fds():
            os.close(fd)


def encode(parcel: Parcel) -> tuple[wire.Body, list[int], list[int]]:
    """As a message: its body, its descriptors, and those of them that are to be closed when it was sent.

    What was read of a client is in a memfd: it may be more than fits into a message. Raises OSError when there is no
    descriptor to be had for that; then nothing of it is open.
    """
    memory: list[int] = []
    fds: list[int] = []
    try:
        for _, client in parcel.clients:
            fds.append(client.fd)
            if client.read:
                memory.append(_written(client.read))
                fds.append(memory[-1])
    except OSError:
        _close(memory)
        raise
    fds += [fd for stream in parcel.streams for fd in stream.fds]
    body = {
        "op": "parcel",
        "clients": [
            [door, _plain(each.address), each.destination, each.since, each.counted, bool(each.read)]
            for door, each in parcel.clients
        ],
        "streams": [[*each.place, _plain(each.client), each.since, *each.moved] for each in parcel.streams],
        "ended": [[door, reason, count] for (door, reason), count in parcel.ended.items()],
        "left": [[*place, left.streams, left.up_bytes, left.down_bytes] for place, left in parcel.left.items()],
    }
    return body, fds, [*parcel.fds(), *memory]


def decode(message: wire.Message) -> Parcel:
    """From a message, whose descriptors are the parcel's from here on.

    Raises KeyError, TypeError, ValueError, OSError when it is none; then the message has them still.
    """
    parcel, body, fds = Parcel(), message.body, iter(message.fds)
    memory: list[int] = []
    try:
        for door, address, destination, since, counted, has_read in body["clients"]:
            fd, read = next(fds), b""
            if has_read:
                memory.append(next(fds))
                read = _read(memory[-1])
            client = Unseated(fd, _address(address), _address(destination), float(since), None, read, bool(counted))
            parcel.clients.append((str(door), client))
        for door, generation, process, client, since, up, down in body["streams"]:
            place = (str(door), int(generation), int(process))
            sockets = next(fds), next(fds)
            parcel.streams.append(Joined(place, _address(client), float(since), (int(up), int(down)), sockets))
    except StopIteration:
        raise ValueError(f"{len(message.fds)} descriptors, and more are said to be there") from None
    if next(fds, None) is not None:
        raise ValueError(f"{len(message.fds)} descriptors, and not all of them are said to be anything")
    for door, reason, count in body["ended"]:
        parcel.ended[str(door), Reason(reason)] += int(count)
    for door, generation, process, streams, up, down in body["left"]:
        parcel.left[str(door), int(generation), int(process)] = Left(int(streams), int(up), int(down))
    message.fds.clear()
    _close(memory)
    return parcel


def _written(data: bytes) -> int:
    fd = os.memfd_create("frontdoor-read", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _read(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()


def _plain(address: object) -> object:
    """A Unix client's address may be bytes, if it is an abstract one (unix(7)): nobody would be told more by it."""
    return address if isinstance(address, str | tuple) else ""


def _address(found: Any) -> object:
    return tuple(found) if isinstance(found, list) else found


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
