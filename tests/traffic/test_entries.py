"""Streams that only another process can go on with if they are made ready for it: with bytes in memory, or without a
backend. The sockets and pipes are real.
"""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from frontdoor import sockets
from frontdoor.policy.ledger import Reason
from frontdoor.traffic import pipes
from frontdoor.traffic.entries import entry_of, is_due, says_goodbye, stream_key
from frontdoor.traffic.plumbing import PIPE
from frontdoor.traffic.stream import Stream
from traffic.lives import Lives, drain, fill, lives
from traffic.peers import data
from traffic.relay_under_test import OnePagePipe


@pytest.fixture
def door() -> Iterator[Lives]:
    """With a single pipe."""
    yield from lives(pipes=1, buffer=4096)


@pytest.fixture
def wide() -> Iterator[Lives]:
    """With the kernel's own buffers."""
    yield from lives(pipes=1)


def hand_over(door: Lives, stream: Stream) -> None:
    """As an upgrade does it."""
    nobody = sockets.to_nobody()
    key, _, fds = entry_of(stream, nobody)
    assert key == stream_key(stream.number)
    door.keeper._keep(door.keeper.streams, stream.number, fds)
    os.close(nobody)
    door.restart()


def all_that_comes(peer: socket.socket, door: Lives) -> bytes:
    """To the end. Raises ConnectionResetError when that is no orderly one."""
    got = b""
    while piece := drain(peer, door, 5000):
        got += piece
    assert peer.recv(1) == b"", "the end has come"
    return got


# -- bytes in this process's memory -----------------------------------------------------------------------------------


def test_what_is_in_memory_is_poured_into_a_pipe_and_comes_from_there(door: Lives) -> None:
    (stream, client, backend) = door.join(kept=False)
    sent = fill(backend, door, data(200_000))
    assert stream.down.rest, "the last pipe is not given away"
    assert not is_due(stream)
    assert door.relay.pour()
    assert (stream.down.rest, is_due(stream)) == (b"", True)
    hand_over(door, stream)
    backend.shutdown(socket.SHUT_WR)
    assert all_that_comes(client, door) == (data(200_000) * 9)[:sent]


def test_what_was_poured_goes_on_in_this_process_too(door: Lives) -> None:
    """The upgrade has failed."""
    (stream, client, backend) = door.join(kept=False)
    sent = fill(backend, door, data(200_000))
    assert stream.down.rest
    assert door.relay.pour()
    backend.shutdown(socket.SHUT_WR)
    assert all_that_comes(client, door) == (data(200_000) * 9)[:sent]


def test_what_fits_into_no_pipe_stays_in_memory(door: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    (stream, client, backend) = door.join(kept=False)
    sent = fill(backend, door, data(200_000))
    before = len(stream.down.rest)
    assert 4096 < before <= PIPE
    with monkeypatch.context() as patch:
        patch.setattr(pipes, "Pipe", OnePagePipe)
        assert not door.relay.pour()
    door.keeper.full = True
    assert not door.relay.pour(), "the wire is full"
    door.keeper.full = False
    assert (len(stream.down.rest), is_due(stream)) == (before, False)
    backend.shutdown(socket.SHUT_WR)
    assert all_that_comes(client, door) == (data(200_000) * 9)[:sent]


# -- those who only say goodbye ---------------------------------------------------------------------------------------


ANSWER = data(300_000, 7)
"""More than a client's kernel takes before he reads."""


def goodbye(door: Lives, answer: bytes) -> tuple[Stream, socket.socket]:
    """The backend has answered and closed, while the client was still sending: as 413 to an upload."""
    (stream, client, backend) = door.join(kept=False, tcp=True)
    client.send(data(10_000))
    while answer:
        answer = answer[backend.send(answer) :]
        door.turns()
    backend.close()
    door.turns()
    assert says_goodbye(stream)
    client.send(data(3000))  # nobody reads it any more: closed now, it would be a reset
    return stream, client


def test_a_client_who_only_waits_for_the_goodbye_gets_all_of_it(wide: Lives) -> None:
    stream, client = goodbye(wide, ANSWER)
    hand_over(wide, stream)
    client.send(data(3000))
    wide.turns()
    assert all_that_comes(client, wide) == ANSWER, "no reset has destroyed it"
    (adopted,) = wide.relay.streams
    assert adopted.deadline is not None, "and he has the time again that anybody has"
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    client.close()
    wide.turns()
    assert not list(wide.relay.streams)
    assert not wide.keeper.streams


def test_without_that_he_would_be_reset(wide: Lives) -> None:
    """What the test above is worth."""
    _, client = goodbye(wide, ANSWER)
    wide.restart()
    with pytest.raises(ConnectionResetError):
        all_that_comes(client, wide)


def test_who_says_goodbye_goes_on_here_too(door: Lives) -> None:
    """The upgrade has failed: the keeper has him for a while."""
    stream, client = goodbye(door, b"413 too large")
    nobody = sockets.to_nobody()
    stream.kept = True
    door.keeper._keep(door.keeper.streams, stream.number, entry_of(stream, nobody)[2])
    os.close(nobody)
    door.turns()
    assert client.recv(100) == b"413 too large"
    client.close()
    door.turns()
    assert not list(door.relay.streams)
    assert not door.keeper.streams, "it was dropped"


def test_what_is_in_a_pipe_for_one_whose_time_was_up_comes_before_the_end(door: Lives) -> None:
    door.pipes = 5
    (stream, client, backend) = door.join(kept=False)
    fill(backend, door, data(200_000))
    assert stream.down.pipe is not None
    there = stream.down.moved
    door.relay.close(stream, Reason.DRAIN_CLOSED)
    assert says_goodbye(stream)
    hand_over(door, stream)
    assert all_that_comes(client, door) == (data(200_000) * 9)[:there]


def test_nobody_is_at_the_other_end() -> None:
    nobody = socket.socket(fileno=sockets.to_nobody())
    with nobody:
        assert nobody.recv(1) == b""
        with pytest.raises(BrokenPipeError) as caught:
            nobody.send(b"x", socket.MSG_NOSIGNAL)
        assert caught.value.errno == errno.EPIPE
