"""What the keeper is told, when, and what becomes of it when it is full, or the wire to it is."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from frontdoor.keeper import wire
from frontdoor.keeper.link import Link, Refused
from frontdoor.policy.generation import Generation, Seat
from frontdoor.traffic import fullness, protection, tally
from frontdoor.traffic.entries import decode
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.protection import AGE, BATCH, Protection
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.tally import NO_SLOT
from frontdoor.traffic.words import SLOTS, Words


class FakeKeeper:
    """The other end of the link: what it has, and how many more streams it can take."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.messages: list[int] = []
        """How many entries each `put` had."""
        self.room = 10**6
        self.wire_full = False
        self.unsent: trio.Event | None = None
        """What is asked for waits for this until it is sent."""
        self.slow: trio.Event | None = None
        """Answers wait for this."""

    def post(self, op: str, fds: Sequence[int] = (), **fields: Any) -> bool:
        if self.wire_full:
            return False
        if op == "drop":
            for key in fields["keys"]:
                self.held.pop(key, None)
        else:
            self.held.update({key: fds for key, _, _ in fields["entries"]})
        return True

    async def put(self, entries: Sequence[tuple[str, Any, Sequence[int]]]) -> None:
        self.messages.append(len(entries))
        if self.unsent is not None:
            await self.unsent.wait()
        fits = len(self.held) + len(entries) <= self.room
        if fits:
            self.held.update({key: note for key, note, _ in entries})
        if self.slow is not None:
            await self.slow.wait()
        await trio.lowlevel.checkpoint()
        if not fits:
            raise Refused(errno.EMFILE, "it is at its limit")


class FakeRelay:
    """Streams without sockets."""

    def __init__(self) -> None:
        self.still = False
        self.events = 0
        self.open: dict[int, Stream] = {}
        self.leaving: list[Stream] = []
        self.protection: Protection | None = None
        self.pours: list[bool] = []
        """What comes of the next tries to pour what is in memory into pipes; after them, all of it is."""
        self._seat = Seat(Generation("v1", 3, 0.0), 1, "")
        self._last = 0

    @property
    def newest(self) -> Iterator[Stream]:
        return reversed(self.open.values())

    @property
    def parting(self) -> list[Stream]:
        return [stream for stream in self.open.values() if stream.deadline is not None]

    def pour(self) -> bool:
        return self.pours.pop(0) if self.pours else True

    @property
    def streams(self) -> Iterator[Stream]:
        return iter(list(self.open.values()))

    def join(self, count: int = 1, age: float = 0.0) -> list[Stream]:
        made = []
        self.events += 1
        for _ in range(count):
            self._last += 1
            gate = cast(Any, SimpleNamespace(name="main"))
            stream = Stream(self._last, gate, self._seat, ("127.0.0.1", 50000), (3, 4), time.monotonic() - age)
            self.open[stream.number] = stream
            made.append(stream)
        return made

    def end(self, stream: Stream) -> None:
        """As `Ending.finish` does it."""
        self.events += 1
        del self.open[stream.number]
        stream.up.live = stream.down.live = False
        if stream.kept:
            stream.kept, stream.lent = False, True
            self.leaving.append(stream)
        self.replenish()

    def replenish(self) -> None:
        assert self.protection is not None
        if self.leaving and self.protection.drop(self.leaving):
            self.leaving = []


class Scene:
    def __init__(self, room: int = 10**6) -> None:
        self.keeper, self.relay, self.words = FakeKeeper(), FakeRelay(), Words.alone()
        self.said: list[tuple[int, str]] = []
        self.protection = Protection(
            cast(Relay, self.relay), cast(Link, self.keeper), self.words, room, lambda *what: self.said.append(what)
        )
        self.relay.protection = self.protection

    async def store(self) -> None:
        """Everything, however young."""
        self.relay.still = True
        await self.protection.complete()
        self.relay.still = False

    async def run(self) -> None:
        """The task, and what the relay's loop does for it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.protection.run)
            while True:
                self.protection.look(time.monotonic())
                await trio.sleep(0.005)

    @property
    def kept(self) -> set[int]:
        return {int(key.removeprefix("stream/")) for key in self.keeper.held if key.startswith("stream/")}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is a hundredth of one."""
    monkeypatch.setattr(protection, "TALLY", 0.01)
    monkeypatch.setattr(fullness, "TRY_AGAIN", 0.01)


async def until(look: Any) -> None:
    with trio.fail_after(5):
        while not look():
            await trio.sleep(0.005)


