"""A door without its house: relay, listener and sweeper on real sockets, and a stand-in for each generation's backend.

Everything is in this process and in one trio run, so a test says what both peers do and when, step by step.
"""

import contextlib
import errno
import fcntl
import math
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest
import trio

from frontdoor.keeper.listeners import open_listeners
from frontdoor.policy.generation import Generation, Happening, Seat
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic import pipes as pipes_module
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.sweeper import Sweeper
from traffic.peers import Peer, cpu, quiet, until

AT_MOST = 30.0
"""Seconds for one test: past that something waits for ever."""

NARROW = 8192
"""Bytes of a kernel's buffer where a test wants to see a receiver that is slow at once, and not after megabytes."""


class OnePagePipe(pipes_module.Pipe):
    """What a user with too many pipes gets in the worst case (pipe(7))."""

    __slots__ = ()

    def __init__(self, index: int) -> None:
        super().__init__(index)
        fcntl.fcntl(self.write, fcntl.F_SETPIPE_SZ, 4096)

    def widen(self) -> None:
        """Nobody can."""


class CountedRelay(Relay):
    """Counts the turns of its loop: a loop that spins makes thousands."""

    turns = 0

    def turn(self, timeout: float | None) -> None:
        self.turns += 1
        super().turn(timeout)


class StandIn:
    """One generation, and its backend's listening socket: the test itself is the backend."""

    def __init__(self, folder: str, version: str, number: int, backlog: int | None) -> None:
        self.peers: list[Peer] = []
        self.generation = Generation(version, number, time.time())
        self.seat = Seat(self.generation, 0, f"{folder}/g{number}.sock", up=True)
        self.generation.seats.append(self.seat)
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.listening.bind(self.seat.address)
        if backlog is not None:
            self.listen(backlog)

    def listen(self, backlog: int) -> None:
        self.listening.listen(backlog)

    async def greet(self) -> Peer:
        """Accept one, and say who it is."""
        backend = await self.accept()
        await backend.send_all(self.generation.id.encode())
        return backend

    async def accept(self) -> Peer:
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.listening)
        sock, _ = self.listening.accept()
        self.peers.append(Peer(trio.socket.from_stdlib_socket(sock)))
        return self.peers[-1]


class Door:
    """One gate on 127.0.0.1 and the rooms behind it."""

    def __init__(self, limits: Limits, nursery: trio.Nursery, folder: str, narrow: bool, pipes: int, room: int) -> None:
        self.narrow = narrow
        self.pipes = pipes
        """How many pipes there may be from now on."""
        self.episodes: list[str] = []
        """Limits that were reached, once each time."""
        self.emptied: list[Generation] = []
        self.switchboard = Switchboard(self.emptied.append)
        self.ledger = Ledger()
        self.relay = CountedRelay(lambda streams, pipes: pipes <= self.pipes)
        self.listener = Listener(self.relay, nursery, room)
        self.sweeper = Sweeper(self.relay)
        self.gate = Gate("main", self.switchboard, self.ledger, limits, open_listeners("127.0.0.1:0"))
        if narrow:
            self.gate.listeners[0].setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW
            )  # accepted sockets inherit it
        self.gate.limit_reached = self.episodes.append
        self.address: tuple[str, int] = self.gate.listeners[0].getsockname()
        self.stand_ins: list[StandIn] = []
        self.clients: list[Peer] = []
        self._folder = folder

    # -- the backends' side -----------------------------------------------------------------------------------------

    def switch(self, version: str, *, backlog: int | None = 4096) -> StandIn:
        """A new generation; new streams go to it from here on. Without a backlog nobody listens there."""
        stand_in = StandIn(self._folder, version, len(self.stand_ins) + 1, backlog)
        self.stand_ins.append(stand_in)
        stand_in.generation.happen(Happening.PROVED_READY, time.time())
        self.switchboard.switch(stand_in.generation, time.time())
        return stand_in

    @property
    def backend(self) -> StandIn:
        """The stand-in for the newest generation."""
        return self.stand_ins[-1]

    # -- the clients' side ------------------------------------------------------------------------------------------

    def dial(self) -> Peer:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self.narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        sock.connect(self.address)  # it does not block: the kernel answers for a listener with a long backlog
        self.clients.append(Peer(trio.socket.from_stdlib_socket(sock)))
        return self.clients[-1]

    async def connect(self) -> Peer:
        await trio.lowlevel.checkpoint()
        return self.dial()

    async def pair(self) -> tuple[Peer, Peer]:
        """A new stream: the client's end and the backend's."""
        client = await self.connect()
        return client, await self.backend.accept()

    async def pairs(self, count: int) -> list[tuple[Peer, Peer]]:
        """New streams, all at once. The relay accepts and dials in order, so that they match."""
        clients = [self.dial() for _ in range(count)]
        return [(client, await self.backend.accept()) for client in clients]

    # -- what can be seen -------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Clients that were accepted and have no backend yet."""
        return self.ledger.open - len(self.relay)

    @property
    def stream(self) -> Stream:
        """The only one."""
        (stream,) = self.relay.streams
        return stream

    async def ended(self, **reasons: int) -> None:
        """Wait until the last stream has ended; these are the reasons why, of all that were."""
        try:
            await until(lambda: not self.ledger.open)
        except trio.TooSlowError:
            raise AssertionError(f"still open: {list(self.relay.streams)}") from None
        assert self.ledger.ended == reasons
        self.adds_up()

    def adds_up(self) -> None:
        """What must hold at any time."""
        assert self.ledger.accepted == self.ledger.open + sum(self.ledger.ended.values())
        for stand_in in self.stand_ins:
            assert stand_in.seat.open == stand_in.generation.open == len(self.relay.of(stand_in.generation))

    def sweep(self, after: float = 0.0) -> None:
        """What the sweeper does so many seconds from now."""
        self.sweeper.sweep(time.monotonic() + after)

    async def no_turns(self, seconds: float = 0.3, at_most: int = 0) -> None:
        """Nobody says anything: the relay must not burn a core meanwhile, nor look every now and then.

        Where a receiver's window is all but closed, TCP itself may send a probe or a late ACK: a turn or two.
        """
        await quiet()
        before = self.relay.turns
        busy = await cpu(seconds)
        assert self.relay.turns - before <= at_most
        assert busy < 0.2

    @property
    def pipes_at_work(self) -> int:
        """Pipes that hold the bytes of a slow receiver."""
        pool = self.relay._plumbing._pool
        return pool.made - len(pool._free) - (self.relay._plumbing.spare is not None)

    def demolish(self) -> None:
        """Free what a door process keeps until it exits."""
        for stream in self.relay.streams:
            for fd in (stream.up.source, stream.down.source):
                if fd >= 0:  # the backend's is closed before the goodbye to the client
                    os.close(fd)
        plumbing = self.relay._plumbing
        plumbing.epoll.close()
        lent = [flow.pipe for flow in self.relay._flows if flow]
        for pipe in [*plumbing._pool._free, plumbing.spare, *lent]:
            if pipe is not None:
                pipe.close()
        peers = self.clients
        for stand_in in self.stand_ins:
            stand_in.listening.close()
            peers += stand_in.peers
        for peer in peers:
            peer.socket.close()
        for listening in self.gate.listeners:
            listening.close()


