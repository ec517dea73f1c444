import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

from frontdoor.keeper.listeners import open_listeners
from frontdoor.policy.generation import Seat
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.sockets import dial
from frontdoor.traffic import listener as module
from frontdoor.traffic import seating
from frontdoor.traffic.gate import Gate
from traffic.peers import Peer, quiet, receive, rest, until
from traffic.relay_under_test import Door, open_door

TESTS = os.path.dirname(os.path.dirname(__file__))


async def test_past_the_limit_clients_wait_in_the_backlog_and_nobody_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_door(connections=3) as door:
        clients = [await door.connect() for _ in range(8)]
        await until(lambda: door.ledger.open == 3)
        await door.no_turns()
        assert door.gate.full
        assert door.episodes == ["limits.connections"]
        for client in clients:
            await door.backend.greet()
            assert await receive(client, 4) == b"v1#1"
            assert door.ledger.open <= 3
            await client.aclose()
            await door.backend.peers[-1].aclose()
        await door.ended(client_closed=8)
        assert door.episodes == ["limits.connections"], "one episode, said once"

        # Everybody was let in. When nobody has had to wait for a while, the next time is another episode.
        door.sweep()
        await until(lambda: not door.gate.full)
        monkeypatch.setattr(module, "EPISODE", 0.0)
        for _ in range(5):
            await door.connect()
        await until(lambda: door.gate.full)
        assert door.episodes == ["limits.connections"] * 2


async def test_working_at_its_limit_is_one_episode() -> None:
    async with open_door(connections=1) as door:
        for _ in range(20):
            client, backend = await door.pair()
            await client.aclose()
            await backend.aclose()
            await until(lambda: not door.ledger.open)
        assert door.episodes == ["limits.connections"]


async def test_closed_and_opened_again_while_it_is_full() -> None:
    async with open_door(connections=1) as door:
        first, backend = await door.pair()
        for _ in range(3):
            second = await door.connect()
            await until(lambda: door.gate.full)
            door.listener.close(door.gate)
            door.listener.open(door.gate)
        await quiet()
        await first.aclose()
        await backend.aclose()
        await door.backend.greet()
        assert await receive(second, 0) == b""
        await until(lambda: door.ledger.accepted == 2)


async def test_who_is_here_and_has_no_backend_for_want_of_a_descriptor_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Let others in, and each descriptor that comes free is one more client without a backend, until nobody has one.
    async with open_door() as door:

        def refuse(address: str) -> int | None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as patch:
            patch.setattr(seating, "dial", refuse)
            clients = [await door.connect() for _ in range(5)]
            await until(lambda: door.gate.full)
            for _ in range(3):
                door.sweep()
                await quiet()
            assert (door.ledger.accepted, door.waiting) == (1, 1)
        for client in clients:
            door.sweep()
            await door.backend.greet()
            assert await receive(client, 4) == b"v1#1"
        assert door.episodes == ["open files"]


async def test_a_descriptor_that_was_missing_for_one_dial_stops_nobody_when_a_sibling_took_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_door() as door:
        here = door.backend.seat
        here.generation.seats.append(Seat(here.generation, 1, here.address, up=True))
        refused: list[str] = []

        def refuse_once(address: str) -> int | None:
            if not refused:
                refused.append(address)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return dial(address)

        monkeypatch.setattr(seating, "dial", refuse_once)
        for _ in range(3):
            client = await door.connect()
            await door.backend.greet()
            assert await receive(client, 4) == b"v1#1"
        assert refused
        assert door.episodes == []
        for stream in door.relay.streams:
            door.relay.abandon(stream, Reason.SHUTDOWN)


# -- several doors ----------------------------------------------------------------------------------------------------

ROOM = 60
"""Streams that there are descriptors for, at all doors together."""

SHARE = 5
"""What is kept of it for each of three."""


