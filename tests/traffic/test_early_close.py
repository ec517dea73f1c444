"""When a backend that ends a stream has failed its client: early, and without having said a word."""

import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from frontdoor.policy.ledger import Reason
from traffic.peers import Peer, receive, reset, rest, until
from traffic.relay_under_test import Door, open_door

Story = Callable[[Door, Peer, Peer], Awaitable[None]]


async def backend_closes(door: Door, client: Peer, backend: Peer) -> None:
    await backend.aclose()


async def backend_closes_on_a_request(door: Door, client: Peer, backend: Peer) -> None:
    await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: door.stream.up.moved)
    await backend.aclose()  # with the request unread: its end is a reset


async def backend_shuts_both_directions(door: Door, client: Peer, backend: Peer) -> None:
    backend.socket.shutdown(socket.SHUT_RDWR)


async def backend_finishes_and_then_closes(door: Door, client: Peer, backend: Peer) -> None:
    await backend.send_eof()
    await until(lambda: door.stream.down.ended)
    await backend.aclose()


async def backend_finishes_and_then_refuses_a_byte(door: Door, client: Peer, backend: Peer) -> None:
    await backend.send_eof()
    assert await rest(client) == b""
    os.write(client.socket.fileno(), b"upload")  # the relay sees this first, and that nobody takes it
    backend.socket.shutdown(socket.SHUT_RD)


async def backend_dies(door: Door, client: Peer, backend: Peer) -> None:
    door.stream.seat.gone = lambda: True
    await backend.aclose()


@pytest.mark.parametrize(
    "story",
    [
        backend_closes,
        backend_closes_on_a_request,
        backend_shuts_both_directions,
        backend_finishes_and_then_closes,
        backend_finishes_and_then_refuses_a_byte,
        backend_dies,
    ],
)
async def test_early_and_without_a_word_is_a_failure_once(story: Story) -> None:
    async with open_door() as door:
        told: list[None] = []
        conduct = door.backend.generation.conduct
        conduct.told = lambda: told.append(None)
        client, backend = await door.pair()
        await story(door, client, backend)
        await until(lambda: told)
        assert await rest(client) == b""
        await client.aclose()
        await until(lambda: not door.ledger.open)
        assert (conduct.early_closes, conduct.failed_dials, len(told)) == (1, 0, 1)


async def says_something_first(door: Door, client: Peer, backend: Peer) -> None:
    await backend.send_all(b"x")
    await backend.aclose()
    assert await receive(client, 1) == b"x"


async def answers_an_upload_that_it_does_not_read(door: Door, client: Peer, backend: Peer) -> None:
    await client.send_all(b"too large")
    await until(lambda: door.stream.up.moved)
    await backend.send_all(b"413")
    await backend.aclose()
    assert await receive(client, 3) == b"413"


async def answers_and_then_refuses_what_comes_first(door: Door, client: Peer, backend: Peer) -> None:
    os.write(client.socket.fileno(), b"too large")  # the relay sees this before the answer, and that nobody takes it
    os.write(backend.socket.fileno(), b"413")
    backend.socket.close()
    assert await receive(client, 3) == b"413"


async def client_closes_first(door: Door, client: Peer, backend: Peer) -> None:
    await client.send_eof()
    assert await rest(backend) == b""
    await backend.aclose()


async def client_resets(door: Door, client: Peer, backend: Peer) -> None:
    reset(client)
    assert await rest(backend) == b""


async def only_finishes_sending(door: Door, client: Peer, backend: Peer) -> None:
    await backend.send_eof()
    await client.send_all(b"an upload, to somebody who never answers")
    assert await receive(backend, 40) == b"an upload, to somebody who never answers"
    await client.send_eof()
    assert await rest(backend) == b""


async def has_stayed_long_enough(door: Door, client: Peer, backend: Peer) -> None:
    door.stream.since -= door.gate.limits.early
    await backend.aclose()


async def is_closed_by_a_deadline(door: Door, client: Peer, backend: Peer) -> None:
    door.relay.close(door.stream, Reason.DRAIN_CLOSED)
    assert await rest(backend) == b""
    await backend.aclose()


@pytest.mark.parametrize(
    "story",
    [
        says_something_first,
        answers_an_upload_that_it_does_not_read,
        answers_and_then_refuses_what_comes_first,
        client_closes_first,
        client_resets,
        only_finishes_sending,
        has_stayed_long_enough,
        is_closed_by_a_deadline,
    ],
)
async def test_what_is_no_failure(story: Story) -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await story(door, client, backend)
        await client.aclose()
        await until(lambda: not door.ledger.open)
        conduct = door.backend.generation.conduct
        assert (conduct.early_closes, conduct.failed_dials) == (0, 0)


async def test_what_is_early_is_a_setting() -> None:
    async with open_door() as door:
        door.gate.limits = replace(door.gate.limits, early=60.0)
        client, backend = await door.pair()
        door.stream.since = time.monotonic() - 59
        await backend.aclose()
        await client.aclose()
        await until(lambda: not door.ledger.open)
        assert door.backend.generation.conduct.early_closes == 1


async def test_it_is_the_failure_of_the_generation_that_the_stream_was_on() -> None:
    async with open_door() as door:
        v1 = door.backend
        _, backend = await door.pair()
        v2 = door.switch("v2")
        await backend.aclose()
        await until(lambda: v1.generation.conduct.early_closes == 1)
        assert v2.generation.conduct.early_closes == 0