async def test_who_is_older_than_a_second_is_stored_and_nobody_else(
    scene: Scene, nursery: trio.Nursery, in_haste: None
) -> None:
    old = scene.relay.join(300, age=2.0)
    scene.protection.look(time.monotonic())
    young = scene.relay.join(5)
    nursery.start_soon(scene.run)
    await until(lambda: len(scene.kept) == 300)
    await trio.sleep(0.05)
    assert scene.kept == {stream.number for stream in old}
    assert all(stream.kept for stream in old)
    assert not any(stream.kept for stream in young)
    assert max(scene.keeper.messages) == BATCH
    assert sum(scene.keeper.messages) == 300
    assert decode(scene.keeper.held["stream/7"]) == {
        "door": "main",
        "generation": 3,
        "process": 1,
        "client": ["127.0.0.1", 50000],
        "since": old[6].since,
        "slot": 6,
    }
    assert (len(scene.protection), scene.protection.full) == (300, False)
    await until(lambda: len(scene.kept) == 305)
    assert time.monotonic() - young[0].since > AGE


async def test_who_ends_is_dropped_and_his_slot_is_given_to_another(scene: Scene) -> None:
    first, second = scene.relay.join(2)
    await scene.store()
    slot = first.slot
    scene.relay.end(first)
    assert scene.kept == {second.number}
    (third,) = scene.relay.join()
    await scene.store()
    assert (third.slot, scene.kept) == (slot, {2, 3})


async def test_who_ends_while_he_is_stored_is_dropped_behind_that(scene: Scene, nursery: trio.Nursery) -> None:
    scene.keeper.slow = trio.Event()
    first, second = scene.relay.join(2)
    nursery.start_soon(scene.store)
    await until(lambda: scene.keeper.messages)
    scene.relay.end(first)
    scene.keeper.slow.set()
    await until(lambda: not scene.relay.still)
    assert scene.kept == {second.number}
    assert len(scene.protection) == 1


async def cancelled(scene: Scene) -> None:
    """An upgrade is begun, and comes to nothing while somebody is being stored."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.store)
            await until(lambda: scene.keeper.messages)
            scope.cancel()
    scene.relay.still = False


async def test_a_store_that_is_cancelled_before_it_was_sent_is_made_up_for(
    scene: Scene, nursery: trio.Nursery, in_haste: None
) -> None:
    """Else a stream would be taken for one that lives through a crash, for ever."""
    (stream,) = scene.relay.join(age=2.0)
    scene.keeper.unsent = trio.Event()
    await cancelled(scene)
    assert (scene.kept, stream.kept, len(scene.protection)) == (set(), False, 0)
    scene.keeper.unsent = None
    nursery.start_soon(scene.run)
    await until(lambda: scene.kept == {stream.number})
    assert (stream.kept, len(scene.protection)) == (True, 1)


async def test_a_store_that_is_cancelled_after_it_was_sent_leaves_nothing_behind(
    scene: Scene, nursery: trio.Nursery, in_haste: None
) -> None:
    """Who ends before he is stored again must not stay with the keeper, his socket open."""
    stream, other = scene.relay.join(2, age=2.0)
    scene.keeper.slow = trio.Event()
    await cancelled(scene)
    assert scene.kept == {1, 2}
    scene.keeper.slow = None
    scene.relay.end(stream)
    nursery.start_soon(scene.run)
    await until(lambda: scene.kept == {other.number} and other.kept)
    await trio.sleep(0.05)
    assert scene.kept == {other.number}, "it was not dropped after it was stored again"


async def test_nobody_is_stored_whom_nobody_else_could_go_on_with(scene: Scene) -> None:
    in_memory, half, fine = scene.relay.join(3)
    in_memory.down.rest = b"x"
    half.down.source = -1
    await scene.store()
    assert scene.kept == {fine.number}
    in_memory.down.rest = b""
    await scene.store()
    assert scene.kept == {in_memory.number, fine.number}


async def test_who_only_says_goodbye_is_stored_when_another_process_takes_over_and_not_sooner(
    scene: Scene, nursery: trio.Nursery, in_haste: None
) -> None:
    goodbye, fine = scene.relay.join(2, age=2.0)
    goodbye.deadline = time.monotonic() + 1
    goodbye.down.source = -1
    nursery.start_soon(scene.run)
    await until(lambda: scene.kept == {fine.number})
    await trio.sleep(0.05)
    assert scene.kept == {fine.number}
    await scene.store()
    assert (scene.kept, goodbye.kept) == ({goodbye.number, fine.number}, True)
    scene.relay.end(goodbye)
    assert scene.kept == {fine.number}


async def test_a_pipe_that_the_full_wire_kept_from_being_made_is_tried_again(scene: Scene) -> None:
    """For bytes that are in this process's memory, and for no longer than it is the wire that is in the way."""
    pipe = Pipe(5)
    scene.keeper.wire_full = True
    assert not scene.protection.keep_pipe(pipe)
    scene.keeper.wire_full = False
    scene.relay.pours = [False, False, False]
    with trio.fail_after(5):
        await scene.store()
    assert scene.relay.pours == [False], "the second time it was for want of a pipe"
    pipe.close()


