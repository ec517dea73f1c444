"""Streams and pipes as the keeper hands them out, and a relay that goes on with them. The kernel's parts are real."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frontdoor.door.door import Door
from frontdoor.door.garbage import SAID
from frontdoor.door.preview import Preview
from frontdoor.door.refusal import CannotStart
from frontdoor.door.survivors import Survivors, take_words
from frontdoor.keeper.link import Held, Link
from frontdoor.observe.logs.log import Log
from frontdoor.policy.generation import Generation, Happening, Seat, State
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.keeping import Nobody
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import DOWN, UP, Stream
from frontdoor.traffic.words import Words

NEVER = float("inf")


class Scene:
    """One door with an active generation 2, which has one process, and a draining one, 1, with two."""

    def __init__(self) -> None:
        self.words = Words.create()
        self.held = Held()
        self.relay = Relay(lambda streams, pipes: True)
        self.preview = Preview(self.relay)
        self.switchboard = Switchboard()
        self.gate = Gate("main", self.switchboard, Ledger(), Limits(100, NEVER, NEVER, NEVER, NEVER))
        self.old, self.new = self._generation(1, 2), self._generation(2, 1)
        self.switchboard.switch(self.old, 1.0)
        self.switchboard.switch(self.new, 2.0)
        self.errors: list[dict[str, Any]] = []
        self.adopted: list[Stream] = []
        log = SimpleNamespace(error=lambda event, **fields: self.errors.append(fields))
        protection = SimpleNamespace(adopted=lambda stream, slot: self.adopted.append(stream))
        self.door = cast(
            Door,
            SimpleNamespace(
                name="main",
                gate=self.gate,
                switchboard=self.switchboard,
                fleet=SimpleNamespace(generations={1: self.old, 2: self.new}),
                draining={1: None},
                world=SimpleNamespace(relay=self.relay, protection=protection, log=log),
            ),
        )
        self.clients: dict[int, socket.socket] = {}
        self.backends: dict[int, socket.socket] = {}
        self.log = cast(Log, log)

    @staticmethod
    def _generation(number: int, processes: int) -> Generation:
        generation = Generation("v1", number, 0.0)
        generation.seats += [Seat(generation, process, "") for process in range(processes)]
        generation.happen(Happening.PROVED_READY, 0.0)
        return generation

    def stream(self, number: int, **changes: Any) -> None:
        """The keeper has a stream."""
        self.clients[number], client = socket.socketpair()
        self.backends[number], backend = socket.socketpair()
        for sock in (self.clients[number], self.backends[number]):
            sock.settimeout(5)
        note = {
            "door": "main",
            "generation": 2,
            "process": 0,
            "client": ["::1", 5, 0, 0],
            "since": 12.5,
            "slot": number,
        }
        text = json.dumps(list((note | changes).values()))
        self.held.entries[f"stream/{number}"] = text, [client.detach(), backend.detach()]
        self.words.last_stream = max(self.words.last_stream, number)

    def fds(self, number: int) -> list[int]:
        """What the keeper has of a stream."""
        return self.held.entries[f"stream/{number}"][1]

    def pipe(self, index: int, owner: int, content: bytes = b"") -> None:
        """And a pipe."""
        fds = os.pipe()
        os.write(fds[1], content)
        self.words.owners[index] = owner
        self.held.entries[f"pipe/{index}"] = None, list(fds)

    async def look(self) -> None:
        """All that the keeper has by now is looked at before its turn."""
        entries, self.held.entries = self.held.entries, {}
        shown = [entries, {}]

        async def preview(prefixes: object) -> dict[str, Any]:
            return shown.pop(0)

        await self.preview.look(cast(Link, SimpleNamespace(preview=preview)))

    def restore(self) -> tuple[int, Survivors]:
        survivors = Survivors(self.held, self.words, self.preview)
        survivors.begin(Nobody())
        count = survivors.seat(self.door)
        survivors.give_up()
        for _ in range(5):
            self.relay.turn(0)
        return count, survivors

    def close(self) -> None:
        for sock in (*self.clients.values(), *self.backends.values()):
            sock.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def test_a_stream_goes_on_where_it_was(scene: Scene) -> None:
    scene.stream(7)
    scene.stream(3, generation=1, process=1, client="", since=2)
    scene.words.set_tally(7, 7, 100, 200)
    scene.words.set_tally(3, 4, 100, 200)  # it is another's by now
    count, survivors = scene.restore()
    assert (count, survivors.gone, scene.held.entries) == (2, [], {})
    first, second = scene.relay.streams
    assert scene.adopted == [first, second]
    assert (first.number, first.client, first.since, first.seat) == (3, "", 2.0, scene.old.seats[1])
    assert (second.number, second.client, second.since, second.seat) == (7, ("::1", 5, 0, 0), 12.5, scene.new.seats[0])
    assert [(each.up.moved, each.down.moved) for each in (first, second)] == [(0, 0), (100, 200)]
    assert [(each.open, each.total) for each in (scene.old, scene.new)] == [(1, 1), (1, 1)]
    assert scene.old.state is State.DRAINING
    scene.clients[7].sendall(b"hello")
    scene.relay.turn(1)
    assert scene.backends[7].recv(100) == b"hello"
    assert (second.up.moved, scene.relay.words.last_stream) == (105, 7)


async def test_who_was_looked_at_before_goes_on_as_it_is_now(scene: Scene) -> None:
    for number in (2, 3, 5):
        scene.stream(number)
    scene.pipe(0, 0)
    scene.pipe(1, 0)
    await scene.look()
    scene.stream(1)  # it was stored later than those that came after it
    scene.stream(6, process=7)
    # The old one has gone on: 3 has ended, 5 was dropped and stored again, and there is something in a pipe.
    read, write = scene.preview.pipes["pipe/1"].read, scene.preview.pipes["pipe/1"].write
    scene.words.owners[1] = 2 << 1 | UP
    os.write(write, b"under way")
    gone = scene.clients[3], scene.backends[3]
    scene.clients[5].close()
    scene.backends[5].close()
    scene.stream(5, generation=1)
    scene.words.set_tally(2, 2, 900, 1000)
    scene.held.gone = ["stream/3", "stream/5"]

    count, survivors = scene.restore()
    assert (count, survivors.gone, scene.held.entries) == (3, ["stream/6"], {})
    assert [(stream.number, stream.seat) for stream in scene.relay.streams] == [
        (1, scene.new.seats[0]),
        (2, scene.new.seats[0]),
        (5, scene.old.seats[0]),
    ]
    assert [each.open for each in (scene.old, scene.new)] == [1, 2]
    assert scene.backends[2].recv(100) == b"under way"
    assert [each.recv(1) for each in gone] == [b"", b""], "nobody else had them any more"
    second = list(scene.relay.streams)[1]
    assert (second.up.moved, second.down.moved) == (900, 1000)
    for number in (1, 2, 5):
        scene.clients[number].sendall(b"hello")
        scene.relay.turn(1)
        assert scene.backends[number].recv(100) == b"hello"
    assert os.fstat(read)
    assert scene.relay.words.last_stream == 6


def test_what_was_under_way_arrives_and_then_the_rest(scene: Scene) -> None:
    for number in (5, 6):
        scene.stream(number)
    scene.pipe(0, 5 << 1 | UP, b"first up,")
    scene.pipe(1, 5 << 1 | DOWN, b"first down,")
    scene.pipe(9, 6 << 1 | DOWN)  # empty: it is of use to anybody
    scene.clients[5].sendall(b" then this")
    scene.backends[5].sendall(b" then that")
    scene.backends[5].shutdown(socket.SHUT_WR)
    assert scene.restore()[0] == 2
    end = time.monotonic() + 5
    heard = b""
    while not heard.endswith(b"then that") and time.monotonic() < end:
        scene.relay.turn(0.01)
        heard += scene.clients[5].recv(100)
    assert heard == b"first down, then that"
    scene.relay.turn(0.01)
    assert scene.clients[5].recv(100) == b""
    assert scene.backends[5].recv(100) == b"first up, then this"


def test_bytes_of_a_stream_that_is_none_reach_nobody(scene: Scene) -> None:
    scene.stream(5)
    scene.pipe(0, 4 << 1 | DOWN, b"of somebody who has gone")
    scene.pipe(1, 0, b"of nobody")
    before = len(os.listdir("/proc/self/fd"))
    assert scene.restore()[0] == 1
    assert len(os.listdir("/proc/self/fd")) == before - 4
    scene.clients[5].sendall(b"hello")
    scene.relay.turn(1)
    assert scene.backends[5].recv(100) == b"hello"


def test_a_stream_that_may_have_lost_bytes_does_not_go_on(scene: Scene) -> None:
    scene.stream(5)
    scene.stream(6)
    scene.words.owners[17] = 5 << 1 | UP  # and the keeper has no pipe 17
    count, survivors = scene.restore()
    assert (count, survivors.gone) == (1, ["stream/5"])
    assert scene.clients[5].recv(1) == b""
    assert [stream.number for stream in scene.relay.streams] == [6]


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 3},
        {"process": 1},
        {"door": "api"},
        {"door": None},
        {"since": "yesterday"},
        {"slot": [1]},
    ],
)
def test_who_has_no_place_any_more_is_closed(scene: Scene, changes: dict[str, Any]) -> None:
    scene.stream(5, **changes)
    scene.stream(6)
    count, survivors = scene.restore()
    assert (count, survivors.gone) == (1, ["stream/5"])
    assert scene.clients[5].recv(1) == b""
    assert scene.backends[5].recv(1) == b""
    assert scene.new.open == 1


def _socket_less(scene: Scene) -> None:
    scene.held.entries["stream/9"] = scene.held.entries["stream/6"][0], [os.open("/dev/null", os.O_RDWR) for _ in "12"]


def _one_descriptor(scene: Scene) -> None:
    scene.held.entries["stream/9"] = scene.held.entries["stream/6"][0], [os.open("/dev/null", os.O_RDWR)]


def _no_number(scene: Scene) -> None:
    scene.held.entries["stream/x"] = scene.held.entries["stream/6"][0], [os.open("/dev/null", os.O_RDWR) for _ in "12"]


def _no_note(scene: Scene) -> None:
    scene.held.entries["stream/9"] = None, []


def _number_too_large(scene: Scene) -> None:
    key = f"stream/{1 << 62}"
    scene.held.entries[key] = scene.held.entries["stream/6"][0], [os.open("/dev/null", os.O_RDWR) for _ in "12"]


def _negative_number(scene: Scene) -> None:
    scene.held.entries["stream/-9"] = scene.held.entries["stream/6"][0], [os.dup(fd) for fd in scene.fds(6)]


def _the_same_number(scene: Scene) -> None:
    scene.held.entries["stream/06"] = scene.held.entries["stream/6"][0], [os.dup(fd) for fd in scene.fds(6)]


def _pipe_of_another_name(scene: Scene) -> None:
    scene.held.entries["pipe/01"] = None, list(os.pipe())


def _pipe_out_of_range(scene: Scene) -> None:
    scene.held.entries["pipe/4096"] = None, list(os.pipe())


def _pipe_with_one_end(scene: Scene) -> None:
    scene.held.entries["pipe/1"] = None, [os.open("/dev/null", os.O_RDWR)]


@pytest.mark.parametrize(
    "spoil",
    [
        _socket_less,
        _one_descriptor,
        _no_number,
        _no_note,
        _number_too_large,
        _negative_number,
        _the_same_number,
        _pipe_of_another_name,
        _pipe_out_of_range,
        _pipe_with_one_end,
    ],
)
def test_garbage_is_closed_and_dropped_and_costs_nobody_else_anything(
    scene: Scene, spoil: Callable[[Scene], None]
) -> None:
    scene.stream(6)
    before = len(os.listdir("/proc/self/fd"))
    spoil(scene)
    (key,) = scene.held.entries.keys() - {"stream/6"}
    count, survivors = scene.restore()
    assert (count, survivors.gone) == (1, [key])
    assert len(os.listdir("/proc/self/fd")) <= before + 2, "and a pipe, to move bytes"
    assert (scene.new.open, scene.new.total) == (1, 1)
    survivors.garbage.say(scene.log)
    (said,) = scene.errors
    assert key in (said.get("entry"), f"stream/{said.get('stream')}"), "somebody is cut off: the log says who"


@pytest.mark.parametrize("shown", [False, True])
async def test_what_cannot_be_read_is_said_with_its_reason_and_thousands_of_it_in_a_few_lines(
    scene: Scene, shown: bool
) -> None:
    for number in range(100):
        scene.held.entries[f"stream/{number}"] = "[1, 2]", [os.open("/dev/null", os.O_RDWR) for _ in "12"]
    if shown:
        await scene.look()
    count, survivors = scene.restore()
    assert (count, len(survivors.gone)) == (0, 100)
    survivors.garbage.say(scene.log)
    *said, rest = scene.errors
    assert [each["entry"] for each in said] == [f"stream/{number}" for number in range(SAID)]
    assert "ValueError" in said[0]["reason"]
    assert rest["more"] == 100 - SAID


class FakeLink:
    def __init__(self) -> None:
        self.put_: list[str] = []
        self.dropped: list[str] = []

    async def put(self, entries: Any) -> None:
        self.put_ += [key for key, _, _ in entries]

    async def request(self, op: str, keys: list[str]) -> None:
        self.dropped += keys


async def test_words_are_those_that_there_are(scene: Scene) -> None:
    link = FakeLink()
    scene.words.last_stream = 41
    scene.held.entries["words"] = None, [os.dup(scene.words.fd)]
    words = await take_words(cast(Link, link), scene.held, scene.log, successor=False)
    assert (words.last_stream, link.put_) == (41, [])
    words.last_stream += 1
    assert scene.words.last_stream == 42
    new = await take_words(cast(Link, link), scene.held, scene.log, successor=False)
    assert (new.last_stream, link.put_) == (0, ["words"])
    words.close()
    new.close()


async def test_without_words_that_can_be_read_nobody_is_replaced(scene: Scene) -> None:
    """The old one can read them, and goes on: with its streams, all of which the keeper still has."""
    link = FakeLink()
    scene.stream(5)
    scene.held.entries["words"] = None, [os.memfd_create("short")]
    with pytest.raises(CannotStart, match="cannot be read"):
        await take_words(cast(Link, link), scene.held, scene.log, successor=True)
    assert (link.put_, link.dropped, list(scene.held.entries)) == ([], [], ["stream/5"])


async def test_without_any_words_nobody_is_replaced_though_all_streams_were_looked_at_before(scene: Scene) -> None:
    """Nobody would know whose the bytes in the pipes are."""
    link = FakeLink()
    scene.stream(5)
    await scene.look()
    with pytest.raises(CannotStart, match="cannot be read"):
        await take_words(cast(Link, link), scene.held, scene.log, successor=True)
    assert (link.put_, link.dropped) == ([], [])
    scene.preview.forget(["stream/5"])


async def test_without_words_that_can_be_read_no_stream_goes_on(scene: Scene) -> None:
    link = FakeLink()
    scene.stream(5)
    scene.held.entries["words"] = None, [os.memfd_create("short")]
    words = await take_words(cast(Link, link), scene.held, scene.log, successor=False)
    assert (words.last_stream, link.put_, link.dropped) == (0, ["words"], ["stream/5"])
    assert not scene.held.entries
    assert scene.clients[5].recv(1) == b""
    assert "no stream goes on" in scene.errors[0]["reason"]
    words.close()
