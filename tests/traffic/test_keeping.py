"""What the keeper has copies of: it is never behind what happens here, and a relay goes on from what it has."""

import contextlib
import os
import select
import socket
from collections.abc import Iterator

import pytest

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.keeping import Nobody
from frontdoor.traffic.pipes import KEPT, Pipe
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import DOWN, UP, Stream
from frontdoor.traffic.words import Words
from traffic.lives import Lives, drain, fill, lives
from traffic.peers import BLOB, data


@pytest.fixture
def door() -> Iterator[Lives]:
    yield from lives(buffer=4096)


@pytest.fixture
def one_pipe() -> Iterator[Lives]:
    yield from lives(buffer=4096, pipes=1)


def is_open(peer: socket.socket) -> bool:
    """Its other side has not been closed."""
    try:
        return bool(peer.recv(1))
    except BlockingIOError:
        return True


# -- who is told of what ----------------------------------------------------------------------------------------------


def test_a_stream_that_is_kept_is_dropped_when_it_ends(door: Lives) -> None:
    stream, client, backend = door.join()
    client.shutdown(socket.SHUT_WR)
    door.turns()
    assert stream.number in door.keeper.streams
    backend.shutdown(socket.SHUT_WR)
    door.turns()
    assert door.keeper.said[-1] == "drop 1"
    assert not door.keeper.streams
    assert not stream.kept


def test_of_a_stream_that_is_not_kept_nobody_is_told(door: Lives) -> None:
    _, client, backend = door.join(kept=False)
    client.close()
    backend.close()
    door.turns()
    assert not len(door.relay)
    assert door.keeper.said == ["keep pipe 0"]


def test_its_descriptors_leave_the_set_though_a_copy_of_them_is_open(door: Lives) -> None:
    # Else they would be reported for ever, under numbers that are somebody else's by then.
    stream, client, backend = door.join()
    fds = {stream.up.source, stream.down.source}
    assert set(door.watched()) == fds
    door.relay.replenish()
    door.keeper.full = True  # so that the copies stay
    client.close()
    backend.close()
    door.turns()
    assert not len(door.relay)
    assert door.watched() == []
    assert door.keeper.streams
    assert door.relay._poll(0) == []

    _, client, backend = door.join(kept=False)
    again = door.stream
    assert fds & {again.up.source, again.down.source}, "the numbers are reused"
    door.turns()
    assert again.up.reading
    assert len(door.relay) == 1
    door.keeper.full = False
    client.send(b"x")
    assert drain(backend, door, 1) == b"x"


def test_a_stream_that_was_dropped_before_its_end_leaves_the_set_too(door: Lives) -> None:
    # The keeper reads what it is told in its own time: until then its copy is open.
    stream, client, backend = door.join()
    copies = [os.dup(stream.up.source), os.dup(stream.down.source)]
    backend.close()
    door.turns()
    assert stream.deadline is not None
    assert not door.keeper.streams
    assert door.watched() == [stream.up.source]
    client.close()
    door.turns()
    assert not len(door.relay)
    assert door.watched() == []
    for fd in copies:
        os.close(fd)


def test_the_backend_s_end_closes_when_the_goodbye_to_the_client_begins(door: Lives) -> None:
    stream, client, backend = door.join()
    backend.send(b"bye")
    backend.shutdown(socket.SHUT_WR)
    client.send(b"x")
    door.turns()
    assert door.keeper.said[-1] != "drop 1", "it is half closed, no more"
    backend.close()
    door.turns()
    assert stream.deadline is not None
    assert door.keeper.said[-1] == "drop 1"
    assert client.recv(10) == b"bye"
    assert client.recv(10) == b""
    client.close()
    door.turns()
    assert door.keeper.said.count("drop 1") == 1


def test_what_the_keeper_could_not_be_told_is_told_later(door: Lives) -> None:
    _, client, backend = door.join()
    door.keeper.full = True
    door.relay.abandon(door.stream, Reason.DRAIN_CLOSED)
    door.turns()
    assert is_open(client), "the keeper's copy sends no FIN"
    assert is_open(backend)
    door.keeper.full = False
    door.relay.replenish()
    assert not is_open(client)
    assert not is_open(backend)
    assert not door.keeper.streams


