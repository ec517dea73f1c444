import errno
import os
import socket

import pytest
import trio

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import FORCED_GOODBYE
from traffic.peers import Peer, data, fill_up, is_reset, rest, until
from traffic.relay_under_test import Door, open_door


async def test_a_forced_close_delivers_what_is_in_the_pipe_and_then_fin() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        stream = door.stream
        assert stream.down.held
        moved = stream.down.moved
        door.relay.close(stream, Reason.DRAIN_CLOSED)
        os.write(client.socket.fileno(), b"I do not know it yet")  # unread input at a close is a RST
        await door.no_turns(at_most=5)
        assert await rest(client) == data(moved)
        await client.aclose()
        await door.ended(drain_closed=1)
        with pytest.raises(trio.BrokenResourceError):
            await backend.send_all(data(1 << 20))


async def test_a_forced_close_is_no_reset_for_a_client_that_sends_and_then_reads() -> None:
    async with open_door() as door:
        for _ in range(20):
            client, backend = await door.pair()
            await backend.send_all(data(10_000))
            await until(lambda: door.stream.down.moved == 10_000)
            await client.send_all(data(100_000))
            door.relay.close(door.stream, Reason.DRAIN_CLOSED)
            await client.send_all(data(100_000))
            assert await rest(client) == data(10_000)
            await client.aclose()
            await until(lambda: not door.ledger.open)
        await door.ended(drain_closed=20)


async def test_a_forced_close_does_not_wait_for_ever() -> None:
    async with open_door(narrow=True) as door:
        _, backend = await door.pair()
        await fill_up(backend)
        door.relay.close(door.stream, Reason.DRAIN_CLOSED)
        door.sweep(after=FORCED_GOODBYE / 2)
        assert len(door.relay) == 1
        door.sweep(after=FORCED_GOODBYE + 0.1)
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0


async def test_a_forced_close_leaves_a_client_that_was_silent_for_long_the_same_time() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        moved = door.stream.down.moved
        door.stream.stamp -= 3600
        door.relay.close(door.stream, Reason.DRAIN_CLOSED)
        door.sweep()
        assert len(door.relay) == 1, "cut at once, with what was in its pipe"
        assert await rest(client) == data(moved)


STAGES = ["nothing", "client done", "backend done", "both held", "starved"]


@pytest.mark.parametrize("before", STAGES)
async def test_a_forced_close_at_any_stage_of_a_stream(before: str) -> None:
    async with open_door(narrow=True, pipes=0 if before == "starved" else 100) as door:
        client, backend = await door.pair()
        await _bring_to(before, door, client, backend)
        stream = door.stream
        door.relay.close(stream, Reason.DRAIN_CLOSED)
        door.relay.close(stream, Reason.SHUTDOWN)  # it ends once, for one reason
        door.pipes = 100
        door.sweep()
        await rest(client)
        await client.aclose()
        await door.ended(drain_closed=1)
        with pytest.raises(BrokenPipeError):
            os.write(backend.socket.fileno(), b"for nobody")


@pytest.mark.parametrize("before", STAGES)
async def test_an_abandoned_stream_is_gone_at_once(before: str) -> None:
    async with open_door(narrow=True, pipes=0 if before == "starved" else 100) as door:
        client, backend = await door.pair()
        await _bring_to(before, door, client, backend)
        stream = door.stream
        door.relay.abandon(stream, Reason.SHUTDOWN)
        door.relay.abandon(stream, Reason.DRAIN_CLOSED)
        door.relay.close(stream, Reason.DRAIN_CLOSED)
        assert door.ledger.ended == {"shutdown": 1}
        assert door.pipes_at_work == 0
        assert not door.relay.parting


async def _bring_to(stage: str, door: Door, client: Peer, backend: Peer) -> None:
    if stage == "client done":
        await client.send_eof()
        assert await rest(backend) == b""
    elif stage == "backend done":
        await backend.send_eof()
        await until(lambda: door.stream.down.ended)
    elif stage == "both held":
        await fill_up(backend)
        await fill_up(client)
        assert door.pipes_at_work == 2
    elif stage == "starved":
        await backend.send_all(b"x")
        await client.send_all(b"x")
        await until(lambda: not door.stream.up.reading and not door.stream.down.reading)


