"""A relay that dies, and the next one that goes on: the lives of a door process, in this process and without a keeper.

There is no trio here: a test says when the relay makes a turn.
"""

import gc
import math
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from frontdoor import sockets
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic import relay
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.plumbing import Left
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.words import Words


class Death(BaseException):
    """The process is killed here."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class FakeKeeper:
    """Holds copies, as the keeper does, and hands them to the next relay."""

    def __init__(self) -> None:
        self.words = Words.create()
        self.pipes: dict[int, tuple[int, int]] = {}
        self.streams: dict[int, tuple[int, int]] = {}
        self.full = False
        """The wire is: nothing can be said."""
        self.slow = False
        """It does what it is told when ``catch_up`` is called, and not sooner."""
        self._to_do: list[Callable[[], object]] = []
        self.said: list[str] = []
        self.open_pipes: dict[int, Pipe] = {}
        """The relay's own."""
        self.moments = math.inf
        """Until the process is killed."""

    def moment(self) -> None:
        """One between two things that can be seen from outside: perhaps the last one."""
        self.moments -= 1
        if self.moments == 0:
            raise Death

    def catch_up(self) -> None:
        """Do all that it was told, in that order."""
        to_do, self._to_do = self._to_do, []
        for each in to_do:
            each()

    def _hear(self, what: str, do: Callable[[], object]) -> None:
        self.said.append(what)
        self._to_do.append(do)
        if not self.slow:
            self.catch_up()

    def _drop(self, held: dict[int, tuple[int, int]], name: int) -> None:
        for fd in held.pop(name, ()):
            os.close(fd)

    def _keep(self, held: dict[int, tuple[int, int]], name: int, fds: tuple[int, int]) -> None:
        """What is kept is what the descriptors were when it was said, whatever becomes of them before it is heard."""
        copies = (os.dup(fds[0]), os.dup(fds[1]))

        def keep() -> None:
            self._drop(held, name)
            held[name] = copies

        self._hear(f"keep {'pipe' if held is self.pipes else 'stream'} {name}", keep)

    def put(self, stream: Stream) -> None:
        stream.kept = True
        self.moment()
        self._keep(self.streams, stream.number, (stream.up.source, stream.down.source))
        self.moment()

    def keep_pipe(self, pipe: Pipe) -> bool:
        if self.full:
            return False
        self.open_pipes[pipe.index] = pipe
        self.moment()
        assert self.slow or pipe.index not in self.pipes
        self._keep(self.pipes, pipe.index, (pipe.read, pipe.write))
        self.moment()
        return True

    def lose_pipe(self, pipe: Pipe) -> None:
        self.open_pipes.pop(pipe.index, None)
        self.moment()
        self._hear(f"lose pipe {pipe.index}", lambda: self._drop(self.pipes, pipe.index))
        self.moment()

    def drop(self, streams: Sequence[Stream]) -> bool:
        self.moment()
        if self.full:
            return False
        for number in [stream.number for stream in streams]:
            self._hear(f"drop {number}", partial(self._drop, self.streams, number))
        self.moment()
        return True

    def look(self, now: float) -> None:
        """Nothing is done here that takes time."""

    def close(self) -> None:
        for fds in (*self.pipes.values(), *self.streams.values()):
            for fd in fds:
                os.close(fd)
        self.words.close()


