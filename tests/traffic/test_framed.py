"""A stream whose frames are followed is closed between two of them, with a last one, and else is a stream like any."""

import contextlib
import os
import socket
import time

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdoor.http.websocket import Frames, close_frame
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import FORCED_GOODBYE
from frontdoor.traffic.framed import PEEK, FramedFlow
from traffic.frames import CLOSE, PING, TEXT, Heard, frame, frames, heard
from traffic.peers import Peer, data, fill_up, is_reset, pass_on, quiet, receive, rest, until
from traffic.relay_under_test import Door, open_door

FAREWELL = close_frame(1012, "service restart")
ANSWER = b"\x88\x82key!" + bytes(a ^ b for a, b in zip(b"\x03\xf4", b"ke", strict=True))
"""What a client answers to it: a Close frame with the same code, masked (RFC 6455 §5.3)."""

GRACE = 60.0


async def followed(door: Door) -> tuple[Peer, Peer, FramedFlow]:
    """A new stream whose frames are followed: the client's end, the backend's, the way from there to here."""
    client, backend = await door.pair()
    door.relay.follow(door.stream, Frames(), FAREWELL)
    down = door.stream.down
    assert isinstance(down, FramedFlow)
    return client, backend, down


async def all_of(client: Peer) -> Heard:
    """What the client hears up to the end."""
    return heard(await rest(client))


def drain(door: Door, grace: float | None = GRACE) -> None:
    door.relay.close(door.stream, Reason.DRAIN_CLOSED, grace)


# -- between two frames -----------------------------------------------------------------------------------------------


async def test_between_two_frames_the_last_word_is_a_close_frame_and_then_the_end() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        said = frames([0, 1, 125, 126, 70_000])
        await backend.send_all(said)
        assert await receive(client, len(said)) == said
        drain(door)
        got = await all_of(client)
        assert (got.code, got.reason, got.behind) == (1012, "service restart", b"")
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)


async def test_the_backend_hears_all_that_the_client_had_said_and_his_answer_and_then_the_end() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door)
        await client.send_all(data(100_000))  # he does not know it yet
        assert await receive(backend, 100_000) == data(100_000)
        assert (await all_of(client)).code == 1012
        await client.send_all(ANSWER)
        assert await receive(backend, len(ANSWER)) == ANSWER
        await backend.send_all(frame(b"\x03\xf4", CLOSE))  # the app's own answer: the client has had one
        await client.aclose()
        assert await rest(backend) == b""
        await backend.aclose()
        await door.ended(drain_closed=1)


async def test_what_the_backend_says_behind_the_end_is_not_delivered() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door)
        for _ in range(10):
            await backend.send_all(frames([1000]))
        got = await all_of(client)
        assert (got.messages, got.code, got.behind) == ([], 1012, b"")
        await door.no_turns()
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)


async def test_a_backend_that_closes_first_leaves_the_client_his_time() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door)
        await backend.aclose()
        await client.send_all(ANSWER)
        await door.no_turns(at_most=5)
        assert len(door.relay) == 1, "closed with something unread: that is a RST"
        assert (await all_of(client)).code == 1012
        await client.aclose()
        await door.ended(drain_closed=1)


@pytest.mark.parametrize("grace", [None, GRACE], ids=["short", "grace"])
async def test_a_client_that_answers_nothing_has_as_much_time_as_any(grace: float | None) -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door, grace)
        assert (await all_of(client)).code == 1012
        patience = FORCED_GOODBYE if grace is None else grace
        door.sweep(after=patience - 0.5)
        assert len(door.relay) == 1
        door.sweep(after=patience + 0.1)
        await door.ended(drain_closed=1)
        assert await rest(backend) == b""


async def test_an_app_that_answers_after_the_client_has_gone_is_not_told_that_nobody_listens() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door)
        assert (await all_of(client)).code == 1012
        await client.send_all(ANSWER)
        await client.aclose()
        assert await rest(backend) == ANSWER
        await quiet()
        await backend.send_all(frame(b"\x03\xf4", CLOSE))  # it would raise
        await backend.aclose()
        await door.ended(drain_closed=1)


