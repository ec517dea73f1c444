from typing import Any, cast

import pytest

from frontdoor.policy.generation import Generation, Seat
from frontdoor.traffic import tally as module
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.tally import NO_SLOT, NOT_KEPT, Tally
from frontdoor.traffic.words import SLOTS, Words

SEAT = Seat(Generation("v1", 1, 0.0), 0, "")


def streams(count: int, first: int = 1) -> list[Stream]:
    return [Stream(number, cast(Any, None), SEAT, "", (3, 4), 0.0) for number in range(first, first + count)]


@pytest.fixture
def words() -> Words:
    return Words.alone()


def test_each_has_a_slot_of_its_own_until_it_gives_it_back(words: Words) -> None:
    tally = Tally(words)
    three = streams(3)
    for stream in three:
        stream.up.moved, stream.down.moved = 10 * stream.number, 20 * stream.number
        tally.enter(stream)
    assert [stream.slot for stream in three] == [0, 1, 2]
    assert words.tally(1) == (2, 20, 40)
    tally.strike(three[1])
    assert three[1].slot == NOT_KEPT
    (new,) = streams(1, 9)
    tally.enter(new)
    assert new.slot == 1
    assert words.tally(1) == (9, 0, 0)
    assert repr(tally) == "<Tally of 3 streams>"


def test_what_has_moved_since_then_is_written_and_nothing_else(words: Words) -> None:
    tally = Tally(words)
    early, late, unkept = streams(3)
    for stream in (early, late):
        tally.enter(stream)
    for stream, stamp in ((early, 5.0), (late, 7.0), (unkept, 9.0)):
        stream.down.moved, stream.down.stamp = 100, stamp
    tally.update([early, late, unkept], since=6.0)
    assert [words.tally(slot) for slot in range(3)] == [(1, 0, 0), (2, 0, 100), (0, 0, 0)]


def test_who_finds_none_is_not_tallied_and_gives_none_back(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOTS", 1)
    tally = Tally(words)
    first, second, third = streams(3)
    for stream in (first, second):
        tally.enter(stream)
    assert second.slot == NO_SLOT
    second.up.moved, second.up.stamp = 7, 9.0
    tally.update([first, second], since=0.0)
    assert words.tally(0) == (1, 0, 0)
    tally.strike(second)
    tally.enter(third)
    assert third.slot == NO_SLOT


@pytest.mark.parametrize("wrong", [-1, -5, SLOTS, 1 << 62])
def test_a_slot_that_cannot_be_is_none(words: Words, wrong: int) -> None:
    tally = Tally(words)
    fine, odd, twice = streams(3)
    fine.slot, odd.slot, twice.slot = 2, wrong, 2
    tally.adopt([fine, odd, twice])
    assert [stream.slot for stream in (fine, odd, twice)] == [2, NO_SLOT, NO_SLOT]
    new = streams(3, 9)
    for stream in new:
        tally.enter(stream)
    assert {stream.slot for stream in new} == {0, 1, 3}
