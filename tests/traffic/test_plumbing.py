import os

import trio

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.keeping import Nobody
from frontdoor.traffic.plumbing import Plumbing
from frontdoor.traffic.words import Words
from traffic.peers import Peer, data, fill_up, quiet, receive, reset, rest, until
from traffic.relay_under_test import open_door


async def test_without_any_pipe_streams_starve_and_go_on_when_there_is_one() -> None:
    async with open_door(pipes=0) as door:
        client, backend = await door.pair()
        await client.send_all(data(100_000))
        await backend.send_all(data(100_000, 7))
        await until(lambda: not door.stream.up.reading and not door.stream.down.reading)
        await door.no_turns()
        door.pipes = 1
        door.sweep()
        assert await receive(backend, 100_000) == data(100_000)
        assert await receive(client, 100_000) == data(100_000, 7)


async def test_the_last_pipe_is_not_given_away_and_a_slow_receiver_stops_nobody() -> None:
    async with open_door(pipes=1, narrow=True) as door:
        slow, slow_backend = await door.pair()
        sent = await fill_up(slow_backend)
        quick, quick_backend = await door.pair()
        await quick.send_all(b"hello")
        assert await receive(quick_backend, 5) == b"hello", "while the slow one's bytes wait in memory"
        await slow_backend.send_eof()
        await door.no_turns(at_most=5)
        assert await rest(slow) == data(sent)


async def test_the_only_pipe_is_with_a_slow_receiver_who_goes_away() -> None:
    async with open_door(pipes=1, narrow=True) as door:
        slow, slow_backend = await door.pair()
        await fill_up(slow_backend)
        quick, quick_backend = await door.pair()
        await quick.send_all(b"hello")
        await quiet()
        reset(slow)
        assert await receive(quick_backend, 5) == b"hello"


async def test_the_only_pipe_comes_back_from_a_stream_that_is_abandoned() -> None:
    async with open_door(pipes=1, narrow=True) as door:
        _, slow_backend = await door.pair()
        await fill_up(slow_backend)
        slow = door.stream
        quick, quick_backend = await door.pair()
        await quick.send_all(b"hello")
        await quiet()
        door.relay.abandon(slow, Reason.DRAIN_CLOSED)
        assert await receive(quick_backend, 5) == b"hello"


async def test_a_starving_stream_can_end() -> None:
    async with open_door(pipes=0) as door:
        client, backend = await door.pair()
        await client.send_all(b"last words")
        await client.aclose()
        await backend.send_all(b"unheard")
        await backend.aclose()
        await quiet()
        door.relay.abandon(door.stream, Reason.SHUTDOWN)
        door.pipes = 1
        door.sweep()  # whoever starved and has gone is not fed
        await door.ended(shutdown=1)


async def test_full_duplex_with_two_pipes_for_ten_streams() -> None:
    async with open_door(pipes=2, narrow=True) as door:
        pairs = await door.pairs(10)
        expected = [(await fill_up(backend), await fill_up(client)) for client, backend in pairs]
        for client, backend in pairs:
            await client.send_eof()
            await backend.send_eof()
        await door.no_turns(at_most=20)

        async def check(peer: Peer, count: int) -> None:
            assert await rest(peer) == data(count)

        async with trio.open_nursery() as nursery:
            for (client, backend), (down, up) in zip(pairs, expected, strict=True):
                nursery.start_soon(check, client, down)
                nursery.start_soon(check, backend, up)
        assert door.pipes_at_work == 0


def test_descriptors_are_closed_at_the_end_of_a_batch_and_not_before() -> None:
    plumbing = Plumbing(lambda pipes: True, Words.alone(), Nobody())
    plumbing.replenish()
    read, write = os.pipe()
    try:
        plumbing.close_later(read)
        os.fstat(read)
        told: list[str] = []
        plumbing.when_room(lambda: told.append("room"))
        plumbing.close_now()
        assert told == ["room"]
        assert not os.path.exists(f"/proc/self/fd/{read}")
        plumbing.close_now()
        plumbing.replenish()
        assert told == ["room"], "it was asked for once"
        assert repr(plumbing) == "<Plumbing <Pool of 1 pipes, 0 free>, 0 starved>"
    finally:
        os.close(write)
        plumbing.epoll.close()
        assert plumbing.spare is not None
        plumbing.spare.close()