async def test_an_app_that_stays_when_the_client_has_gone_has_his_time_and_no_more() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        drain(door)
        assert (await all_of(client)).code == 1012
        await client.aclose()
        assert await rest(backend) == b""
        door.sweep(after=GRACE - 1)
        await door.no_turns(at_most=5)
        assert len(door.relay) == 1
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)


async def test_a_client_that_has_finished_gets_it_too() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        await client.send_eof()
        assert await rest(backend) == b""
        drain(door)
        assert (await all_of(client)).code == 1012
        await door.ended(drain_closed=1)


async def test_the_end_comes_once_and_so_does_the_close_frame() -> None:
    async with open_door() as door:
        client, _, _ = await followed(door)
        drain(door)
        drain(door)
        door.relay.close(door.stream, Reason.SHUTDOWN)
        got = await all_of(client)
        assert (got.code, got.behind) == (1012, b"")
        door.sweep(after=FORCED_GOODBYE + 0.1)
        await door.ended(drain_closed=1)


# -- where there is no place for it -----------------------------------------------------------------------------------


async def test_a_frame_that_has_begun_is_finished_first() -> None:
    async with open_door() as door:
        client, backend, down = await followed(door)
        said = frames([30_000])
        await backend.send_all(said[:3])
        assert await receive(client, 3) == said[:3]
        drain(door)
        assert down.leaving is not None
        await backend.send_all(said[3:] + frames([5]))
        got = heard(said[:3] + await rest(client))
        assert (got.messages, got.code, got.behind) == ([said], 1012, b"")
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)


@pytest.mark.parametrize("grace", [None, GRACE], ids=["short", "grace"])
async def test_one_that_never_ends_is_waited_for_so_long_and_then_comes_the_end_alone(grace: float | None) -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        said = frames([10, 30_000])[:-1]
        await backend.send_all(said)
        assert await receive(client, len(said)) == said
        drain(door, grace)
        patience = FORCED_GOODBYE if grace is None else grace
        door.sweep(after=patience - 0.5)
        await quiet()
        assert os.write(client.socket.fileno(), b"x") == 1
        assert await receive(backend, 1) == b"x", "nothing has ended yet"
        door.sweep(after=patience + 0.1)
        assert await rest(client) == b""
        with pytest.raises(BrokenPipeError):
            os.write(backend.socket.fileno(), b"for nobody")
        await client.aclose()
        await door.ended(drain_closed=1)


async def test_the_goodbye_begins_when_the_wait_for_the_frame_has_ended() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        await backend.send_all(frames([10])[:-1])
        await until(lambda: door.stream.down.moved)
        drain(door)
        stream = door.stream
        assert stream.deadline is not None
        stream.deadline -= GRACE - 1  # it was 59 seconds ago, and the backend says the rest
        await backend.send_all(frames([10])[-1:])
        assert (await all_of(client)).code == 1012
        door.sweep(after=GRACE - 1)
        assert len(door.relay) == 1
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)


async def test_a_backend_that_goes_in_the_middle_of_a_frame_ends_the_wait() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        said = frames([10])[:-1]
        await backend.send_all(said)
        await until(lambda: door.stream.down.moved)
        drain(door)
        await backend.aclose()
        assert await rest(client) == said
        await client.aclose()
        await door.ended(drain_closed=1)


async def test_a_client_that_goes_while_the_frame_is_waited_for_ends_it_all() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        await backend.send_all(frames([10])[:-1])
        await until(lambda: door.stream.down.moved)
        drain(door)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
        await door.ended(drain_closed=1)
        assert not door.relay.parting


async def test_where_the_backend_has_said_close_itself_there_is_no_second_one() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        said = frame(b"hello", TEXT) + frame(b"\x03\xe9bye", CLOSE)
        await backend.send_all(said)
        assert await receive(client, len(said)) == said
        drain(door)
        assert await rest(client) == b""
        await client.send_all(ANSWER)
        assert await receive(backend, len(ANSWER)) == ANSWER
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)