class Lives:
    """One door with one backend, whose streams are put with the keeper as soon as they are there."""

    def __init__(self, pipes: int = 1 << 30, buffer: int | None = None) -> None:
        """``pipes``: how many there may be. ``buffer``: the size of the sockets' buffers, where it is to be small."""
        self.pipes = pipes
        self.buffer = buffer
        self.keeper = FakeKeeper()
        self.generation = Generation("v1", 1, 0.0)
        self.seat = Seat(self.generation, 0, "/nowhere", up=True)
        limits = Limits(1 << 30, math.inf, math.inf, math.inf, math.inf)
        self.gate = Gate("main", Switchboard(), Ledger(), limits)
        self.peers: list[socket.socket] = []
        self.relay: relay.Relay
        self.left: dict[int, Left]
        """What was in pipes of streams that the keeper does not know."""
        self.live()

    def live(self) -> None:
        """A door process starts, and goes on with what the keeper has."""
        keeper = self.keeper
        self.relay = relay.Relay(lambda streams, pipes: pipes <= self.pipes)
        pipes = [Pipe(index, (os.dup(read), os.dup(write))) for index, (read, write) in keeper.pipes.items()]
        keeper.open_pipes = {pipe.index: pipe for pipe in pipes}
        self.left = self.relay.begin(Words.open(os.dup(keeper.words.fd)), keeper, pipes)
        for number, (client, backend) in sorted(keeper.streams.items()):
            fds, held = (os.dup(client), os.dup(backend)), self.left.pop(number, {})
            self.relay.adopt(self.relay.expect(number, "unix", fds, 1.0), self.gate, self.seat, (0, 0), held)
        for left in self.left.values():
            for pipe, _ in left.values():
                self.relay.discard(pipe)

    def die(self) -> None:
        """The kernel closes what the process had."""
        plumbing = self.relay._plumbing
        for stream in self.relay.streams:
            for fd in (stream.up.source, stream.down.source):
                if fd >= 0:
                    os.close(fd)
        for fd in plumbing.closing:
            os.close(fd)
        for pipe in self.keeper.open_pipes.values():
            pipe.close()
        self.keeper.open_pipes = {}
        plumbing.epoll.close()
        self.relay.words.close()

    def restart(self) -> None:
        """Die and live."""
        self.die()
        self.live()

    def join(self, kept: bool = True, tcp: bool = False) -> tuple[Stream, socket.socket, socket.socket]:
        """A stream; what the client holds, and what the backend holds."""
        client, client_side = self._pair(tcp)
        backend, backend_side = self._pair()
        self.gate.ledger.accept()
        stream = self.relay.join(self.gate, self.seat, "unix", client_side.detach(), backend_side.detach())
        if kept:
            self.keeper.put(stream)
        return stream, client, backend

    def _pair(self, tcp: bool = False) -> tuple[socket.socket, socket.socket]:
        ours, theirs = _tcp() if tcp else socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
            if self.buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)
        self.peers.append(ours)
        return ours, theirs

    def turns(self, count: int = 20) -> None:
        for _ in range(count):
            self.relay.turn(0)

    def watched(self) -> list[int]:
        """What the relay's epoll set holds (proc(5), fdinfo)."""
        with open(f"/proc/self/fdinfo/{self.relay._epoll.fileno()}", encoding="ascii") as info:
            return [int(line.split()[1]) for line in info if line.startswith("tfd:")]

    @property
    def stream(self) -> Stream:
        """The only one."""
        (stream,) = self.relay.streams
        return stream

    def close(self) -> None:
        self.die()
        self.keeper.close()
        for peer in self.peers:
            peer.close()


def _tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        return client, listening.accept()[0]


def lives(**how: int) -> Iterator[Lives]:
    """For a fixture: nothing is left after the test."""
    gc.collect()  # of tests before this one
    before = descriptors()
    door = Lives(**how)
    yield door
    door.close()
    assert descriptors() == before


def make_mortal(door: Lives, patch: pytest.MonkeyPatch) -> None:
    """Let the moments before and after each move, and before and after each FIN, be some of those that count."""

    def splice(*args: int | None, **how: int) -> int:
        door.keeper.moment()
        moved = os.splice(*args, **how)  # type: ignore[arg-type]
        door.keeper.moment()
        return moved

    def shut(fd: int, how: int = socket.SHUT_WR) -> None:
        door.keeper.moment()
        real_shut(fd, how)
        door.keeper.moment()

    def receive(fd: int, count: int) -> bytes:
        data = real_receive(fd, count)
        door.keeper.moment()  # it is in this process's memory alone
        return data

    real_shut, real_receive = sockets.shut, sockets.receive
    patch.setattr(sockets, "receive", receive)
    patch.setattr(relay, "_splice", splice)
    patch.setattr(sockets, "shut", shut)


def fill(peer: socket.socket, door: Lives, data: bytes) -> int:
    """Send ``data`` over and over until nothing on the way takes any more; how much that was."""
    sent = stuck = 0
    while stuck < 3:
        start = sent % len(data)
        try:
            sent += peer.send(data[start : start + 5000])
            stuck = 0
        except BlockingIOError:
            door.turns()
            stuck += 1
    return sent


def drain(peer: socket.socket, door: Lives, count: int) -> bytes:
    """``count`` bytes that come here, or fewer if that is all."""
    got = bytearray()
    while len(got) < count:
        door.turns(3)
        try:
            piece = peer.recv(count - len(got))
        except BlockingIOError:
            break
        if not piece:
            break
        got += piece
    return bytes(got)
