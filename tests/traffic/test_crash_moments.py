"""A relay is killed in each moment that there is: every byte arrives all the same, once and in order."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic.lives import Death, Lives, descriptors, make_mortal
from traffic.peers import BLOB

STREAMS = 2


@dataclass
class Way:
    """From one peer to another, through a relay."""

    sender: socket.socket
    receiver: socket.socket
    first: int
    """Where in BLOB its bytes begin: no two ways carry the same."""
    sent: int = 0
    got: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def send(self, count: int) -> None:
        begin = self.first + self.sent
        try:
            self.sent += self.sender.send(BLOB[begin : begin + count])
        except BlockingIOError:
            pass

    def take(self, count: int) -> None:
        try:
            piece = self.receiver.recv(count)
        except BlockingIOError:
            return
        self.got += piece
        self.ended = not piece

    def check(self) -> None:
        assert bytes(self.got) == BLOB[self.first : self.first + self.sent]


def turn(door: Lives, deaths: list[int]) -> None:
    """A turn of the relay; if that is its last, the next one goes on."""
    try:
        door.relay.turn(0)
    except Death:
        door.keeper.moments = deaths.pop() if deaths else 0
        door.restart()


def finish(door: Lives, ways: list[Way], deaths: list[int]) -> None:
    """All senders say that this was all, one after the other, and all receivers take what there is."""
    for round_ in range(2000):
        if round_ % 3 == 0 and round_ // 3 < len(ways):
            ways[round_ // 3].sender.shutdown(socket.SHUT_WR)
        for way in ways:
            if not way.ended:
                way.take(3000)
        if all(way.ended for way in ways):
            break
        turn(door, deaths)
        if round_ % 50 == 49:
            replenish(door)
    for way in ways:
        way.check()
        assert way.ended
    door.keeper.moments = 0
    for _ in range(3):
        turn(door, [])
    replenish(door)


def replenish(door: Lives) -> None:
    """What the sweeper does; nobody dies meanwhile."""
    moments, door.keeper.moments = door.keeper.moments, 0
    door.relay.replenish()
    door.keeper.moments = moments


def play(steps: list[tuple[str, int, int]], deaths: list[int]) -> int:
    """Play it; how many deaths were left."""
    with pytest.MonkeyPatch.context() as patch:
        door = Lives(pipes=2 * STREAMS + 1, buffer=4096)
        make_mortal(door, patch)
        ways = []
        for number in range(STREAMS):
            _, client, backend = door.join()
            ways.append(Way(client, backend, 1000 + 400_000 * number))
            ways.append(Way(backend, client, 200_000 + 400_000 * number))
        deaths = list(deaths)
        door.keeper.moments = deaths.pop() if deaths else 0
        for what, number, count in steps:
            match what:
                case "send":
                    ways[number].send(count)
                case "take":
                    ways[number].take(count)
                case "full":
                    door.keeper.full = bool(count)
            turn(door, deaths)
        door.keeper.full = False
        finish(door, ways, deaths)
        assert not len(door.relay)
        assert not door.keeper.streams
        assert not door.left
        door.close()
        return len(deaths)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2 * STREAMS - 1), st.integers(1, 6000)),
        st.tuples(st.just("take"), st.integers(0, 2 * STREAMS - 1), st.integers(1, 6000)),
        st.tuples(st.just("full"), st.just(0), st.integers(0, 1)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.lists(st.integers(1, 60), max_size=12))
def test_every_byte_arrives_once_and_in_order(steps: list[tuple[str, int, int]], deaths: list[int]) -> None:
    before = descriptors()
    play(steps, deaths)
    assert descriptors() == before


def test_a_death_in_each_single_moment_of_a_short_life() -> None:
    # Both are slow for a while, and the wire is full in between, so that each kind of moment is there.
    steps = [("send", way, 5000) for way in (0, 1, 2, 3) for _ in range(8)]
    steps += [("full", 0, 1), *[("send", way, 3000) for way in (0, 1, 2, 3)], ("full", 0, 0)]
    steps += [("take", way, 6000) for way in (0, 1, 2, 3, 0, 1)]
    moment = 0
    while True:
        moment += 1
        if play(steps, [1 << 30, moment]):
            break  # it lived through all of it
    assert moment > 50


def test_a_process_that_is_killed_over_and_over_loses_no_byte() -> None:
    # The moments above are those between system calls; here they are within one, too.
    folder = os.path.dirname(os.path.dirname(__file__))
    ran = subprocess.run(
        [sys.executable, "-m", "traffic.killed_relay", "3"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    kills, count = map(int, ran.stdout.split())
    print(f"\n{kills} kills, {count / 1e6:.0f} MB")
    assert kills > 20
    assert count > 1_000_000