async def test_who_is_dropped_and_lives_is_stored_again(scene: Scene) -> None:
    (stream,) = scene.relay.join()
    await scene.store()
    assert scene.protection.drop([stream])
    stream.kept = False  # as the relay does it
    assert not scene.kept
    assert len(scene.protection) == 0
    await scene.store()
    assert scene.kept == {stream.number}


async def test_a_full_vault_has_the_oldest_and_is_said_once(scene: Scene) -> None:
    scene.keeper.room = 200
    streams = scene.relay.join(300)
    await scene.store()
    assert scene.kept == set(range(1, 201))
    assert scene.said == [(200, "it is at its limit")]
    assert (len(scene.protection), scene.protection.full) == (200, True)
    assert [stream.kept for stream in streams] == [True] * 200 + [False] * 100

    scene.keeper.messages.clear()
    await scene.store()
    assert scene.keeper.messages == [1], "it is not sent all of them each time"
    for stream in streams[:50]:
        scene.relay.end(stream)
    await scene.store()
    assert scene.kept == set(range(51, 251))
    scene.keeper.room = 1000
    await scene.store()
    assert scene.kept == set(range(51, 301))
    assert not scene.protection.full
    assert len(scene.said) == 1


async def test_an_episode_that_begins_anew_is_said_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullness, "EPISODE", 0.02)
    scene.keeper.room = 1
    first, *_ = scene.relay.join(2)
    await scene.store()
    await scene.store()
    scene.relay.end(first)
    await scene.store()
    assert not scene.protection.full
    await trio.sleep(0.03)
    scene.relay.join()
    await scene.store()
    assert len(scene.said) == 2


async def test_there_are_no_more_than_there_is_room_for() -> None:
    scene = Scene(room=10)
    scene.relay.join(15)
    await scene.store()
    assert len(scene.kept) == 10
    assert scene.said == [(10, "10 streams are as many as are kept")]


async def test_what_cannot_be_said_is_said_later(scene: Scene, nursery: trio.Nursery, in_haste: None) -> None:
    first, second = scene.relay.join(2)
    pipe = Pipe(5)
    assert scene.protection.keep_pipe(pipe)
    assert scene.keeper.held["pipe/5"] == [pipe.read, pipe.write]
    scene.words.owners[5] = first.up.word
    await scene.store()
    scene.keeper.wire_full = True
    scene.relay.end(first)
    pipe.close()
    scene.protection.lose_pipe(pipe)
    assert not scene.protection.keep_pipe(pipe)
    assert scene.words.owner(5) == 0, "its last stream has lost nothing with it"
    nursery.start_soon(scene.run)
    await trio.sleep(0.05)
    assert set(scene.keeper.held) == {"stream/1", "stream/2", "pipe/5"}
    scene.keeper.wire_full = False
    await until(lambda: set(scene.keeper.held) == {"stream/2"})
    assert second.kept


async def test_a_new_pipe_is_not_dropped_in_the_place_of_an_old_one(scene: Scene) -> None:
    pipe = Pipe(5)
    scene.protection.keep_pipe(pipe)
    scene.keeper.wire_full = True
    scene.protection.lose_pipe(pipe)
    scene.keeper.wire_full = False
    assert scene.protection.keep_pipe(pipe)
    await scene.store()
    assert set(scene.keeper.held) == {"pipe/5"}
    pipe.close()


async def test_the_tally_follows(scene: Scene, nursery: trio.Nursery, in_haste: None) -> None:
    first, second = scene.relay.join(2)
    first.up.moved, first.down.moved = 10, 20
    await scene.store()
    assert scene.words.tally(first.slot) == (1, 10, 20)
    nursery.start_soon(scene.run)
    second.up.moved, second.up.stamp = 7, time.monotonic()
    scene.relay.events += 1
    await until(lambda: scene.words.tally(second.slot) == (2, 7, 0))


async def test_nothing_is_done_while_the_relay_stands_still(
    scene: Scene, nursery: trio.Nursery, in_haste: None
) -> None:
    (kept,) = scene.relay.join(age=2.0)
    await scene.store()
    scene.relay.still = True
    nursery.start_soon(scene.run)
    scene.relay.join(5, age=2.0)
    kept.up.moved, kept.up.stamp = 7, time.monotonic()
    scene.relay.events += 1
    await trio.sleep(0.1)
    assert scene.kept == {kept.number}
    assert scene.words.tally(kept.slot) == (1, 0, 0)
    scene.relay.still = False
    await until(lambda: len(scene.kept) == 6 and scene.words.tally(kept.slot) == (1, 7, 0))


