import contextlib
import os
import socket
import sys
import time

import pytest
import trio

from traffic.peers import data, fill_up, is_reset, quiet, receive, reset, rest, until
from traffic.relay_under_test import open_door

ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n"


# -- half-closes ------------------------------------------------------------------------------------------------------


async def test_a_client_that_has_finished_sending_still_gets_a_long_answer() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(b"give me everything")
        await client.send_eof()
        assert await rest(backend) == b"give me everything"

        async def answer() -> None:
            for start in range(0, 5 << 20, 1 << 18):
                await backend.send_all(data(1 << 18, start))
            await backend.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            assert await rest(client) == data(5 << 20)
        await door.ended(client_closed=1)


async def test_a_backend_that_has_finished_sending_still_receives() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await backend.send_all(b"send it")
        await backend.send_eof()
        assert await rest(client) == b"send it"
        await door.no_turns()  # HUP and ERR come unasked for, FIN is readable for ever: no reason to look

        async def upload() -> None:
            for start in range(0, 5 << 20, 1 << 18):
                await client.send_all(data(1 << 18, start))
            await client.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload)
            assert await rest(backend) == data(5 << 20)
        await door.ended(backend_closed=1)


async def test_a_half_closed_stream_sits_silent_without_a_turn() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_eof()
        assert await rest(backend) == b""
        await door.no_turns()
        await backend.send_all(b"late")
        assert await receive(client, 4) == b"late"
        await door.no_turns()


async def test_a_stream_of_which_nobody_says_anything_ends_with_the_second_end() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await backend.send_eof()
        assert await rest(client) == b""
        await client.send_eof()
        assert await rest(backend) == b""
        await door.ended(backend_closed=1)


# -- resets, and a backend that closes in the middle ------------------------------------------------------------------


async def test_a_client_that_resets() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(b"half a req")
        assert await receive(backend, 10) == b"half a req"
        reset(client)
        assert await rest(backend) == b""
        await door.ended(client_reset=1)


async def test_a_client_that_resets_while_the_answer_waits_for_it() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        reset(client)
        await door.ended(client_reset=1)
        assert door.pipes_at_work == 0
        with pytest.raises(trio.BrokenResourceError):
            await backend.send_all(data(1 << 20))


async def test_what_a_client_sent_before_it_reset_arrives() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(data(1000))
        assert await receive(backend, 1000) == data(1000)
        await client.send_all(data(1000, 1000))
        reset(client)
        await door.ended(client_reset=1)
        assert await rest(backend) == data(1000, 1000)


async def test_a_backend_that_closes_with_the_request_unread() -> None:
    # On a Unix socket that is ECONNRESET for the relay. What it said before comes first, and a FIN behind it.
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(b"request")
        await quiet()
        await backend.send_all(ANSWER)
        await backend.aclose()
        assert await rest(client) == ANSWER
        await client.aclose()
        await door.ended(backend_reset=1)


async def test_a_backend_that_closes_in_the_middle_of_a_request() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(b"first half")
        assert await receive(backend, 10) == b"first half"
        await backend.aclose()
        await quiet()
        await client.send_all(b"second half")
        assert await rest(client) == b""
        await client.aclose()
        await door.ended(backend_closed=1)


async def test_a_backend_that_was_done_sending_and_then_closes_is_noticed() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await backend.send_eof()
        assert await rest(client) == b""
        assert door.stream.deadline is None
        await backend.aclose()
        await until(lambda: door.stream.deadline is not None)
        await door.no_turns()
        await client.send_all(b"nobody reads this")
        await client.aclose()
        await door.ended(backend_closed=1)


async def test_a_client_that_was_done_sending_and_then_resets_is_noticed() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_eof()
        assert await rest(backend) == b""
        reset(client)
        await door.ended(client_closed=1)
        with pytest.raises(trio.BrokenResourceError):
            await backend.send_all(data(1 << 20))


async def test_a_backend_that_neither_reads_nor_stops_sending_learns_that_its_client_has_gone() -> None:
    async with open_door(half_close_timeout=60.0) as door:
        client, backend = await door.pair()
        await fill_up(client)
        assert door.stream.up.held
        await backend.send_all(b"tick")
        reset(client)

        async def tick() -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await backend.send_all(b"tick")
                    await trio.sleep(0.001)

        with trio.move_on_after(5) as patience:
            await tick()
        assert not patience.cancelled_caught, "the relay swallows for ever what nobody will receive"
        assert await rest(backend) != b""
        await backend.aclose()
        await door.ended(client_reset=1)


# -- whose fault it was -----------------------------------------------------------------------------------------------


BACKEND = """
import socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
kept = []
while True:
    sock, _ = listening.accept()
    sock.sendall(b"here I am")
    kept.append(sock)
"""


async def test_a_backend_whose_process_was_killed_is_gone() -> None:
    async with open_door(backlog=None) as door:
        os.unlink(door.backend.seat.address)
        command = [sys.executable, "-c", BACKEND, door.backend.seat.address]
        process = await trio.lowlevel.open_process(command)
        statm = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            door.backend.seat.gone = lambda: os.pread(statm, 8, 0).startswith(b"0 ")
            idle, uploading = await door.connect(), await door.connect()
            for client in (idle, uploading):
                assert await receive(client, 9) == b"here I am"
            await uploading.send_all(b"nobody reads this")
            await quiet()
            process.kill()  # and not reaped: frontdoor sees the sockets close before anybody tells it of the death
            for client in (idle, uploading):
                assert await rest(client) == b""
                await client.aclose()
            await door.ended(backend_gone=2)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
            os.close(statm)


async def test_who_hears_late_of_a_death_has_another_process_on_that_seat_by_then() -> None:
    async with open_door(narrow=True) as door:
        slow, backend = await door.pair()
        sent = await fill_up(backend)
        await backend.aclose()
        door.backend.seat.born = time.monotonic()  # it was started again meanwhile
        young, its_backend = await door.pair()
        assert await rest(slow) == data(sent)
        await slow.aclose()
        await its_backend.aclose()
        assert await rest(young) == b""
        await young.aclose()
        await door.ended(backend_gone=1, backend_closed=1)


async def test_a_client_sees_an_orderly_end_and_no_reset_whatever_the_backend_did() -> None:
    async with open_door() as door:
        for unread in (b"", b"unread"):
            client, backend = await door.pair()
            if unread:
                await client.send_all(unread)
                await quiet()
            await backend.aclose()
            try:
                assert await rest(client) == b""
            except trio.BrokenResourceError as error:
                raise AssertionError("RST") from (error if is_reset(error) else None)
            client.socket.shutdown(socket.SHUT_WR)
        await door.ended(backend_closed=1, backend_reset=1)
