"""All streams are walked in slices, and what comes and goes meanwhile does not make it wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from door.under_way import a_request
from frontdoor.door import status
from frontdoor.policy.generation import Generation, Seat
from frontdoor.traffic.stream import Stream


class FakeRelay:
    """Streams without sockets."""

    def __init__(self, *generations: Generation) -> None:
        self._seats = [Seat(generation, 0, "") for generation in generations]
        self._gate = cast(Any, SimpleNamespace(name="main"))
        self._open: dict[int, Stream] = {}
        self._count = 0

    @property
    def streams(self) -> Iterator[Stream]:
        return iter(list(self._open.values()))

    def join(self, count: int, up: int = 1) -> None:
        for _ in range(count):
            self._count += 1
            seat = self._seats[self._count % len(self._seats)]
            made = self._open[self._count] = Stream(
                self._count, self._gate, seat, ("127.0.0.1", 50000), (-1, -1), self._count / 1e6
            )
            made.up.moved, made.down.moved = up, 2 * up

    def end(self, number: int) -> None:
        """As `Ending.finish` does it."""
        ended = self._open.pop(number)
        ended.up.live = ended.down.live = False
        ended.seat.generation.up_bytes += ended.up.moved
        ended.seat.generation.down_bytes += ended.down.moved


@pytest.fixture
def generation() -> Generation:
    return Generation("v1", 1, 0.0, up_bytes=1000, down_bytes=2000)


async def test_bytes_are_added_up_in_slices_and_nothing_counts_twice(generation: Generation) -> None:
    other = Generation("v2", 2, 0.0)
    relay = FakeRelay(generation, other)
    relay.join(9000)
    at_once = 0

    async def meanwhile() -> None:
        nonlocal at_once
        at_once = 1
        for number in range(1, 9000, 2):
            relay.end(number)
            relay.join(1, up=10**6)
            at_once += 1
            if number % 1000 == 1:
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(meanwhile)
        sums = await status.carried(relay.streams, [generation, other])
        assert at_once > 1  # it was let in between
    assert [sums[each].up for each in (generation, other)] == [1000 + 4500, 4500]
    assert [sums[each].down for each in (generation, other)] == [2000 + 9000, 9000]


async def test_the_oldest_is_one_that_is_still_there(generation: Generation) -> None:
    relay = FakeRelay(generation)
    relay.join(3)
    first, second, _ = relay.streams
    carried = (await status.carried(relay.streams, [generation]))[generation]
    assert carried.oldest is first
    relay.end(1)
    assert carried.oldest is second
    relay.end(2)
    relay.end(3)
    assert carried.oldest is None


async def test_few_streams_are_of_one_instant(generation: Generation) -> None:
    relay = FakeRelay(generation)
    relay.join(status.SUMMED - 1)
    with trio.testing.assert_no_checkpoints():
        await status.carried(relay.streams, [generation])


def test_streams_are_shown_in_slices_each_made_when_it_is_taken(generation: Generation) -> None:
    other = Generation("v2", 2, 0.0)
    relay = FakeRelay(generation, other)
    relay.join(9000)
    others = {stream.seat for stream in relay.streams if stream.seat.generation is other}
    slices = iter(status.streams(relay.streams, lambda stream: stream.seat in others))
    shown = next(slices)
    relay.join(10)  # has come in too late
    relay.end(shown[0]["id"])  # is shown already
    relay.end(8999)  # has gone in time
    rest = [*slices]
    assert max(map(len, [shown, *rest])) <= status.SHOWN
    numbers = [stream["id"] for some in [shown, *rest] for stream in some]
    assert numbers == list(range(1, 8999, 2))
    ages = [stream["age_s"] for some in [shown, *rest] for stream in some]
    assert ages == sorted(ages, reverse=True)
    assert rest[-1][-1]["bytes"] == {"up": 1, "down": 2}


def test_bytes_that_move_meanwhile_make_no_idle_time_below_zero(generation: Generation) -> None:
    relay = FakeRelay(generation)
    relay.join(1)
    slices = status.streams(relay.streams, lambda stream: True)
    next(relay.streams).stamp = 10.0**9
    assert next(iter(slices))[0]["idle_s"] == 0


def test_a_request_is_shown_with_its_path_and_the_id_that_the_backend_knows_it_by(generation: Generation) -> None:
    seat = Seat(generation, 0, "")
    under_way = a_request("/news?token=secret", seat, request_id=b"b24f-7", up_bytes=5, down_bytes=7, since=0.0)
    over = a_request("/over", seat, ended=3.0)
    (shown,) = next(iter(status.streams([under_way, over], lambda stream: True)))
    assert shown.pop("age_s") > 0
    assert shown.pop("idle_s") >= 0
    assert shown == {
        "id": "b24f-7",
        "door": "main",
        "generation": "v1#1",
        "client": "192.0.2.7:51234",
        "bytes": {"up": 5, "down": 7},
        "request": "GET /news",
    }


async def test_bytes_of_requests_under_way_count_and_the_oldest_may_be_one(generation: Generation) -> None:
    relay = FakeRelay(generation)
    relay.join(2)
    request = a_request(seat=Seat(generation, 0, ""), up_bytes=10, down_bytes=20)
    carried = (await status.carried([request, *relay.streams], [generation]))[generation]
    assert (carried.up, carried.down) == (1000 + 2 + 10, 2000 + 4 + 20)
    assert carried.oldest is request
    request.ended = 2.0
    assert getattr(carried.oldest, "number", None) == 1


# -- what is shown of a door --------------------------------------------------------------------------------------


def door_of(*generations: Generation, **changes: Any) -> Any:
    """As much of a door as its status looks at."""
    known: dict[str, Any] = {
        "name": "main",
        "settings": SimpleNamespace(protocol="tcp", versions=lambda: ["v1"]),
        "switchboard": SimpleNamespace(active=generations[0] if generations else None),
        "history": SimpleNamespace(previous=None),
        "leaving": False,
        "trouble": "",
        "pausing": SimpleNamespace(paused=False, left=None),
        "maintaining": SimpleNamespace(now=None),
        "swap": None,
        "ledger": SimpleNamespace(accepted=0, open=0, ended={}),
        "gate": SimpleNamespace(listeners=[], limits=SimpleNamespace(connections=1000), full=False, idle=0),
        "fleet": SimpleNamespace(generations={each.number: each for each in generations}, backends={}),
        "draining": {},
        "warm": {},
    }
    return SimpleNamespace(**(known | changes))


def shown(door: Any) -> dict[str, Any]:
    said = status.status([door], {}, {}, 1, 0.0, stopping=False)["doors"][0]
    return cast(dict[str, Any], json.loads(json.dumps(said, allow_nan=False)))


def test_how_a_generation_treats_its_streams_is_shown(generation: Generation) -> None:
    before = shown(door_of(generation))["generations"][0]
    assert before["failures"] == {"dials": 0, "early_closes": 0, "crashes": 0}
    assert before["dial_ms"] == {"mean": None, "slowest": None}
    assert not {"reason", "drain", "warm_for_s"} & set(before)
    conduct = generation.conduct
    for seconds in (0.0001, 0.0021):
        conduct.dialled(seconds, 0.0)
    conduct.dial_failed(2, 0.0)
    for _ in range(2):
        conduct.closed_early(2)
    for _ in range(3):
        conduct.crashed(0.0)
    after = shown(door_of(generation))["generations"][0]
    assert after["failures"] == {"dials": 1, "early_closes": 2, "crashes": 3}
    assert after["dial_ms"] == {"mean": 1.1, "slowest": 2.1}


def test_why_a_generation_was_taken_back_is_shown(generation: Generation) -> None:
    generation.problem = "one of its processes has crashed"
    assert shown(door_of(generation))["generations"][0]["reason"] == "one of its processes has crashed"


def test_what_a_drain_waits_for_is_shown(generation: Generation) -> None:
    drain = {"closed": 1, "waits": "1 client waits for a backend", "closes_from_s": 0.0, "deadline_s": 3.5}
    draining = SimpleNamespace(status=lambda: drain)
    said = shown(door_of(generation, draining={generation.number: draining}))
    assert said["generations"][0]["drain"] == drain


@pytest.mark.parametrize(
    ("paused", "left", "seconds"), [(False, None, None), (True, None, None), (True, 12.34, 12.3), (True, 0.0, 0.0)]
)
def test_how_long_a_pause_lasts_is_shown(paused: bool, left: float | None, seconds: float | None) -> None:
    said = shown(door_of(pausing=SimpleNamespace(paused=paused, left=left)))
    assert (said["paused"], said["paused_for_s"]) == (paused, seconds)


def test_a_canary_is_shown_while_it_is_one_and_a_swap_while_it_is_under_way() -> None:
    assert (shown(door_of())["canary"], shown(door_of())["swap"]) == (None, None)
    canary = SimpleNamespace(status=lambda: {"generation": "v2#2", "share": "5%"})
    swap = SimpleNamespace(under_way=True, status=lambda: {"number": 3, "bake_left_s": 1.5}, canary=canary)
    said = shown(door_of(swap=swap))
    assert (said["canary"], said["swap"]) == ({"generation": "v2#2", "share": "5%"}, {"number": 3, "bake_left_s": 1.5})
    swap.under_way, swap.canary = False, None
    said = shown(door_of(swap=swap))
    assert (said["canary"], said["swap"]) == (None, None)


def test_connections_are_shown_of_a_door_whose_streams_are_requests() -> None:
    assert "connections" not in shown(door_of())
    door = door_of(settings=SimpleNamespace(protocol="http", versions=lambda: ["v1"]))
    door.ledger.open, door.gate.idle = 3, 40
    assert shown(door)["connections"] == {"open": 43, "idle": 40}