@contextlib.contextmanager
def beside(door: Door) -> Iterator[Gate]:
    """Another gate with the same backend, in the same room."""
    gate = Gate("beside", door.switchboard, Ledger(), door.gate.limits, open_listeners("127.0.0.1:0"))
    door.listener.open(gate)
    try:
        yield gate
    finally:
        for stream in door.relay.streams:
            if stream.gate is gate:
                door.relay.abandon(stream, Reason.SHUTDOWN)
        door.listener.close(gate)
        for listening in gate.listeners:
            listening.close()


async def flood(door: Door, gate: Gate) -> int:
    """More clients than there is room for; how many of them are let in."""
    (listening,) = gate.listeners
    door.address = listening.getsockname()
    for _ in range(ROOM + 1):
        door.dial()
    await until(lambda: gate.full)
    return gate.ledger.open


async def test_a_flood_at_two_doors_leaves_a_third_one_its_share() -> None:
    async with open_door(room=ROOM) as door:
        with beside(door) as other, beside(door) as third:
            assert await flood(door, door.gate) == ROOM - 2 * SHARE
            assert await flood(door, other) == SHARE
            assert await flood(door, third) == SHARE
            assert door.episodes == ["open files"]

            # A share that is free stays free for the door whose it is.
            gone = [stream for stream in door.relay.streams if stream.gate is third]
            for stream in gone:
                door.relay.abandon(stream, Reason.CLIENT_CLOSED)
            await until(lambda: third.ledger.accepted == 2 * SHARE)
            await until(lambda: third.full)
            assert [gate.ledger.open for gate in (door.gate, other, third)] == [ROOM - 2 * SHARE, SHARE, SHARE]


async def test_a_door_that_is_alone_has_no_limit_but_its_own() -> None:
    async with open_door(room=3, connections=5) as door:
        for _ in range(8):
            await door.connect()
        await until(lambda: door.gate.full)
        assert door.ledger.open == 5
        assert door.episodes == ["limits.connections"]


# -- no descriptor left -----------------------------------------------------------------------------------------------


class ShortOfFiles:
    """A door in another process that has few descriptors."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def line(self) -> str:
        line = bytearray()
        while not line.endswith(b"\n"):
            piece = await self._stdout.receive_some(1)
            assert piece, "it has died"
            line += piece
        return line.decode()

    async def seen(self) -> dict[str, Any]:
        await self._stdin.send_all(b"?")
        seen = json.loads(await self.line())
        assert isinstance(seen, dict)
        return seen


@contextlib.asynccontextmanager
async def short_of_files(backend: str, limit: int) -> AsyncIterator[ShortOfFiles]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "traffic.short_of_files", backend, str(limit)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with process.stdin, process.stdout:
        try:
            yield ShortOfFiles(process)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()


async def test_without_a_descriptor_left_it_pauses_and_says_so_and_goes_on() -> None:
    async with open_door() as here, short_of_files(here.backend.seat.address, 40) as door:
        here.address = ("127.0.0.1", int(await door.line()))
        clients = [await here.connect() for _ in range(50)]
        await trio.sleep(0.5)  # nothing to wait for: what is tested is that nothing happens
        stuck = await door.seen()
        assert 5 < stuck["accepted"] < 40
        assert stuck["ended"] == {}
        assert stuck["episodes"] == ["open files"]
        await trio.sleep(0.5)
        later = await door.seen()
        assert later["accepted"] == stuck["accepted"]
        assert later["turns"] - stuck["turns"] < 10
        assert later["cpu"] - stuck["cpu"] < 0.2

        # As they leave, one after the other, everybody else gets in.
        async def visit(client: Peer) -> None:
            assert await receive(client, 4) == b"v1#1"
            await client.aclose()

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(visit, client)
            for _ in clients:
                backend = await here.backend.greet()
                assert await rest(backend) == b""
                await backend.aclose()
        while (seen := await door.seen())["open"] or seen["full"]:
            await trio.sleep(0.01)
        assert seen["accepted"] == 50
        assert seen["ended"] == {"client_closed": 50}
        assert seen["episodes"] == ["open files"], "one episode, said once"
