import time
from dataclasses import replace

import pytest

from frontdoor.traffic import sweeper
from frontdoor.traffic.ending import FORCED_GOODBYE
from traffic.peers import data, fill_up, receive, rest, until
from traffic.relay_under_test import open_door


async def test_a_stream_without_a_byte_for_idle_timeout_is_closed() -> None:
    async with open_door(idle_timeout=60.0) as door:
        client, backend = await door.pair()
        door.sweep(after=59)
        assert door.stream.deadline is None
        door.sweep(after=68)
        assert await rest(client) == b""
        assert await rest(backend) == b""
        await client.aclose()
        await door.ended(idle_timeout=1)


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_a_byte_from_either_side_is_life(who: str) -> None:
    async with open_door(idle_timeout=60.0) as door:
        client, backend = await door.pair()
        door.stream.since -= 3600
        door.stream.stamp -= 59
        sender, receiver = (client, backend) if who == "client" else (backend, client)
        await sender.send_all(b"x")
        assert await receive(receiver, 1) == b"x"
        door.sweep(after=50)
        assert door.stream.deadline is None


async def test_a_slow_reader_who_reads_now_and_then_is_alive() -> None:
    async with open_door(idle_timeout=60.0, narrow=True) as door:
        client, backend = await door.pair()
        sent = await fill_up(backend)
        door.stream.stamp -= 59
        before = door.stream.stamp
        got = await receive(client, sent // 2)
        await until(lambda: door.stream.stamp > before)
        door.sweep(after=50)
        assert door.stream.deadline is None
        await backend.send_eof()
        assert got + await rest(client) == data(sent)


async def test_never_is_never() -> None:
    async with open_door() as door:
        await door.pair()
        door.sweep(after=1e9)
        assert door.stream.deadline is None


async def test_a_client_who_came_when_nobody_was_here_is_swept_in_time_too() -> None:
    async with open_door(idle_timeout=1.0) as door:
        door.sweep()
        client, _ = await door.pair()
        door.sweep(after=1 + 1 / sweeper.IDLE_LOOKS)
        assert await rest(client) == b""


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_one_side_has_finished_and_the_other_says_nothing(who: str) -> None:
    async with open_door(half_close_timeout=60.0) as door:
        client, backend = await door.pair()
        done, other = (client, backend) if who == "client" else (backend, client)
        await done.send_eof()
        assert await rest(other) == b""
        door.sweep(after=59)
        assert door.stream.deadline is None
        await other.send_all(b"still here")
        assert await receive(done, 10) == b"still here"
        door.stream.stamp = time.monotonic() + 30  # it said that half a minute later
        door.sweep(after=89)
        assert door.stream.deadline is None
        door.sweep(after=91)
        assert await rest(done) == b""
        await client.aclose()
        await door.ended(half_close_timeout=1)


async def test_the_half_close_timeout_begins_with_the_half_close() -> None:
    # A question of an hour ago, and now the client says that it was the last one: it still gets its minute.
    async with open_door(half_close_timeout=60.0) as door:
        client, backend = await door.pair()
        door.stream.stamp -= 3600
        await client.send_eof()
        assert await rest(backend) == b""
        door.sweep()
        await backend.send_all(b"answer")
        assert await receive(client, 6) == b"answer"


async def test_a_client_that_has_gone_and_a_backend_that_does_not_care_are_parted() -> None:
    async with open_door(half_close_timeout=60.0) as door:
        client, backend = await door.pair()
        await fill_up(client)
        await backend.send_all(b"x")
        await client.aclose()  # with an unread byte: RST
        await backend.send_all(b"y")
        await until(lambda: door.stream.down.deaf)
        door.sweep(after=61)
        await door.ended(half_close_timeout=1)


async def test_a_client_that_does_not_answer_the_forced_close_is_left() -> None:
    async with open_door(idle_timeout=1.0) as door:
        client, _ = await door.pair()
        door.sweep(after=2)
        assert await rest(client) == b""
        assert door.ledger.open == 1
        door.sweep(after=2 + FORCED_GOODBYE)
        await door.ended(idle_timeout=1)


async def test_a_short_time_out_among_streams_that_may_be_idle_for_ever() -> None:
    async with open_door() as door:
        await door.pair()
        door.sweep()
        client, _ = await door.pair()
        *_, newcomer = door.relay.streams
        newcomer.gate = replace(door.gate, limits=replace(door.gate.limits, idle_timeout=1.0))  # another door's
        door.sweep(after=1 + sweeper.LONGEST)
        assert await rest(client) == b""
        await client.aclose()
        await until(lambda: len(door.relay) == 1)


async def test_a_look_at_many_streams_is_short() -> None:
    async with open_door(idle_timeout=600.0) as door:
        await door.pairs(500)
        door.sweep()
        began = time.thread_time()
        for look in range(1, 21):
            door.sweep(after=2.0 * look)
        per_stream = (time.thread_time() - began) / (20 * 500)
        assert per_stream < 5e-6  # ten thousand in 50 ms, on a machine that is far slower than today's
