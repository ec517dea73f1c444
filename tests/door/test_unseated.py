from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.unseated import Entrusted
from frontdoor.keeper.link import Held, Link, Refused
from frontdoor.traffic.unseated import Unseated


class Keeper:
    """A link whose wire has room for so many messages; what was said over it is kept as JSON would bring it back."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.limit = 10**6
        """So many it can take, when it is asked and not only told."""
        self.held: dict[str, tuple[Any, list[int]]] = {}

    async def put(self, entries: Sequence[tuple[str, Any, Sequence[int]]]) -> None:
        await trio.lowlevel.checkpoint()
        if self.limit < len(entries):
            raise Refused(errno.EMFILE, "it is at its limit")
        self.limit -= len(entries)
        self.held.update({key: (json.loads(json.dumps(note)), list(fds)) for key, note, fds in entries})

    def post(self, op: str, fds: Sequence[int] = (), **fields: Any) -> bool:
        if not self.room:
            return False
        self.room -= 1
        said = json.loads(json.dumps(fields))
        if op == "drop":
            for key in said["keys"]:
                self.held.pop(key, None)
        for (key, note, count), fd in zip(said.get("entries", ()), fds, strict=True):
            assert count == 1
            self.held[key] = (note, [fd])
        return True


def doors_with(keeper: Keeper, *clients: tuple[str, Unseated]) -> Doors:
    def unseated() -> Iterator[tuple[Any, Unseated]]:
        for name, client in clients:
            yield SimpleNamespace(name=name), client

    world = SimpleNamespace(link=keeper, listener=SimpleNamespace(unseated=unseated))
    return cast(Doors, SimpleNamespace(world=world))


def door_named(name: str, taken: list[Unseated]) -> Door:
    listener = SimpleNamespace(take_up=lambda gate, client: taken.append(client))
    return cast(Door, SimpleNamespace(name=name, gate=name, world=SimpleNamespace(listener=listener)))


CLIENTS = [
    ("main", Unseated(11, ("127.0.0.1", 4711), None, 3.0)),
    ("api", Unseated(12, "", None, 2.0)),
    ("main", Unseated(13, ("::1", 80, 0, 0), ("198.51.100.1", 443), 1.0)),
    ("main", Unseated(14, ("127.0.0.1", 4712), None, 2.0, b"PROXY\x00\xff")),
]


def test_the_next_one_finds_them_as_they_were_and_who_waited_longest_is_first() -> None:
    keeper = Keeper()
    assert Entrusted().entrust(doors_with(keeper, *CLIENTS))
    held = Held({**keeper.held, "other": (None, [])})
    entrusted = Entrusted(held)
    assert set(held.entries) == {"other"}, "they are taken out"
    assert (entrusted.of("main"), entrusted.of("api"), entrusted.of("gone")) == (3, 1, 0)
    taken: list[Unseated] = []
    entrusted.take_up([door_named("main", taken), door_named("api", taken)])
    assert taken == [CLIENTS[2][1], CLIENTS[3][1], CLIENTS[0][1], CLIENTS[1][1]]
    assert entrusted.drop_now(cast(Link, keeper))
    assert keeper.held == {}


def test_whose_door_is_no_more_is_let_go() -> None:
    read, write = os.pipe()
    os.close(read)
    note = {"door": "gone", "address": "", "destination": None, "since": 1.0, "header": None}
    Entrusted(Held({"client/0": (note, [write])})).take_up([])
    assert not os.path.exists(f"/proc/self/fd/{write}")


def test_a_wire_that_is_full_is_said_and_what_was_put_is_dropped_before_the_next_try() -> None:
    keeper, entrusted = Keeper(room=1), Entrusted()
    many = [("main", Unseated(number, "", None, float(number))) for number in range(300)]
    assert not entrusted.entrust(doors_with(keeper, *many))
    assert len(keeper.held) == 250
    assert not entrusted.drop_now(cast(Link, keeper))
    keeper.room = 10
    assert entrusted.drop_now(cast(Link, keeper))
    assert keeper.held == {}
    assert entrusted.entrust(doors_with(keeper, *many))
    assert len(keeper.held) == 300


async def test_those_for_whom_there_is_no_room_are_known_before_anything_is_handed_over() -> None:
    keeper, entrusted = Keeper(), Entrusted()
    many = [("main", Unseated(number, "", None, float(number))) for number in range(300)]
    keeper.limit = 299
    with pytest.raises(Refused, match="at its limit"):
        await entrusted.reserve(doors_with(keeper, *many))
    await entrusted.drop(cast(Link, keeper))
    assert keeper.held == {}, "and it has nobody who stays here"

    keeper.limit = 300
    await entrusted.reserve(doors_with(keeper, *many))
    assert sorted(fd for _, (fd,) in keeper.held.values()) == list(range(300))
    assert entrusted.drop_now(cast(Link, keeper))
    assert entrusted.entrust(doors_with(keeper, *many[:250]))
    assert len(keeper.held) == 250, "as they are then"


async def test_who_is_turned_away_while_the_others_are_put_is_not_put() -> None:
    """His descriptor is closed, and its number may be anybody's."""
    keeper, entrusted = Keeper(), Entrusted()
    many = [("main", Unseated(number, "", None, float(number))) for number in range(300)]
    rounds = [many]

    def unseated() -> Iterator[tuple[Any, Unseated]]:
        for name, client in rounds.pop() if rounds else many[:260]:
            yield SimpleNamespace(name=name), client

    world = SimpleNamespace(link=keeper, listener=SimpleNamespace(unseated=unseated))
    await entrusted.reserve(cast(Doors, SimpleNamespace(world=world)))
    assert sorted(fd for _, (fd,) in keeper.held.values()) == list(range(260))
