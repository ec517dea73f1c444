"""Every byte, both ways, through random chunks, pauses and half-closes: a script of steps, and no clock."""

import os
import socket
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from traffic.peers import Peer, data, quiet, until
from traffic.relay_under_test import Door, open_door

SIDES = ("client", "backend")
SIZES = st.one_of(st.integers(1, 40), st.integers(1, 5_000), st.integers(60_000, 400_000))

Step = tuple[str, str, int]
"""Who, what, how much."""

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(SIDES), st.just("say"), SIZES),
        st.tuples(st.sampled_from(SIDES), st.just("drip"), st.integers(1, 40)),
        st.tuples(st.sampled_from(SIDES), st.just("take"), SIZES),
        st.tuples(st.sampled_from(SIDES), st.just("finish"), st.just(0)),
        st.tuples(st.just("all"), st.just("pause"), st.just(0)),
        st.tuples(st.just("relay"), st.just("pipes"), st.integers(0, 3)),
    ),
    max_size=25,
)


@dataclass
class Side:
    """One peer, who never blocks: what it cannot say now it says later."""

    peer: Peer
    start: int
    """Where in the blob its speech begins: both sides say different things."""
    promised: int = 0
    said: int = 0
    heard: bytearray = field(default_factory=bytearray)
    finishing: bool = False
    finished: bool = False
    end_heard: bool = False

    def say(self, piece: int = 1 << 20) -> bool:
        """Say what was promised, in pieces, as far as the kernel takes it; whether it was anything."""
        before = self.said, self.finished
        try:
            while self.said < self.promised:
                some = data(min(piece, self.promised - self.said), self.start + self.said)
                self.said += os.write(self.peer.socket.fileno(), some)
        except BlockingIOError:
            pass
        if self.finishing and self.said == self.promised and not self.finished:
            self.peer.socket.shutdown(socket.SHUT_WR)
            self.finished = True
        return (self.said, self.finished) != before

    def take(self, count: int) -> bool:
        """Hear as much as there is; whether it was anything."""
        if self.end_heard:
            return False
        try:
            piece = os.read(self.peer.socket.fileno(), count)
        except BlockingIOError:
            return False
        self.heard += piece
        self.end_heard = not piece
        return True


async def play(door: Door, script: list[Step]) -> None:
    client, backend = await door.pair()
    sides = {"client": Side(client, 0), "backend": Side(backend, 500_000)}
    for who, what, count in script:
        match what:
            case "say" | "drip" if not sides[who].finishing:
                sides[who].promised += count
                sides[who].say(1 if what == "drip" else 1 << 20)
            case "take":
                sides[who].take(count)
            case "finish":
                sides[who].finishing = True
                sides[who].say()
            case "pause":
                await quiet()
            case "pipes":
                door.pipes = count
                door.sweep()
    door.pipes = 100
    door.sweep()
    for side in sides.values():
        side.finishing = True
    while not all(side.finished and side.end_heard for side in sides.values()):
        progress = [side.say() | side.take(100_000) for side in sides.values()]
        await trio.sleep(0 if any(progress) else 0.001)
    for hearer, speaker in (SIDES, SIDES[::-1]):
        assert bytes(sides[hearer].heard) == data(sides[speaker].promised, sides[speaker].start)
    for end in (client, backend):
        await end.aclose()
    await until(lambda: not door.ledger.open)
    assert sum(door.ledger.ended.values()) == 1
    assert door.pipes_at_work == 0


@pytest.mark.parametrize("one_page_pipes", [False, True], ids=["pipes", "one-page pipes"])
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # kernel buffers are filled and emptied: megabytes for an example
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
@given(script=steps, narrow=st.booleans())
async def test_every_byte_arrives_once_and_in_order(script: list[Step], narrow: bool, one_page_pipes: bool) -> None:
    async with open_door(narrow=narrow, one_page_pipes=one_page_pipes) as door:
        await play(door, script)