@pytest.mark.parametrize("reason", [Reason.IDLE_TIMEOUT, Reason.HALF_CLOSE_TIMEOUT])
async def test_who_was_silent_for_too_long_is_not_told_to_come_back(reason: Reason) -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        door.relay.close(door.stream, reason)
        assert await rest(client) == await rest(backend) == b""
        await client.aclose()
        await door.ended(**{reason.value: 1})


async def test_a_stop_of_frontdoor_tells_them_too() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        door.relay.close(door.stream, Reason.SHUTDOWN)
        assert (await all_of(client)).code == 1012
        await client.aclose()
        await backend.aclose()
        await door.ended(shutdown=1)


async def test_what_is_no_frame_ends_as_any_stream() -> None:
    async with open_door() as door:
        client, backend, down = await followed(door)
        said = frame(b"x" * 126, PING) + data(100_000)  # a control frame has at most 125 bytes (RFC 6455 §5.5)
        await backend.send_all(said)
        assert await receive(client, len(said)) == said
        assert down.frames is None
        drain(door)
        assert await rest(client) == b""
        await client.aclose()
        await door.ended(drain_closed=1)


async def test_without_a_pipe_the_word_remains_unsaid() -> None:
    async with open_door(pipes=0) as door:
        client, backend, _ = await followed(door)
        drain(door)
        assert await rest(client) == b""
        door.pipes = 100
        door.sweep()
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)


# -- a client that takes little ---------------------------------------------------------------------------------------


async def test_a_slow_client_gets_all_that_was_under_way_and_then_the_close_frame() -> None:
    async with open_door(narrow=True) as door:
        client, backend, down = await followed(door)
        said = frames([100] * 40_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.send_all, said)
            await until(lambda: down.held)
            drain(door)
            assert down.leaving is not None
            got = await all_of(client)
            nursery.cancel_scope.cancel()
        assert (got.code, got.behind) == (1012, b"")
        assert said.startswith(got.data)
        assert 0 < len(got.data) < len(said)
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0


async def test_a_close_frame_that_finds_no_room_waits_for_it() -> None:
    async with open_door(narrow=True) as door:
        client, backend, down = await followed(door)
        size = 1
        while not down.held:  # until there is room for nothing, or for less than one more
            await backend.send_all(frames([size := min(size * 2, 4000)]))
            await quiet()
        moved = down.moved
        drain(door)
        await quiet()
        assert len(door.relay) == 1
        got = await all_of(client)
        assert (len(got.data), got.code, got.behind) == (moved, 1012, b"")
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0


async def test_a_client_that_takes_nothing_is_reset_after_the_grace_as_any() -> None:
    async with open_door(narrow=True) as door:
        client, backend, down = await followed(door)
        await fill_with_frames(backend)
        assert down.held
        drain(door)
        door.sweep(after=GRACE - 1)
        assert len(door.relay) == 1
        door.sweep(after=GRACE + 1)
        door.sweep(after=GRACE + 1)
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0
        with pytest.raises(trio.BrokenResourceError) as caught:
            await rest(client)
        assert is_reset(caught.value)


async def test_one_that_takes_a_long_frame_too_slowly_gets_what_is_in_the_pipe_and_the_end() -> None:
    async with open_door(narrow=True) as door:
        client, backend, down = await followed(door)
        said = frames([50_000_000])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_as_long_as_it_is_taken, backend, said)
            await until(lambda: down.held)
            drain(door)
            got = await receive(client, 500_000)
            await until(lambda: down.held)
            moved = down.moved
            door.sweep(after=GRACE + 1)
            got += await rest(client)
        assert got == said[:moved]
        await client.aclose()
        await door.ended(drain_closed=1)


