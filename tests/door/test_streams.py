"""Streams of the relay and requests under way, seen as one."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any, cast

import pytest

from door.under_way import a_request
from frontdoor.door.streams import Streams, lives, moved
from frontdoor.exchanges.exchange import Exchange
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.stream import Stream

GATE, OTHER_GATE = cast(Any, Some(name="main")), cast(Any, Some(name="other"))
OLD, NEW = Seat(Generation("v1", 1, 0.0), 0, ""), Seat(Generation("v2", 2, 0.0), 0, "")


class There:
    """What is open: of the relay, or of http doors. It remembers what it was told to do."""

    def __init__(self, *open_: Any) -> None:
        self.open = open_
        self.told: list[tuple[Any, ...]] = []

    @property
    def streams(self) -> Any:
        return iter(self.open)

    def __iter__(self) -> Any:
        return iter(self.open)

    def of(self, generation: Generation) -> list[Any]:
        return [each for each in self.open if each.seat is not None and each.seat.generation is generation]

    def close(self, *what: Any) -> None:
        self.told.append(("close", *what))

    def abandon(self, *what: Any) -> None:
        self.told.append(("abandon", *what))

    def forget(self, *what: Any) -> None:
        self.told.append(("forget", *what))


def a_stream(number: int, seat: Seat, since: float, gate: Any = GATE) -> Stream:
    return Stream(number, gate, seat, "", (-1, -1), since)


def streams_of(relay: There, exchanges: There) -> Streams:
    return Streams(cast(Any, relay), cast(Any, exchanges), cast(Any, Some(close=lambda *what: len(what))))


@pytest.fixture
def first() -> Stream:
    return a_stream(1, OLD, 1.0)


@pytest.fixture
def second() -> Exchange:
    return a_request(seat=OLD, since=2.0, gate=GATE)


@pytest.fixture
def third() -> Stream:
    return a_stream(2, NEW, 3.0)


@pytest.fixture
def waits() -> Exchange:
    return a_request(since=0.5, gate=GATE)


def test_they_are_in_order_whoever_moves_them(first: Stream, second: Exchange, third: Stream, waits: Exchange) -> None:
    elsewhere = a_request(seat=NEW, since=4.0, gate=OTHER_GATE)
    both = streams_of(There(first, third), There(waits, second, elsewhere))
    assert [*both] == [first, second, third, elsewhere]
    assert both.of(OLD.generation) == [first, second]
    assert both.of(NEW.generation) == [third, elsewhere]
    assert both.at(GATE) == [first, third, waits, second], "at a door those who wait for a backend count, too"
    assert both.at(OTHER_GATE) == [elsewhere]


def test_with_no_request_under_way_it_is_as_if_there_were_no_http_doors(first: Stream, third: Stream) -> None:
    relay = There(first, third)
    both = streams_of(relay, There())
    assert [*both] == [first, third]
    assert both.of(OLD.generation) == [first]


def test_each_is_closed_by_whoever_moves_it(first: Stream, second: Exchange) -> None:
    relay, exchanges = There(first), There(second)
    both = streams_of(relay, exchanges)
    for each in (first, second):
        both.close(each, Reason.DRAIN_CLOSED, 3.0)
        both.abandon(each, Reason.SHUTDOWN)
    both.forget(OLD.generation)
    assert both.close_elsewhere("main", OLD.generation, Reason.DRAIN_CLOSED) == 3, "whoever has them was told"
    assert relay.told == [("close", first, Reason.DRAIN_CLOSED, 3.0), ("abandon", first, Reason.SHUTDOWN)]
    assert exchanges.told == [
        ("close", second, Reason.DRAIN_CLOSED),
        ("close", second, Reason.SHUTDOWN),
        ("forget", OLD.generation),
    ]


def test_what_they_have_moved_and_whether_they_are_over(first: Stream) -> None:
    first.up.moved, first.down.moved = 1, 2
    request = a_request(up_bytes=3, down_bytes=4)
    assert [moved(first), moved(request)] == [(1, 2), (3, 4)]
    assert lives(first)
    assert lives(request)
    first.up.live, request.ended = False, 5.0
    assert not lives(first)
    assert not lives(request)