async def test_a_stream_that_is_closed_in_its_goodbye_keeps_its_reason_and_has_less_time() -> None:
    async with open_door() as door:
        _, backend = await door.pair()
        await backend.aclose()
        await until(lambda: door.stream.deadline is not None)
        door.relay.close(door.stream, Reason.SHUTDOWN)
        door.sweep(after=FORCED_GOODBYE + 0.1)
        await door.ended(backend_closed=1)


async def test_a_stream_that_is_abandoned_in_its_goodbye_keeps_its_reason() -> None:
    async with open_door() as door:
        _, backend = await door.pair()
        await backend.aclose()
        await until(lambda: door.stream.deadline is not None)
        door.relay.abandon(door.stream, Reason.SHUTDOWN)
        await door.ended(backend_closed=1)


# -- with a grace, and a RST after it ---------------------------------------------------------------------------------

GRACE = 60.0


async def test_a_client_that_stays_for_all_of_its_grace_is_reset_after_it() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        door.relay.close(door.stream, Reason.DRAIN_CLOSED, GRACE)
        assert await rest(client) == b""  # FIN
        assert await rest(backend) == b""
        door.sweep(after=GRACE - 1)  # it has been silent for longer than others may be
        assert len(door.relay) == 1
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)
        await until(lambda: was_reset(client))


async def test_the_reset_comes_although_somebody_else_holds_the_socket() -> None:
    # The keeper does, of a stream that is protected. A close alone would send nothing then.
    async with open_door() as door:
        client, _ = await door.pair()
        held = os.dup(door.stream.up.source)
        try:
            door.relay.close(door.stream, Reason.DRAIN_CLOSED, GRACE)
            assert await rest(client) == b""
            door.sweep(after=GRACE + 1)
            await until(lambda: was_reset(client))
        finally:
            os.close(held)


def was_reset(client: Peer) -> bool:
    """Whether RST has come, to a client that has read its FIN: then no read says it any more."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNRESET, errno.EPIPE)


async def test_a_client_that_closes_in_its_grace_is_not_reset() -> None:
    async with open_door() as door:
        client, _ = await door.pair()
        door.relay.close(door.stream, Reason.DRAIN_CLOSED, GRACE)
        assert await rest(client) == b""
        await client.send_all(b"goodbye")
        await client.send_eof()
        await door.ended(drain_closed=1)
        assert not was_reset(client)


async def test_the_grace_begins_with_the_fin() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        stream = door.stream
        moved = stream.down.moved
        door.relay.close(stream, Reason.DRAIN_CLOSED, GRACE)
        assert stream.deadline is not None
        stream.deadline -= GRACE - 1  # it was 59 seconds ago, and the client begins to read
        assert await rest(client) == data(moved)
        door.sweep(after=GRACE - 1)
        assert len(door.relay) == 1
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)


async def test_a_client_that_does_not_read_is_reset_after_its_grace_with_what_is_in_the_pipe() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        door.relay.close(door.stream, Reason.DRAIN_CLOSED, GRACE)
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0
        with pytest.raises(trio.BrokenResourceError) as caught:
            await rest(client)
        assert is_reset(caught.value)


async def test_no_grace_at_all_is_a_reset_at_the_next_look() -> None:
    async with open_door() as door:
        client, _ = await door.pair()
        door.relay.close(door.stream, Reason.DRAIN_CLOSED, 0.0)
        door.sweep()
        await door.ended(drain_closed=1)
        await until(lambda: was_reset(client))


async def test_whoever_is_in_a_hurry_shortens_the_grace_and_nobody_lengthens_it() -> None:
    async with open_door() as door:
        await door.pair()
        stream = door.stream
        door.relay.close(stream, Reason.DRAIN_CLOSED, GRACE)
        door.relay.close(stream, Reason.DRAIN_CLOSED, 2 * GRACE)
        door.sweep(after=GRACE - 1)
        assert len(door.relay) == 1
        door.relay.close(stream, Reason.SHUTDOWN)
        door.sweep(after=FORCED_GOODBYE + 0.1)
        await door.ended(drain_closed=1)


async def test_who_is_in_a_hurry_while_the_pipe_is_not_empty_shortens_the_grace_after_it_too() -> None:
    async with open_door(narrow=True) as door:
        client, backend = await door.pair()
        await fill_up(backend)
        moved = door.stream.down.moved
        door.relay.close(door.stream, Reason.DRAIN_CLOSED, GRACE)
        door.relay.close(door.stream, Reason.SHUTDOWN)
        assert await rest(client) == data(moved)
        door.sweep(after=FORCED_GOODBYE + 0.1)
        await door.ended(drain_closed=1)