async def say_as_long_as_it_is_taken(backend: Peer, said: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await backend.send_all(said)


async def fill_with_frames(backend: Peer) -> None:
    """Send frames until nothing on the way takes any more."""
    many = frames([1000] * 1000)
    while True:
        await quiet()
        try:
            os.write(backend.socket.fileno(), many)
        except BlockingIOError:
            return


# -- every byte -------------------------------------------------------------------------------------------------------


SIZES = st.one_of(st.integers(0, 130), st.integers(PEEK - 20, PEEK + 20), st.integers(65_530, 65_540), st.just(300_000))


@pytest.mark.parametrize("one_page_pipes", [False, True], ids=["pipes", "one-page pipes"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(SIZES, min_size=1, max_size=12),
    pieces=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    share=st.floats(0, 1),
    narrow=st.booleans(),
)
async def test_however_frames_are_cut_into_pieces_the_close_comes_between_two(
    sizes: list[int], pieces: list[int], share: float, narrow: bool, one_page_pipes: bool
) -> None:
    said = frames(sizes)
    async with open_door(narrow=narrow, one_page_pipes=one_page_pipes) as door:
        client, backend, down = await followed(door)

        async def say() -> None:
            at, turn = 0, 0
            while at < len(said):
                size = pieces[turn % len(pieces)] * (1 + len(said) // 2000)
                await backend.send_all(said[at : at + size])
                at, turn = at + size, turn + 1

        async def close() -> None:
            await until(lambda: down.moved >= share * len(said))
            drain(door)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(say)
            nursery.start_soon(close)
            got = await all_of(client)
            nursery.cancel_scope.cancel()
        assert (got.code, got.behind) == (1012, b"")
        assert said.startswith(got.data)
        assert len(got.data) >= share * len(said) - 1
        await client.aclose()
        await backend.aclose()
        await door.ended(drain_closed=1)
        assert door.pipes_at_work == 0


@pytest.mark.parametrize("one_page_pipes", [False, True], ids=["pipes", "one-page pipes"])
async def test_a_followed_stream_is_a_stream_like_any(one_page_pipes: bool) -> None:
    async with open_door(one_page_pipes=one_page_pipes) as door:
        client, backend, down = await followed(door)
        said = frames([*range(0, 3000, 7), 100_000, 1, 2_000_000])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.send_all, said)
            nursery.start_soon(pass_on, client, backend, 3_000_000)
            assert await receive(client, len(said)) == said
        assert down.frames is not None
        assert down.frames.between
        await backend.send_eof()
        assert await rest(client) == b""
        await client.send_all(b"and I am still here")
        assert await receive(backend, 19) == b"and I am still here"
        await client.aclose()
        await door.ended(backend_closed=1)


async def test_a_backend_that_resets_is_delivered_to_its_last_byte() -> None:
    async with open_door() as door:
        client, backend, _ = await followed(door)
        said = frames([10] * 3000)
        await client.send_all(b"never read")
        await until(lambda: door.stream.up.moved)
        await backend.send_all(said)
        backend.socket.close()
        assert await rest(client) == said
        await client.aclose()
        await until(lambda: not door.ledger.open)
        assert set(door.ledger.ended) <= {"backend_closed", "backend_reset"}


async def test_a_followed_stream_of_which_nobody_reads_is_pressed_back() -> None:
    async with open_door(narrow=True) as door:
        client, backend, down = await followed(door)
        sent = await fill_up(backend)
        assert down.held
        await door.no_turns(at_most=5)
        assert await receive(client, sent) == data(sent)
        await client.aclose()
        await backend.aclose()
        await until(lambda: not door.ledger.open)


async def test_an_urgent_byte_of_the_backend_does_not_burn_a_core() -> None:
    async with open_door() as door:
        client, backend, down = await followed(door)
        backend_fd = backend.socket.fileno()
        urgent = socket.socket(fileno=os.dup(backend_fd))
        with urgent:
            try:
                urgent.send(b"!", socket.MSG_OOB)
            except OSError:
                pytest.skip("this kernel's Unix sockets have no urgent bytes")
        await door.no_turns(at_most=20)
        await backend.send_all(frames([10]))
        await until(lambda: down.moved >= 12)
        drain(door, 0.0)
        await rest(client)
        door.sweep(after=time.monotonic())
        door.sweep(after=time.monotonic())
        await until(lambda: not door.ledger.open)
