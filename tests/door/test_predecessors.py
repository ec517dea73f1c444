"""What a door process that was replaced says to the one that serves. The channel and the relay are real."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frontdoor.door.outbox import TOGETHER, Outbox, Returned, Told
from frontdoor.door.predecessors import Predecessors, note_of
from frontdoor.keeper import wire
from frontdoor.keeper.link import Held
from frontdoor.policy.generation import Generation, Happening, Seat
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.unseated import Unseated

NEVER = float("inf")
KEY = "predecessor/77"


def generation(number: int) -> Generation:
    it = Generation("v1", number, 0.0)
    it.seats.append(Seat(it, 0, ""))
    it.happen(Happening.PROVED_READY, 0.0)
    return it


class Here:
    """The process that serves: a door with two generations, of which the first one drains."""

    def __init__(self, note: object, *, accepted: int = 3) -> None:
        """``accepted``: streams of the ledger, all of them open."""
        self.channel, theirs = wire.pair()
        self.emptied: list[Generation] = []
        self.switchboard = Switchboard(self.emptied.append)
        self.ledger = Ledger()
        self.gate = Gate("main", self.switchboard, self.ledger, Limits(100, NEVER, NEVER, NEVER, NEVER), http=object())
        self.old, self.new = generation(1), generation(2)
        self.switchboard.switch(self.old, 1.0)
        self.switchboard.switch(self.new, 2.0)
        for _ in range(accepted):
            self.ledger.accept()
        self.taken: list[Unseated] = []
        self.notes: list[Any] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.dropped: list[Sequence[str]] = []
        self.room = True
        self.relay = Relay(lambda streams, pipes: True)
        log = SimpleNamespace(info=self._say, warning=self._say, error=self._say)
        self.world = SimpleNamespace(
            relay=self.relay,
            log=log,
            exchanges=SimpleNamespace(take_up=lambda gate, client: self.taken.append(client)),
            link=SimpleNamespace(post=self._post, request=lambda op, keys: self.dropped.append(keys)),
            nursery=SimpleNamespace(start_soon=lambda call: call()),
        )
        self.door = SimpleNamespace(
            name="main",
            gate=self.gate,
            ledger=self.ledger,
            switchboard=self.switchboard,
            fleet=SimpleNamespace(generations={1: self.old, 2: self.new}),
        )
        held = Held({KEY: (note, [theirs.detach()]), "other": (None, [])})
        self.predecessors = Predecessors(held)
        assert set(held.entries) == {"other"}
        self.streams = self.predecessors.seat(cast(Any, self.door))
        self.ledger.restore(self.streams)
        self.predecessors.begin(cast(Any, self.world))
        self.outbox = Outbox(self.channel)

    def _say(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    def _post(self, op: str, *, key: str, note: Any) -> bool:
        if self.room:
            self.notes.append((op, key, note))
        return self.room

    def hear(self) -> None:
        """All that was said so far."""
        self.outbox.flush()
        assert self.outbox.empty
        for _ in range(3):
            self.relay.turn(0)

    def adds_up(self) -> bool:
        return self.ledger.accepted == self.ledger.open + sum(self.ledger.ended.values())

    def close(self) -> None:
        self.channel.close()
        while list(self.predecessors):
            self.relay.turn(0)
        for client in self.taken:
            os.close(client.fd)


def note(**leases: int) -> dict[str, Any]:
    """Three streams, of which some have a lease: on ``g1``, ``g2``."""
    return note_of(Counter(main=3), Counter({("main", int(name[1:]), 0): count for name, count in leases.items()}))


@pytest.fixture
def here() -> Iterator[Here]:
    it = Here(note(g1=2, g2=1))
    yield it
    it.close()


def a_socket() -> int:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours.detach()


def test_what_it_has_counts_as_open_and_holds_the_drain(here: Here) -> None:
    assert here.streams == 3
    assert (here.ledger.open, here.ledger.ended) == (3, {})
    assert (here.old.open, here.new.open) == (2, 1)
    assert (here.predecessors.of(here.old), here.predecessors.at("main")) == (2, 3)
    assert here.said == [("predecessor.stays", {"pid": 77, "requests": 3})]
    assert here.predecessors.status() == [{"pid": 77, "requests": 3}]


def test_each_end_is_counted_here_with_its_reason_and_the_last_one_ends_the_drain(here: Here) -> None:
    theirs = generation(1)
    board = Returned(lambda *lease: here.outbox.left(here.gate, *lease), [theirs])
    ledger = Told(lambda reason: here.outbox.ended(here.gate, reason))
    for reason in (Reason.ANSWERED, Reason.CLIENT_RESET):
        theirs.up_bytes, theirs.down_bytes = theirs.up_bytes + 10, theirs.down_bytes + 500
        ledger.end(reason)
        board.release(theirs.seats[0])
        assert not here.emptied
        here.hear()
    assert here.emptied == [here.old]
    assert here.ledger.ended == {"answered": 1, "client_reset": 1}
    assert (here.old.up_bytes, here.old.down_bytes) == (20, 1000)
    assert (here.ledger.open, here.predecessors.at("main")) == (1, 1)
    assert here.adds_up()
    assert board.lease() is None, "it gives none itself"


def test_a_client_who_is_idle_and_one_who_has_said_half_a_request(here: Here) -> None:
    idle, asking = a_socket(), a_socket()
    numbers = [os.fstat(fd).st_ino for fd in (idle, asking)]
    here.outbox.ended(here.gate, Reason.ANSWERED)
    here.outbox.left(here.gate, here.old.seats[0], 0, 0)
    here.outbox.take(here.gate, Unseated(idle, ("127.0.0.1", 1), None, 1.0, counted=False))
    here.outbox.take(here.gate, Unseated(asking, ("127.0.0.1", 2), None, 2.0, read=b"GET / HT"))
    here.hear()
    assert [os.fstat(client.fd).st_ino for client in here.taken] == numbers
    assert [(client.counted, client.read) for client in here.taken] == [(False, b""), (True, b"GET / HT")]
    assert here.ledger.open == 2, "one has ended; the one who asks is counted as before, by the one who has him now"
    assert here.predecessors.at("main") == 1


def test_many_clients_come_in_several_parcels(here: Here) -> None:
    for number in range(3 * TOGETHER + 1):
        here.outbox.take(here.gate, Unseated(a_socket(), ("127.0.0.1", number), None, 1.0, read=b"G", counted=False))
    here.hear()
    assert [client.address for client in here.taken] == [("127.0.0.1", number) for number in range(3 * TOGETHER + 1)]


def test_a_channel_that_is_full_is_tried_again_and_closes_nobody(here: Here) -> None:
    sent = 0
    while here.outbox.empty:
        here.outbox.take(here.gate, Unseated(a_socket(), ("127.0.0.1", sent), None, 1.0, counted=False))
        sent += 1
        here.outbox.flush()
        assert sent < 100_000
    assert not here.taken
    until = time.monotonic() + 10
    while len(here.taken) < sent and time.monotonic() < until:
        here.relay.turn(0)
        here.outbox.flush()
    assert [client.address for client in here.taken] == [("127.0.0.1", number) for number in range(sent)]


def test_an_exchange_that_becomes_a_stream_keeps_its_lease(here: Here) -> None:
    client, backend = socket.socketpair(), socket.socketpair()
    for sock in (client[1], backend[1]):
        sock.setblocking(False)
    exchange = SimpleNamespace(seat=here.old.seats[0], up_bytes=5, down_bytes=7, gate=here.gate, address="", since=4.5)
    here.outbox.join(cast(Any, exchange), client[1].detach(), backend[1].detach())
    here.hear()
    (stream,) = here.relay.streams
    assert (stream.seat, stream.since, stream.up.moved, stream.down.moved) == (here.old.seats[0], 4.5, 5, 7)
    assert (here.ledger.open, here.old.open) == (3, 2)
    assert (here.predecessors.of(here.old), here.predecessors.at("main")) == (1, 2)
    client[0].send(b"hello")
    here.relay.turn(1)
    assert backend[0].recv(10) == b"hello"
    client[0].close()
    backend[0].close()
    for _ in range(3):
        here.relay.turn(0.1)
    assert here.ledger.open == 2
    assert here.adds_up()


def test_when_it_dies_all_that_it_had_is_lost_and_no_drain_waits(here: Here) -> None:
    here.outbox.ended(here.gate, Reason.ANSWERED)
    here.outbox.left(here.gate, here.new.seats[0], 0, 0)
    here.outbox.flush()
    here.channel.close()
    here.relay.turn(0)
    assert here.ledger.ended == {"answered": 1, "lost": 2}
    assert here.ledger.open == 0
    assert here.emptied == [here.old]
    assert here.dropped == [[KEY]]
    assert here.said[-1] == ("predecessor.ended", {"pid": 77, "lost": 2})
    assert list(here.predecessors) == []


def test_the_next_process_after_a_crash_finds_what_is_still_open(here: Here) -> None:
    here.outbox.ended(here.gate, Reason.ANSWERED)
    here.outbox.left(here.gate, here.old.seats[0], 0, 0)
    here.hear()
    op, key, left = here.notes[-1]
    assert (op, key) == ("note", KEY)
    following = Here(left, accepted=2)
    assert (following.streams, following.old.open, following.new.open) == (2, 1, 1)
    assert following.ledger.ended == {}
    following.close()


def test_a_note_for_which_there_was_no_room_is_posted_later(here: Here) -> None:
    here.room = False
    here.outbox.ended(here.gate, Reason.ANSWERED)
    here.hear()
    assert not here.predecessors.post()
    here.room = True
    assert here.predecessors.post()
    assert here.notes == [("note", KEY, note_of(Counter(main=2), Counter({("main", 1, 0): 2, ("main", 2, 0): 1})))]
    assert here.predecessors.post()
    assert len(here.notes) == 1, "nothing has changed since"


def test_it_is_told_to_end_what_it_has_and_then_nobody_waits_for_it(here: Here) -> None:
    assert here.predecessors.close("main", here.old, Reason.DRAIN_CLOSED) == 2
    assert here.predecessors.close("other", None, Reason.SHUTDOWN) == 0
    assert wire.receive(here.channel).body == {
        "op": "close",
        "door": "main",
        "generation": 1,
        "reason": "drain_closed",
    }
    with pytest.raises(BlockingIOError):
        wire.receive(here.channel)
    assert here.predecessors.close("main", here.old, Reason.DRAIN_CLOSED) == 0, "it is told again, and counted once"
    assert wire.receive(here.channel).body["generation"] == 1
    assert here.predecessors.close("main", None, Reason.SHUTDOWN) == 1
    here.predecessors.abandon(cast(Any, here.door), Reason.SHUTDOWN)
    assert here.ledger.ended == {"shutdown": 3}
    assert (here.old.open, here.new.open) == (0, 0)
    here.channel.close()
    here.relay.turn(0)
    assert here.ledger.ended == {"shutdown": 3}, "once"


def garbage(here: Here) -> None:
    wire.send(here.channel, b"no JSON")


def half(here: Here) -> None:
    wire.send(here.channel, wire.encode({"op": "parcel", "clients": [["main", "", None, 1.0, True, False]]}))


def foreign(here: Here) -> None:
    here.outbox.take(Gate("gone", Switchboard(), Ledger(), here.gate.limits), Unseated(a_socket(), "", None, 1.0))
    here.outbox.left(here.gate, Seat(generation(9), 0, ""), 0, 0)
    here.outbox.flush()


@pytest.mark.parametrize("what", [garbage, half, foreign])
def test_what_cannot_be_understood_hurts_nobody(here: Here, what: Callable[[Here], None]) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    what(here)
    here.outbox.ended(here.gate, Reason.ANSWERED)
    here.hear()
    assert here.ledger.ended == {"answered": 1}
    assert (here.old.open, here.new.open) == (2, 1)
    assert len(os.listdir("/proc/self/fd")) <= open_before


@pytest.mark.parametrize("wrong", [None, {}, {"open": 3, "leases": []}, {"open": {}, "leases": [["main", 1]]}])
def test_a_note_that_is_none_is_garbage_and_its_channel_is_closed(wrong: object) -> None:
    ours, theirs = wire.pair()
    predecessors = Predecessors(
        Held(
            {
                KEY: (wrong, [theirs.detach()]),
                "predecessor/2": (note(), []),
                "predecessor/x": (note(), [a_socket()]),
            }
        )
    )
    assert set(predecessors.garbage) == {KEY, "predecessor/2", "predecessor/x"}
    with pytest.raises(EOFError):
        wire.receive(ours)
    ours.close()


def test_nobody_at_the_other_end_leaves_nothing_open() -> None:
    ours, theirs = wire.pair()
    theirs.close()
    outbox = Outbox(ours)
    before = len(os.listdir("/proc/self/fd"))
    gate = Gate("main", Switchboard(), Ledger(), Limits(100, NEVER, NEVER, NEVER, NEVER))
    outbox.take(gate, Unseated(a_socket(), "", None, 1.0, read=b"GET"))
    outbox.flush()
    assert outbox.empty
    assert not outbox.open
    assert len(os.listdir("/proc/self/fd")) == before
    ours.close()
