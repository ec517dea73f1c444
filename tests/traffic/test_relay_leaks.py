"""After thousands of streams, ended in every way there is, nothing is left of them."""

import contextlib
import gc
import os
import socket

import trio

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.stream import Stream
from traffic.peers import Peer, data, quiet, reset, rest, until
from traffic.relay_under_test import Door, open_door

GROUP, GROUPS = 100, 20


def shut(peer: Peer) -> None:
    peer.socket.shutdown(socket.SHUT_WR)


def push(peer: Peer) -> None:
    """Send more than the way to the other end holds: what does not fit stays in the relay's pipe."""
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(peer.socket.fileno(), data(1 << 16))


async def end(kind: int, door: Door, client: Peer, backend: Peer) -> None:
    """One of the ways in which a stream ends; both peers have closed after it."""
    with contextlib.suppress(trio.BrokenResourceError, BrokenPipeError, ConnectionResetError):
        match kind:
            case 0:
                shut(client)
                await rest(backend)
            case 1:
                shut(backend)
                await rest(client)
            case 2:
                await client.send_all(b"x")
                reset(client)
                await rest(backend)
            case 3:
                await client.send_all(b"never read")
                await until(lambda: of(door, client).up.moved)
                await backend.aclose()
                await rest(client)
            case 4:
                shut(client)
                await backend.send_all(data(100_000))
                shut(backend)
                await rest(client)
            case 5:
                push(backend)
                await trio.sleep(0.005)
                reset(client)
            case 6:
                push(client)
                await trio.sleep(0.005)
                await backend.aclose()
            case 7:
                push(client)
                push(backend)
                await trio.sleep(0.005)
                shut(client)
                shut(backend)
            case 8:
                push(backend)
                await trio.sleep(0.005)
                door.relay.close(of(door, client), Reason.DRAIN_CLOSED)
                await rest(client)
            case 9:
                push(client)
                push(backend)
                await trio.sleep(0.005)
                door.relay.abandon(of(door, client), Reason.SHUTDOWN)
    client.socket.close()
    backend.socket.close()


def of(door: Door, client: Peer) -> Stream:
    address = client.socket.getsockname()
    return next(stream for stream in door.relay.streams if stream.client == address)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def watched(door: Door) -> list[int]:
    """What the relay's epoll set holds (proc(5), fdinfo)."""
    with open(f"/proc/self/fdinfo/{door.relay._epoll.fileno()}", encoding="ascii") as info:
        return [int(line.split()[1]) for line in info if line.startswith("tfd:")]


async def test_after_two_thousand_streams_nothing_is_left() -> None:
    async with open_door(narrow=True, hold_timeout=0.05) as door:
        await quiet()
        gc.collect()  # what tests before this one have left behind is not to go in the middle of it
        pool = door.relay._plumbing._pool
        before = descriptors() - 2 * pool.made
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(GROUPS):
            pairs = await door.pairs(GROUP)
            async with trio.open_nursery() as nursery:
                for number, (client, backend) in enumerate(pairs):
                    nursery.start_soon(end, number % 10, door, client, backend)
            await until(lambda: not len(door.relay))
            door.adds_up()
        door.backend.seat.up = False
        for _ in range(20):
            (await door.connect()).socket.close()
        await until(lambda: not door.ledger.open and door.ledger.accepted == GROUP * GROUPS + 20)
        await quiet()

        assert descriptors() - 2 * pool.made == before
        assert pool.made == len(pool._free) + 1, "a pipe is lost"
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert watched(door) == [listening.fileno() for listening in door.gate.listeners]
        assert not door.relay.parting
        assert not any(door.relay._flows)
        assert not door.listener.seating.short
        assert not door.listener.seating._queues
        assert (door.backend.generation.open, door.backend.seat.open) == (0, 0)
        door.adds_up()
        ended = door.ledger.ended
        assert set(ended) >= {
            "client_closed",
            "backend_closed",
            "client_reset",
            "backend_reset",
            "no_backend",
            "drain_closed",
            "shutdown",
        }
        assert sum(ended.values()) == GROUP * GROUPS + 20
        assert door.backend.generation.total == GROUP * GROUPS