@contextlib.asynccontextmanager
async def open_door(
    *,
    connections: int = 1 << 30,
    connect_timeout: float = 5.0,
    hold_timeout: float = 10.0,
    idle_timeout: float = math.inf,
    half_close_timeout: float = 60.0,
    narrow: bool = False,
    one_page_pipes: bool = False,
    pipes: int = 1 << 30,
    room: int = sys.maxsize,
    backlog: int | None = 4096,
    trusted: str | None = None,
    serve: Callable[[Peer], Awaitable[None]] | None = None,
) -> AsyncIterator[Door]:
    """An open door with v1 behind it. With ``serve`` a task answers each of v1's connections, else the test does.

    ``narrow``: the buffers between relay and client are small. ``trusted``: the network that has to send PROXY headers.
    """
    limits = Limits(connections, connect_timeout, hold_timeout, idle_timeout, half_close_timeout)
    with (
        tempfile.TemporaryDirectory(prefix="fd-") as folder,
        pytest.MonkeyPatch.context() as patch,
        trio.fail_after(AT_MOST),
    ):
        kind, doors = OnePagePipe if one_page_pipes else pipes_module.Pipe, list[Door]()

        def make_pipe(index: int) -> pipes_module.Pipe:
            if (doors[0].pipes if doors else pipes) == 0:
                raise OSError(errno.EMFILE, "not even one")  # the first one is not asked for: the kernel refuses it
            return kind(index)

        patch.setattr(pipes_module, "Pipe", make_pipe)
        with contextlib.ExitStack() as after:
            async with trio.open_nursery() as nursery:
                door = Door(limits, nursery, folder, narrow, pipes, room)
                doors.append(door)
                after.callback(door.demolish)  # not before the relay has stopped
                door.gate.trusted = (ip_network(trusted),) if trusted else ()
                door.switch("v1", backlog=backlog)
                door.listener.open(door.gate)
                door.relay.replenish()  # the first pipe is made when it is needed: not in the middle of a test
                nursery.start_soon(door.relay.run)
                if serve is not None:
                    nursery.start_soon(_serve, door.backend, serve, nursery)
                yield door
                door.adds_up()
                nursery.cancel_scope.cancel()


async def _serve(stand_in: StandIn, serve: Callable[[Peer], Awaitable[None]], nursery: trio.Nursery) -> None:
    while True:
        await trio.lowlevel.wait_readable(stand_in.listening)
        nursery.start_soon(serve, await stand_in.accept())