def test_a_thousand_ends_are_told_in_a_few_messages(door: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def drop(streams: list[Stream]) -> bool:
        sizes.append(len(streams))
        return type(door.keeper).drop(door.keeper, streams)

    for _ in range(600):
        door.join()
    door.keeper.full = True
    for stream in door.relay.streams:
        door.relay.abandon(stream, Reason.SHUTDOWN)
    monkeypatch.setattr(door.relay._plumbing._keeping, "drop", drop)
    door.keeper.full = False
    door.relay.replenish()
    assert sizes == [256, 256, 88]
    assert not door.keeper.streams


def test_bytes_in_memory_are_not_of_a_stream_that_is_kept(one_pipe: Lives) -> None:
    door = one_pipe
    stream, client, backend = door.join()
    sent = fill(backend, door, BLOB)
    assert stream.down.rest
    assert not stream.kept
    assert door.keeper.said[-1] == "drop 1"
    assert drain(client, door, sent) == data(sent)


def test_no_byte_goes_into_memory_before_the_keeper_could_be_told(one_pipe: Lives) -> None:
    door = one_pipe
    stream, client, backend = door.join()
    _, other, other_backend = door.join()
    other.send(b"x")
    assert drain(other_backend, door, 1) == b"x"
    door.keeper.full = True
    sent = fill(backend, door, BLOB)
    assert stream.kept
    assert stream.down.pipe is not None
    assert not stream.down.rest
    other.send(b"starving")
    assert drain(other_backend, door, 8) == b""
    got = drain(client, door, sent)
    assert got == data(sent)
    assert drain(other_backend, door, 8) == b"starving"
    door.keeper.full = False


def test_no_byte_is_read_into_memory_of_a_stream_that_is_kept(door: Lives) -> None:
    # Splice stops before an urgent byte, for ever: it is read by hand.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        client_side, _ = listening.accept()
    backend, backend_side = socket.socketpair()
    for sock in (client_side, backend_side, backend):
        sock.setblocking(False)
    stream = door.relay.join(door.gate, door.seat, "unix", client_side.detach(), backend_side.detach())
    door.keeper.put(stream)
    door.peers += [client, backend]
    door.relay.replenish()
    door.keeper.full = True
    client.send(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"behind")
    assert drain(backend, door, 20) == b"before"
    assert list(door.keeper.streams) == [1]
    door.keeper.full = False
    assert drain(backend, door, 20) == b"behind"
    assert not stream.kept
    assert door.keeper.said[-1] == "drop 1"


def test_what_is_held_of_a_stream_stays_until_the_keeper_has_dropped_it(door: Lives) -> None:
    # Who is restored in between would miss bytes in the middle.
    stream, client, backend = door.join()
    sent = fill(backend, door, BLOB)
    pipe = stream.down.pipe
    assert pipe is not None
    count = pipe.count()
    assert count
    door.keeper.full = True
    door.relay.abandon(stream, Reason.DRAIN_CLOSED)
    assert pipe.count() == count
    door.keeper.full = False
    door.restart()
    assert len(door.relay) == 1, "this process died before the keeper could be told"
    assert drain(client, door, sent) == data(sent)
    backend.shutdown(socket.SHUT_WR)


def test_what_is_held_goes_when_the_keeper_has_been_told(door: Lives) -> None:
    stream, _, backend = door.join()
    fill(backend, door, BLOB)
    pipe = stream.down.pipe
    assert pipe is not None
    door.relay.abandon(stream, Reason.DRAIN_CLOSED)
    assert pipe.count() == 0
    assert pipe in door.relay._plumbing._pool._free


def test_a_pipe_that_cannot_be_kept_is_not_used(door: Lives) -> None:
    _, client, backend = door.join()
    door.keeper.full = True
    client.send(b"hello")
    assert drain(backend, door, 5) == b""
    assert door.watched() == [door.stream.down.source], "it starves, and burns no core"
    door.keeper.full = False
    door.relay.replenish()
    assert drain(backend, door, 5) == b"hello"


def test_one_finds_a_pipe_and_all_that_starve_go_on(door: Lives) -> None:
    _, client, backend = door.join()
    _, other, other_backend = door.join()
    door.keeper.full = True
    client.send(b"hello")
    door.turns()
    door.keeper.full = False
    other.send(b"hello")
    assert drain(other_backend, door, 5) == b"hello"
    assert drain(backend, door, 5) == b"hello"


# -- the next one goes on ---------------------------------------------------------------------------------------------


def test_the_numbers_of_streams_go_on(door: Lives) -> None:
    assert [door.join()[0].number for _ in range(3)] == [1, 2, 3]
    door.relay.abandon(door.join()[0], Reason.SHUTDOWN)
    door.restart()
    assert [stream.number for stream in door.relay.streams] == [1, 2, 3]
    assert [stream.number for stream in door.relay.newest] == [3, 2, 1]
    assert door.join()[0].number == 5
    assert door.keeper.words.last_stream == 5
    door.keeper.words.last_stream = 0  # as if the words were lost, and the streams not
    door.restart()
    assert door.join()[0].number == 6


def test_a_stream_goes_on_in_both_directions(door: Lives) -> None:
    _, client, backend = door.join()
    client.send(b"one")
    assert drain(backend, door, 3) == b"one"
    door.restart()
    stream = door.stream
    assert stream.kept
    assert (stream.number, stream.since, stream.up.word, stream.down.word) == (1, 1.0, 2, 3)
    client.send(b"two")
    backend.send(b"three")
    assert drain(backend, door, 3) == b"two"
    assert drain(client, door, 5) == b"three"
    door.restart()
    client.send(b"four")
    assert drain(backend, door, 4) == b"four"
    assert len(door.keeper.pipes) == 1, "the pipe that was there was good enough"


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_bytes_in_a_pipe_of_either_direction_are_delivered_first(door: Lives, direction: int) -> None:
    _, client, backend = door.join()
    sender, receiver = (client, backend) if direction == UP else (backend, client)
    sent = fill(sender, door, BLOB)
    door.restart()
    stream = door.stream
    flow = (stream.up, stream.down)[direction]
    assert flow.held
    assert not flow.reading
    receiver.send(b"and the other way")
    assert drain(sender, door, 17) == b"and the other way"
    sender.shutdown(socket.SHUT_WR)
    assert drain(receiver, door, sent + 1) == data(sent)
    assert flow.ended


def test_bytes_in_both_pipes(door: Lives) -> None:
    _, client, backend = door.join()
    down, up = fill(backend, door, BLOB), fill(client, door, BLOB[7:])
    door.restart()
    assert door.stream.up.held
    assert door.stream.down.held
    assert drain(client, door, down) == data(down)
    assert drain(backend, door, up) == BLOB[7 : 7 + up]
    assert [len(door.keeper.pipes), len(door.relay._plumbing._pool._free)] == [3, 2]


def test_a_side_that_had_finished_says_so_again(door: Lives) -> None:
    _, client, backend = door.join()
    client.send(b"question")
    client.shutdown(socket.SHUT_WR)
    assert drain(backend, door, 9) == b"question"
    door.restart()
    door.turns()
    assert door.stream.up.ended
    assert door.relay.parting == [door.stream]
    backend.send(b"answer")
    assert drain(client, door, 6) == b"answer"
    backend.close()
    door.turns()
    assert client.recv(1) == b""
    assert not len(door.relay)
    assert door.gate.ledger.ended == {"client_closed": 1}


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_sender_has_finished_and_its_last_bytes_are_in_a_pipe(door: Lives, direction: int) -> None:
    _, client, backend = door.join()
    sender, receiver = (client, backend) if direction == UP else (backend, client)
    sent = fill(sender, door, BLOB)
    sender.close()
    door.restart()
    assert drain(receiver, door, sent + 1) == data(sent)
    receiver.close()
    door.turns()
    assert not len(door.relay)
    assert not door.keeper.streams


@pytest.mark.parametrize("held", [False, True])
def test_both_ends_have_gone_meanwhile(door: Lives, held: bool) -> None:
    _, client, backend = door.join()
    if held:
        fill(backend, door, BLOB)
        fill(client, door, BLOB)
    door.die()
    client.close()
    backend.close()
    door.live()
    door.turns()
    assert not len(door.relay)
    assert not door.keeper.streams
    assert door.watched() == []
    pool = door.relay._plumbing._pool
    assert pool.made == len(pool._free) + (door.relay._plumbing.spare is not None)


def test_bytes_of_a_stream_that_is_not_known_go_with_their_pipe(door: Lives) -> None:
    _, _, backend = door.join(kept=False)
    fill(backend, door, BLOB)
    (held,) = (index for index, pipe in door.keeper.open_pipes.items() if pipe.count())
    backend.close()
    door.restart()
    assert list(door.left) == [1]
    assert door.keeper.said[-1] == f"lose pipe {held}"
    assert held not in door.keeper.pipes
    _, client, backend = door.join()
    client.send(b"x")
    assert drain(backend, door, 1) == b"x"


def test_a_pipe_from_before_there_was_anybody_to_keep_it_serves_no_stream() -> None:
    """The host's first turn comes before the keeper has been asked for anything, and finds a spare pipe."""
    relay = Relay(lambda streams, pipes: True)
    relay.replenish()
    early = relay._plumbing.spare
    assert early is not None

    class Told(Nobody):
        pipes: list[Pipe] = []  # noqa: RUF012 - one test, one keeper

        def keep_pipe(self, pipe: Pipe) -> bool:
            self.pipes.append(pipe)
            return True

    relay.begin(Words.alone(), Told())
    assert not any(os.path.exists(f"/proc/self/fd/{fd}") for fd in (early.read, early.write))
    relay.replenish()
    assert Told.pipes == [relay._plumbing.spare]
    for pipe in Told.pipes:
        pipe.close()
    relay._epoll.close()
    relay.words.close()


def test_no_empty_pipe_is_dropped_before_it_is_sure_who_goes_on(door: Lives) -> None:
    # In an upgrade the one before may go on after all, and its next bytes may be in any of them.
    for index in range(KEPT + 10):
        door.keeper.pipes[index] = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    said = len(door.keeper.said)
    before = set(door.keeper.pipes)
    door.restart()
    assert door.keeper.said[said:] == []
    assert set(door.keeper.pipes) == before
    door.relay.replenish()
    assert len(door.keeper.pipes) == KEPT + 1, "those of the pool, and the spare one"


def test_what_is_no_pipe_and_what_is_no_socket(door: Lives) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    garbage = Pipe(5, (null, os.dup(null)))
    relay = Relay(lambda streams, pipes: True)
    assert relay.begin(Words.alone(), Nobody(), [garbage]) == {}
    assert not os.path.exists(f"/proc/self/fd/{null}")

    with open(os.devnull, encoding="ascii") as file:
        fds = (file.fileno(), file.fileno())
        with pytest.raises(PermissionError):  # epoll_ctl(2): what cannot be polled
            relay.expect(1, "unix", fds, 0.0)
    assert not len(relay)
    relay._epoll.close()
    relay.words.close()


def test_a_copy_that_blocks_is_made_not_to(door: Lives) -> None:
    _, client, backend = door.join()
    client.send(b"x")
    assert drain(backend, door, 1) == b"x"
    for fd in (*door.keeper.streams[1], *door.keeper.pipes[0]):
        os.set_blocking(fd, True)  # the flag is everybody's
    door.restart()
    for fd in (*door.keeper.streams[1], *door.keeper.pipes[0]):
        assert not os.get_blocking(fd)


def test_nobody_keeps_nothing() -> None:
    nobody = Nobody()
    pipe = Pipe(0)
    with contextlib.closing(pipe):
        assert nobody.keep_pipe(pipe)
        nobody.lose_pipe(pipe)
    assert nobody.drop([])
    assert repr(nobody) == "<Nobody>"


def test_a_duplicate_in_the_set_is_what_this_is_all_about() -> None:
    # The kernel's habit that the relay works against: if this fails, it can do without.
    ours, theirs = socket.socketpair()
    copy = os.dup(ours.fileno())
    with select.epoll() as epoll:
        number = ours.fileno()
        epoll.register(number, select.EPOLLIN)
        ours.close()
        theirs.close()
        assert [fd for fd, _ in epoll.poll(0)] == [number]
        os.close(copy)
        assert epoll.poll(0) == []
