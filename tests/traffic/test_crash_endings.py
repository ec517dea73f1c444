"""Peers that half-close, vanish or reset, streams closed by force, urgent bytes, and a relay that is killed meanwhile.

Whatever happens, what a peer has got is what the other one has sent, from the first byte on and without a gap; and who
hears an orderly end has got all of it, unless the stream was one that nobody could go on with.
"""

import contextlib
import os
import socket
import struct
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.entries import is_due
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.sweeper import Sweeper
from traffic.lives import Death, Lives, descriptors, make_mortal
from traffic.peers import BLOB

STREAMS = 2

Step = tuple[str, int, int]


@dataclass
class Side:
    """One peer of a stream."""

    sock: socket.socket
    first: int
    """Where in BLOB its bytes begin: no two sides say the same."""
    sent: int = 0
    got: bytearray = field(default_factory=bytearray)
    finished: bool = False
    heard_end: bool = False
    broken: bool = False
    """The other side need not get all that this one has said."""

    def send(self, count: int, flags: int = 0) -> None:
        if self.finished:
            return
        begin = self.first + self.sent
        with contextlib.suppress(BlockingIOError):
            try:
                self.sent += self.sock.send(BLOB[begin : begin + count], flags | socket.MSG_NOSIGNAL)
            except (BrokenPipeError, ConnectionResetError):
                self.broken = self.finished = True

    def take(self, count: int) -> None:
        if self.heard_end:
            return
        try:
            piece = self.sock.recv(count)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
            self.broken = True  # a reset is no orderly end
        self.got += piece
        self.heard_end = not piece

    def shut(self) -> None:
        """It has said all."""
        self.finished = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    def close(self) -> None:
        self.finished = self.heard_end = True
        self.sock.close()


@dataclass
class Pair:
    """A stream as its peers see it."""

    stream: Stream
    client: Side
    backend: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.client, self.backend

    def other(self, side: Side) -> Side:
        return self.backend if side is self.client else self.client

    def breaks(self) -> None:
        """Not all need arrive any more."""
        self.client.broken = self.backend.broken = True

    def check(self) -> None:
        for side in self.sides:
            sender = self.other(side)
            said = BLOB[sender.first : sender.first + sender.sent]
            assert said.startswith(bytes(side.got)), "a gap, or what somebody else has said"