async def test_those_of_the_process_before_keep_their_slots(scene: Scene) -> None:
    for stream, slot in zip(scene.relay.join(3), (4, 0, 2), strict=True):
        stream.kept = True
        scene.protection.adopted(stream, slot)
    scene.protection.all_adopted()
    new = scene.relay.join(4)
    await scene.store()
    assert {stream.slot for stream in new} == {1, 3, 5, 6}
    assert len(scene.protection) == 7
    assert sum(scene.keeper.messages) == 4


async def test_without_a_slot_it_is_kept_all_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SLOTS > 10_000
    monkeypatch.setattr(tally, "SLOTS", 2)
    streams = scene.relay.join(3)
    await scene.store()
    assert [stream.slot for stream in streams] == [0, 1, NO_SLOT]
    assert len(scene.kept) == 3
    scene.relay.end(streams[2])
    assert len(scene.kept) == 2


def test_the_status_says_how_much_is_kept_at_the_most() -> None:
    scene = Scene(room=70)
    assert scene.protection.status()["limit"] == {"streams": 70, "descriptors": None}, "a keeper that does not say"
    scene.protection.limit = 680
    assert scene.protection.status() == {
        "streams": 0,
        "full": False,
        "limit": {"streams": 70, "descriptors": 680},
    }


async def test_a_pipe_that_the_keeper_could_not_take_makes_the_vault_full(autojump_clock: trio.abc.Clock) -> None:
    scene = Scene()
    pipe = Pipe(3)
    assert scene.protection.keep_pipe(pipe)
    cast(Any, scene.keeper).on_unkept(["pipe/3"], "no room")
    assert (scene.said, scene.protection.full) == ([(0, "no room")], True)
    pipe.close()


@pytest.mark.parametrize(
    "client", [b"\0abstract", b"\0\xff", None, "/run/client.sock", "/run/\udcff", ("::1", 5, 0, 0)]
)
async def test_whatever_address_a_client_has_he_is_kept(scene: Scene, client: object) -> None:
    """A Unix client that is bound to an abstract address has bytes for one: they are no JSON."""
    first, second = scene.relay.join(2)
    first.client = client
    await scene.store()
    assert scene.kept == {first.number, second.number}
    wire.encode({"note": scene.keeper.held["stream/1"]})
    known = decode(scene.keeper.held["stream/1"])["client"]
    assert known == (list(client) if isinstance(client, tuple) else client if isinstance(client, str) else "")


@pytest.mark.parametrize("note", [None, {}, 5, "", "5", "[]", "[1, 2, 3]", '{"door": 1}', "["])
def test_what_is_no_note_of_a_stream_is_none(note: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        decode(note)


async def test_who_starves_for_a_pipe_does_not_wait_for_the_sweeper(scene: Scene, nursery: trio.Nursery) -> None:
    asked: list[float] = []
    scene.relay.replenish = lambda: asked.append(time.monotonic())  # type: ignore[method-assign]
    nursery.start_soon(scene.protection.run)
    scene.keeper.wire_full = True
    pipe = Pipe(5)
    assert not scene.protection.keep_pipe(pipe)
    began = time.monotonic()
    await until(lambda: asked)
    assert asked[0] - began < 5
    pipe.close()


class Steps(trio.abc.Instrument):
    """Counts what trio does, but for the test's own task."""

    def __init__(self) -> None:
        self.count = 0
        self._own = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is not self._own


async def test_while_nothing_happens_nothing_is_done(
    scene: Scene, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "TALLY", 0.0)
    nursery.start_soon(scene.protection.run)
    scene.relay.join(3, age=2.0)
    now = time.monotonic()
    while len(scene.kept) < 3:
        scene.protection.look(now)
        await wait_all_tasks_blocked()
    scene.protection.look(now)
    await wait_all_tasks_blocked()
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    for second in range(100):
        scene.protection.look(now + second)
        await wait_all_tasks_blocked()
    assert steps.count == 0
    scene.relay.join(1)
    scene.protection.look(now + 100)
    await wait_all_tasks_blocked()
    assert steps.count > 0
    trio.lowlevel.remove_instrument(steps)


async def test_those_of_the_process_before_are_not_looked_at_again_and_again(scene: Scene) -> None:
    """As after a loss of the words: all numbers are higher than the last one that is known."""
    for stream in scene.relay.join(3, age=2.0):
        stream.kept = True
        scene.protection.adopted(stream, stream.number)
    scene.protection.all_adopted()
    await scene.store()
    assert scene.keeper.messages == []
    assert not scene.protection._later
