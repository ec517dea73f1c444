"""A relay in a process that gets SIGKILL, over and over: ``python -m traffic.killed_relay SECONDS``.

This process is the keeper, the clients and the backends; each child is a door process, with copies of all descriptors.
Prints how often one was killed, and how many bytes went through.
"""

import contextlib
import math
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.keeping import Nobody
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.words import Words
from traffic.peers import data

STREAMS = 6
Streams = dict[int, tuple[int, int]]


class NoMore(Nobody):
    """There are pipes enough: a new one would not be known to the next process."""

    def keep_pipe(self, pipe: Pipe) -> bool:
        return False


def relay_for_ever(words: Words, pipes: Sequence[Pipe], streams: Streams) -> None:
    """What a door process does."""
    relay = Relay(lambda streams, pipes: True)
    left = relay.begin(words, NoMore(), pipes)
    limits = Limits(1 << 30, math.inf, math.inf, math.inf, math.inf)
    gate = Gate("main", Switchboard(), Ledger(), limits)
    seat = Seat(Generation("v1", 1, 0.0), 0, "/nowhere")
    for number, fds in streams.items():
        relay.adopt(relay.expect(number, "unix", fds, 0.0), gate, seat, (0, 0), left.pop(number, {}))
    assert not left
    while True:
        relay.turn(None)


class Way:
    """From one peer to another: bytes that are all compared."""

    def __init__(self, sender: socket.socket, receiver: socket.socket, first: int) -> None:
        self.sender, self.receiver, self.first = sender, receiver, first
        self.sent = self.got = 0
        self.open = True

    def move(self, more: bool) -> bool:
        """Send, if there is to be ``more``, and receive what there is; whether the end has not come."""
        with contextlib.suppress(BlockingIOError):
            while more:
                self.sent += self.sender.send(data(random.choice((1, 500, 70_000)), self.first + self.sent))
        with contextlib.suppress(BlockingIOError):
            while self.open and random.random() < 0.7:
                piece = self.receiver.recv(random.choice((1, 3000, 200_000)))
                assert piece == data(len(piece), self.first + self.got), f"wrong byte after {self.got}"
                self.got += len(piece)
                self.open = bool(piece)
        return self.open


def tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        return client, listening.accept()[0]


def main(seconds: float) -> None:
    words = Words.create()
    pipes = [Pipe(index) for index in range(2 * STREAMS + 1)]
    streams: Streams = {}
    ways: list[Way] = []
    sides = []
    for number in range(1, STREAMS + 1):
        (client, client_side), (backend, backend_side) = tcp(), socket.socketpair()
        streams[number] = (client_side.fileno(), backend_side.fileno())
        for sock in (client, client_side, backend, backend_side):
            sock.setblocking(False)
        sides += [client_side, backend_side]
        ways += [Way(client, backend, 1000 * number), Way(backend, client, 500_000 + 1000 * number)]
    receivers = [way.receiver for way in ways]
    end, kills = time.monotonic() + seconds, 0
    while True:
        child = os.fork()
        if not child:
            relay_for_ever(words, pipes, streams)
        last = time.monotonic() > end
        if last:
            for way in ways:
                way.sender.shutdown(socket.SHUT_WR)
        until = time.monotonic() + (30.0 if last else random.uniform(0.001, 0.03))
        try:
            while time.monotonic() < until:
                going = [way.move(not last) for way in ways]
                if not any(going):
                    break
                select.select(receivers, [], [], 0.001)
        finally:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "it died by itself"
        kills += 1
        if last:
            break
    assert all(way.got == way.sent and not way.open for way in ways), [(way.got, way.sent, way.open) for way in ways]
    print(kills, sum(way.got for way in ways))


if __name__ == "__main__":
    main(float(sys.argv[1]))