class Stage:
    """A door, its streams, and the deaths that it will die."""

    def __init__(self, deaths: list[int], patch: pytest.MonkeyPatch, *, tcp: bool, slow: bool) -> None:
        """``slow``: the keeper does what it is told much later, but all of it."""
        self.door = Lives(pipes=2 * STREAMS + 1, buffer=4096)
        self.door.keeper.slow = slow
        make_mortal(self.door, patch)
        self.tcp = tcp
        self.pairs: list[Pair] = []
        self.deaths = list(deaths)
        for number in range(STREAMS):
            self.join()
            if number % 2:
                self.door.keeper.put(self.pairs[-1].stream)  # the other one when a step says so
        self.next_death()

    def next_death(self) -> None:
        self.door.keeper.moments = self.deaths.pop() if self.deaths else 0

    def join(self) -> None:
        place = 250_000 * (len(self.pairs) % 4)
        stream, client, backend = self.door.join(kept=False, tcp=self.tcp)
        self.pairs.append(Pair(stream, Side(client, place), Side(backend, place + 125_000)))

    def do(self, what: str, pair: Pair, side: Side, count: int) -> None:
        stream = next((each for each in self.door.relay.streams if each.number == pair.stream.number), None)
        self.at_the_peers(what, pair, side, count)
        if stream is not None:
            self.to_the_stream(what, pair, stream)
        match what:
            case "full":
                self.door.keeper.full = bool(count % 2)
            case "lag":
                self.door.keeper.catch_up()
            case "sweep":
                Sweeper(self.door.relay).sweep(time.monotonic())

    def at_the_peers(self, what: str, pair: Pair, side: Side, count: int) -> None:
        match what:
            case "send":
                side.send(count)
            case "flood":
                for _ in range(8):
                    side.send(9000)
                    self.door.relay.turn(0)
            case "take":
                side.take(count)
            case "urgent" if self.tcp and not pair.client.finished:
                pair.client.send(1, socket.MSG_OOB)
                # Its mark is passed over, and the byte with it; what came before is there in order, and no more.
                pair.client.finished = pair.client.broken = True
            case "shut" if not side.finished:
                side.shut()
            case "close" if not side.closed:
                pair.other(side).broken = True
                side.broken |= self.tcp  # it may have left something unread, and that is a reset
                side.close()
            case "reset" if self.tcp and not pair.client.closed:
                pair.breaks()
                pair.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                pair.client.close()

    def to_the_stream(self, what: str, pair: Pair, stream: Stream) -> None:
        match what:
            case "keep" if is_due(stream):
                self.door.keeper.put(stream)
            case "pour":
                self.door.relay.pour()  # as in an upgrade; then it can be kept
                if is_due(stream):
                    self.door.keeper.put(stream)
            case "force":
                pair.breaks()
                self.door.relay.close(stream, Reason.DRAIN_CLOSED)
            case "abandon":
                pair.breaks()
                self.door.relay.abandon(stream, Reason.DRAIN_CLOSED)

    def play(self, what: str, number: int, count: int) -> None:
        """One step and a turn; if that is the last of this process, the next one goes on."""
        pair = self.pairs[number // 2 % len(self.pairs)]
        try:
            self.do(what, pair, pair.sides[number % 2], count)
            self.door.relay.turn(0)
        except Death:
            self.next_death()
            self.restart()
        for each in self.pairs:
            each.check()

    def restart(self) -> None:
        """The next one goes on. It may be killed while it begins."""
        door = self.door
        while True:
            door.die()
            door.keeper.catch_up()
            for pair in self.pairs:
                if pair.stream.number not in door.keeper.streams:
                    pair.breaks()  # nobody goes on with it
            try:
                door.live()
            except Death:
                self.next_death()
            else:
                return

    def finish(self) -> None:
        keeper = self.door.keeper
        keeper.full = False
        sides = [side for pair in self.pairs for side in pair.sides]
        for round_ in range(3000):
            if round_ % 3 == 0 and round_ // 3 < len(sides):
                sides[round_ // 3].shut()
            for side in sides:
                side.take(3000)
            if all(side.heard_end for side in sides) and round_ > 3 * len(sides):
                break
            self.play("sweep" if round_ % 50 == 49 else "lag", 0, 0)
        keeper.moments = 0
        for pair in self.pairs:
            for side in pair.sides:
                assert side.heard_end, f"no end, never: {self.door.relay.streams}"
                sender = pair.other(side)
                assert sender.broken or len(side.got) == sender.sent, "an orderly end, and not all has come"
                side.close()
        for _ in range(3):
            self.door.turns(3)
            keeper.catch_up()
        Sweeper(self.door.relay).sweep(time.monotonic() + 100)
        self.door.turns(3)
        keeper.catch_up()

    def nothing_is_left(self) -> None:
        door, keeper = self.door, self.door.keeper
        assert not len(door.relay)
        assert not keeper.streams
        assert keeper.pipes.keys() == keeper.open_pipes.keys()
        assert all(pipe.count() == 0 for pipe in keeper.open_pipes.values())
        assert free(door.relay) == len(keeper.open_pipes)
        assert door.watched() == []


def free(relay: Relay) -> int:
    """Pipes that nobody has borrowed."""
    return len(relay._plumbing._pool._free) + (relay._plumbing.spare is not None)


def play(steps: list[Step], deaths: list[int], *, tcp: bool, slow: bool = False) -> int:
    """Play it; how many deaths were left."""
    with pytest.MonkeyPatch.context() as patch:
        stage = Stage(deaths, patch, tcp=tcp, slow=slow)
        try:
            for step in steps:
                stage.play(*step)
            stage.finish()
            stage.nothing_is_left()
        finally:
            stage.door.close()
        return len(stage.deaths)


WHAT = (
    *("send",) * 5,
    *("flood",) * 2,
    *("take",) * 4,
    *("keep",) * 3,
    "pour",
    *("shut", "close", "reset", "urgent", "force", "abandon", "full", "full", "lag", "sweep"),
)
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 2 * STREAMS - 1), st.integers(1, 9000)), max_size=60)


@settings(max_examples=3000 if os.environ.get("FRONTDOOR_LONG") else 150, deadline=None)
@given(STEPS, st.lists(st.integers(1, 40) | st.integers(40, 300), max_size=12), st.booleans(), st.booleans())
def test_nobody_gets_a_wrong_byte_and_an_orderly_end_comes_after_all(
    steps: list[Step], deaths: list[int], tcp: bool, slow: bool
) -> None:
    before = descriptors()
    play(steps, deaths, tcp=tcp, slow=slow)
    assert descriptors() == before
