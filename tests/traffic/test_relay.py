import os
import socket
import time

import pytest
import trio

from traffic.peers import BLOB, data, echo, fill_up, pass_on, quiet, receive, reset, rest, until
from traffic.relay_under_test import open_door


async def test_bytes_go_both_ways_and_both_ends_are_passed_on() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(b"question")
        assert await receive(backend, 8) == b"question"
        await backend.send_all(b"answer")
        assert await receive(client, 6) == b"answer"

        await client.send_eof()
        assert await rest(backend) == b""
        await backend.aclose()
        assert await rest(client) == b""
        await door.ended(client_closed=1)
        assert door.backend.generation.up_bytes == 8
        assert door.backend.generation.down_bytes == 6


async def test_a_slow_reader_gets_every_byte_while_the_backend_is_held_back() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        sent = await fill_up(backend)
        assert door.pipes_at_work == 1
        assert sent < 16 << 20, "the backend could go on and on: no backpressure"
        backend.socket.shutdown(socket.SHUT_WR)
        got = bytearray()
        while piece := await client.receive_some(5_000):
            got += piece
        assert bytes(got) == data(sent)
        assert door.pipes_at_work == 0


async def test_a_slow_writer_holds_nobody_up() -> None:
    async with open_door() as door:
        slow, slow_backend = await door.pair()
        quick, quick_backend = await door.pair()
        for start in range(0, 200, 10):
            await slow.send_all(data(10, start))
            await quick.send_all(data(1000, start))
            assert await receive(quick_backend, 1000) == data(1000, start)
        assert await receive(slow_backend, 200) == data(200)


async def test_sixteen_one_byte_messages_fill_a_pipe_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each takes a slot of its own: a relay that reckons with 64 KiB for a pipe blocks, or drops what does not fit.
    monkeypatch.setattr("frontdoor.traffic.pipes.WIDE_ONES", 0)
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        sent, got, held = 0, bytearray(), set()
        while sent < 40_000:
            try:
                os.write(backend.socket.fileno(), data(1, sent))
                sent += 1
            except BlockingIOError:
                await quiet()
                held.add(door.stream.down.held)
                if 16 in held:
                    got += await client.receive_some(100)
        assert max(held) == 16
        await backend.send_eof()
        got += await rest(client)
        assert bytes(got) == data(sent)


async def test_pipes_of_one_page_carry_megabytes_both_ways() -> None:
    async with open_door(one_page_pipes=True, serve=echo) as door:
        client = await door.connect()
        size = 3 << 20

        async def send() -> None:
            await client.send_all(data(size))
            await client.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await rest(client) == data(size)
        await door.ended(client_closed=1)


async def test_full_duplex_fifty_megabytes_each_way_between_peers_who_send_first_and_read_late() -> None:
    # A relay that waits for a blocked receiver, instead of going on with the other direction, stands still here.
    size = 50 << 20
    async with open_door() as door:
        client, backend = await door.pair()

        async def send(peer: trio.SocketStream) -> None:
            for start in range(0, size, len(BLOB)):
                await peer.send_all(BLOB[: size - start])
            await peer.send_eof()

        async def check(peer: trio.SocketStream) -> None:
            position = 0
            while piece := await peer.receive_some(100_000):
                assert piece == data(len(piece), position), f"wrong byte after {position}"
                position += len(piece)
                await trio.lowlevel.checkpoint()
            assert position == size

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client)
            nursery.start_soon(send, backend)
            await until(lambda: door.stream.up.held and door.stream.down.held)
            await door.no_turns(at_most=5)
            nursery.start_soon(check, client)
            nursery.start_soon(check, backend)
        await until(lambda: not door.ledger.open)


async def test_an_urgent_byte_in_the_middle_stops_nothing_and_burns_no_core() -> None:
    # splice(2) says EAGAIN for ever at the mark, while epoll says "readable".
    async with open_door() as door:
        client, backend = await door.pair()
        raw = client.socket
        await raw.send(b"before")
        await raw.send(b"!", socket.MSG_OOB)
        await raw.send(b"after")
        got = await receive(backend, 11)
        assert got == b"beforeafter"
        await door.no_turns()
        await pass_on(client, backend, 1 << 20)
        await pass_on(backend, client, 1 << 20)


async def test_an_urgent_byte_alone_burns_no_core() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.socket.send(b"!", socket.MSG_OOB)
        await door.no_turns()
        await client.send_all(b"hello")
        assert await receive(backend, 5) == b"hello"
        await client.socket.send(b"!", socket.MSG_OOB)
        await client.aclose()
        assert await rest(backend) == b""


async def test_urgent_bytes_between_large_messages_behind_a_slow_backend() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        size = 100_000

        async def send() -> None:
            for start in range(0, 20 * size, size):
                await client.send_all(data(size, start))
                await trio.testing.wait_all_tasks_blocked()
                await client.socket.send(b"!", socket.MSG_OOB)
            await client.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await rest(backend) == data(20 * size)


async def test_a_number_that_is_used_again_does_not_get_its_predecessors_events() -> None:
    # Many streams end and many begin in one batch: their descriptors are the same small numbers again and again.
    async with open_door() as door:
        old = await door.pairs(60)
        for generation in range(1, 12):
            await quiet()
            # No await from here to the new connects: the relay finds all of it in one batch.
            for number, (client, backend) in enumerate(old):
                if number % 3 == 0:
                    reset(client)
                elif number % 3 == 1:
                    client.socket.close()
                else:
                    os.write(client.socket.fileno(), b"unread")
                    backend.socket.close()
            new = await door.pairs(60)
            for number, (client, _) in enumerate(new):
                os.write(client.socket.fileno(), b"%d/%d" % (generation, number))
            for number, (client, backend) in enumerate(new):
                expected = b"%d/%d" % (generation, number)
                assert await receive(backend, len(expected)) == expected
                await backend.send_all(expected)
                assert await receive(client, len(expected)) == expected
            for client, backend in old:
                client.socket.close()
                backend.socket.close()
            old = new
            await until(lambda: len(door.relay) == 60)
            door.adds_up()
        assert door.ledger.accepted == 12 * 60


async def test_a_stream_that_nobody_reads_holds_up_no_other_one() -> None:
    async with open_door(narrow=True) as door:
        stuck, stuck_backend = await door.pair()
        await fill_up(stuck_backend)
        await fill_up(stuck)
        client, backend = await door.pair()
        for start in range(0, 1 << 20, 1 << 16):
            await pass_on(client, backend, 1 << 16, start)
        assert (await receive(stuck, 1000)) == data(1000)


async def test_its_views_show_the_open_streams_the_oldest_first() -> None:
    async with open_door() as door:
        first, _ = await door.pair()
        await door.pair()
        v1, v2 = door.backend, door.switch("v2")
        await door.pair()
        assert [stream.number for stream in door.relay.streams] == [1, 2, 3]
        assert [stream.number for stream in door.relay.of(v1.generation)] == [1, 2]
        assert [stream.number for stream in door.relay.of(v2.generation)] == [3]
        assert next(door.relay.streams).client == first.socket.getsockname()
        assert repr(door.relay).startswith("<Relay of 3 streams, <Plumbing")
        assert repr(next(door.relay.streams)).startswith("<Stream 1 on v1#1 up=<Flow")
        await client_says(first)
        await until(lambda: next(door.relay.streams).stamp > next(door.relay.streams).since)


async def client_says(client: trio.SocketStream) -> None:
    before = time.monotonic()
    while time.monotonic() == before:
        pass
    await client.send_all(b"x")
