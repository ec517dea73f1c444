import time

import trio

from frontdoor.traffic.ending import GOODBYE, GOODBYE_SILENCE
from traffic.peers import Peer, data, fill_up, quiet, receive, rest, until
from traffic.relay_under_test import open_door

ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n"


# -- HUP behind a slow reader -----------------------------------------------------------------------------------------


async def test_a_backend_that_closes_behind_a_slow_reader_loses_nothing() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        size = 4 << 20

        async def answer() -> None:
            await backend.send_all(data(size))
            await backend.aclose()

        got = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            await until(lambda: door.stream.down.held)
            while len(got) < size - (100 << 10):
                got += await client.receive_some(50_000)
        # The backend has closed, and the last of it is in the relay's pipe and the kernel's buffers.
        await door.no_turns(at_most=5)
        got += await rest(client)
        assert bytes(got) == data(size)
        await client.aclose()
        await door.ended(backend_closed=1)


async def test_hup_behind_a_held_pipe_does_not_spin() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        sent = await fill_up(backend)
        assert door.stream.down.held
        await backend.aclose()
        await door.no_turns(at_most=5)
        assert await rest(client) == data(sent)


async def test_hup_while_both_directions_are_held() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        down, _ = await fill_up(backend), await fill_up(client)
        assert door.pipes_at_work == 2
        await backend.aclose()
        await quiet()
        await door.no_turns(at_most=5)
        assert await rest(client) == data(down)
        await client.aclose()
        await door.ended(backend_closed=1)


async def test_a_client_that_closes_behind_a_slow_backend_loses_nothing() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        sent = await fill_up(client)
        await client.aclose()
        await door.no_turns(at_most=5)
        assert await rest(backend) == data(sent)
        await backend.aclose()
        await door.ended(client_closed=1)


# -- an early answer to an upload -------------------------------------------------------------------------------------


async def test_sixty_uploads_that_are_refused_after_the_head_all_get_the_whole_answer() -> None:
    async with open_door() as door:
        for _ in range(60):
            client, backend = await door.pair()

            async def refuse(backend: Peer = backend) -> None:
                await receive(backend, 500)
                await backend.send_all(ANSWER)
                await backend.aclose()  # with most of the upload unread: ECONNRESET for whoever sends it

            async with trio.open_nursery() as nursery:
                nursery.start_soon(refuse)
                await client.send_all(data(5 << 20))  # all of it, before it reads a byte of the answer
            assert await rest(client) == ANSWER
            await client.aclose()
            await until(lambda: not door.ledger.open)
        assert door.ledger.accepted == 60
        assert set(door.ledger.ended) <= {"backend_closed", "backend_reset"}


async def test_an_early_answer_that_is_larger_than_the_clients_buffer() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(client)
        sent = await fill_up(backend)
        await backend.aclose()
        await quiet()
        for _ in range(50):  # it goes on with its upload all the same, and all of it is taken
            await client.send_all(data(100_000))
        assert await rest(client) == data(sent)


async def test_the_goodbye_to_a_client_that_goes_on_sending_has_an_end() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await backend.aclose()
        assert await rest(client) == b""
        stream = door.stream
        now = time.monotonic()
        stream.stamp = now + GOODBYE - 1  # the client has gone on sending until then
        door.sweeper.sweep(now + GOODBYE - 1)
        assert list(door.relay.streams) == [stream]
        door.sweeper.sweep(now + GOODBYE + 1)
        await door.ended(backend_closed=1)


async def test_the_goodbye_to_a_silent_client_is_short() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await backend.aclose()
        assert await rest(client) == b""
        door.sweep(after=GOODBYE_SILENCE - 1)
        assert len(door.relay) == 1
        door.sweep(after=GOODBYE_SILENCE + 1)
        await door.ended(backend_closed=1)


async def test_the_goodbye_begins_with_the_end_however_long_the_stream_was_silent_before() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        door.stream.stamp -= 3600
        await backend.aclose()
        assert await rest(client) == b""
        door.sweep()
        assert len(door.relay) == 1, "no time for the client to close"
        door.sweep(after=GOODBYE_SILENCE + 1)
        await door.ended(backend_closed=1)
