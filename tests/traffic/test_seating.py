"""What is reported of a generation's dials, and who waits."""

import contextlib
import errno
import math
import os
import time

import pytest
import trio

from frontdoor.policy.conduct import SLOW
from frontdoor.policy.generation import Happening, Seat
from frontdoor.policy.share import WHOLE, Share
from frontdoor.sockets import dial
from frontdoor.traffic import seating
from traffic.peers import quiet, receive, rest, until
from traffic.relay_under_test import Door, StandIn, open_door


def failures(stand_in: StandIn) -> tuple[int, int]:
    conduct = stand_in.generation.conduct
    return conduct.failed_dials, conduct.early_closes


async def test_a_dial_that_is_taken_at_once_is_no_trouble() -> None:
    async with open_door() as door:
        for _ in range(10):
            await door.pair()
        conduct = door.backend.generation.conduct
        assert (conduct.dials, conduct.failed_dials, conduct.troubled_at) == (10, 0, -math.inf)
        assert 0 < conduct.slowest <= conduct.dial_time < SLOW


async def test_a_backlog_that_is_full_for_a_while_is_slow_and_no_failure() -> None:
    async with open_door(backlog=0) as door:
        await door.connect()
        await until(lambda: len(door.relay) == 1)  # who is in the backlog now keeps the next one out
        began = time.monotonic()
        client = await door.connect()
        await until(lambda: door.listener.waiting(door.gate) == 1)
        conduct = door.backend.generation.conduct
        assert conduct.troubled_at >= began, "somebody waits, which is trouble"
        await trio.sleep(SLOW)
        for _ in range(2):
            await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert failures(door.backend) == (0, 0)
        assert conduct.dials == 2
        assert SLOW <= conduct.slowest <= time.monotonic() - began, "all of the wait is the dial's time"
        assert door.listener.waiting(door.gate) == 0


async def test_a_backlog_that_stays_full_for_too_long_is_a_failure_for_each_client() -> None:
    async with open_door(backlog=0, hold_timeout=0.05, connect_timeout=0.05) as door:
        await door.connect()
        await until(lambda: len(door.relay) == 1)
        for client in [await door.connect() for _ in range(3)]:
            assert await rest(client) == b""
        assert failures(door.backend) == (3, 0)


@pytest.mark.parametrize("up", [True, False], ids=["nobody listens", "no process is up"])
async def test_where_nobody_is_there_each_client_is_one_failure_however_often_he_asks(up: bool) -> None:
    async with open_door(backlog=None) as door:
        door.backend.seat.up = up
        told: list[int] = []
        door.backend.generation.conduct.told = lambda: told.append(len(door.relay))
        clients = [await door.connect() for _ in range(4)]
        await until(lambda: door.waiting == 4)
        assert len(told) == 4, "each was told when it came, and not when it was given up"
        before = door.backend.generation.conduct.troubled_at
        await until(lambda: door.backend.generation.conduct.troubled_at > before)  # it goes on asking: trouble lasts
        door.backend.seat.up = True
        door.backend.listen(10)
        for client in clients:
            await door.backend.greet()
            assert await receive(client, 4) == b"v1#1"
        assert failures(door.backend) == (4, 0)
        assert len(told) == 4


async def test_who_is_given_up_after_all_is_no_second_failure() -> None:
    async with open_door(backlog=None, hold_timeout=0.05) as door:
        assert await rest(await door.connect()) == b""
        await door.ended(no_backend=1)
        assert failures(door.backend) == (1, 0)


async def test_one_process_that_does_not_listen_is_a_failure_though_its_sibling_takes_the_client() -> None:
    async with open_door() as door:
        healthy = door.backend.seat
        generation = healthy.generation
        generation.seats[:] = [Seat(generation, 1, f"{healthy.address}.missing", up=True), healthy]
        generation.seats.append(Seat(generation, 2, f"{healthy.address}.missing", up=True))
        for _ in range(3):
            await door.pair()
        assert failures(door.backend) == (3, 0), "one for each client, not one for each process"
        assert generation.conduct.dials == generation.total == 3


async def test_a_backend_that_dies_before_it_is_told_who_the_client_is_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_door(backlog=None) as door:
        door.backend.seat.proxy_protocol = "v1"
        ends: list[int] = []

        def dial_the_dying(address: str) -> int:
            ours, theirs = os.pipe()  # a pipe that nobody reads: writing says EPIPE
            os.close(ours)
            ends.append(theirs)
            return theirs

        monkeypatch.setattr(seating, "dial", dial_the_dying)
        await door.connect()
        await until(lambda: len(ends) > 1)
        assert failures(door.backend) == (1, 0)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOSPC], ids=["no descriptor", "no room to watch one more"])
@pytest.mark.parametrize("percent", [0, 100], ids=["the active one", "a canary"])
async def test_what_frontdoor_itself_is_short_of_is_not_the_backends_fault(
    error: int, percent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(hold_timeout=0.05) as door:
        both = try_out(door, percent)

        def refuse(address: str) -> int | None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(seating, "dial", refuse)
        assert await rest(await door.connect()) == b""
        await door.ended(no_backend=1)
        assert [failures(one) for one in both] == [(0, 0), (0, 0)]


async def test_with_a_switch_the_wait_for_a_generation_begins_anew() -> None:
    async with open_door(backlog=None) as door:
        clients = [await door.connect() for _ in range(3)]
        await until(lambda: door.waiting == 3)
        v1 = door.backend
        await trio.sleep(SLOW)
        v2 = door.switch("v2")
        for client in clients:
            await v2.greet()
            assert await receive(client, 4) == b"v2#2"
        assert failures(v1) == (3, 0)
        assert failures(v2) == (0, 0)
        assert v2.generation.conduct.dials == 3
        assert v2.generation.conduct.slowest < SLOW, "it was v1 that they had waited for"


async def test_a_switch_to_a_generation_where_nobody_is_fails_all_who_wait() -> None:
    async with open_door(backlog=None) as door:
        clients = [await door.connect() for _ in range(3)]
        await until(lambda: door.waiting == 3)
        v2 = door.switch("v2", backlog=None)
        await until(lambda: failures(v2) == (3, 0))
        v2.listen(10)
        for client in clients:
            await v2.greet()
            assert await receive(client, 4) == b"v2#2"
        assert failures(v2) == (3, 0)


async def test_who_comes_between_a_switch_and_the_next_dial_is_no_failure_of_the_new_generation() -> None:
    async with open_door(backlog=None) as door:
        await door.connect()
        await until(lambda: door.waiting == 1)
        v1, v2 = door.backend, door.switch("v2")
        door.dial()
        door.relay.turn(1.0)
        assert door.listener.waiting(door.gate) == 2, "first come, first served: he waits behind the other one"
        assert (failures(v1), failures(v2)) == ((1, 0), (0, 0))


async def test_while_frontdoor_stops_nobody_has_failed() -> None:
    async with open_door(hold_timeout=0.05) as door:
        door.backend.generation.happen(Happening.STOPPED, time.time())
        assert await rest(await door.connect()) == b""
        await door.ended(no_backend=1)
        assert failures(door.backend) == (0, 0)


async def test_those_who_are_handed_to_another_process_are_nobodys_failure() -> None:
    async with open_door(hold_timeout=0.0) as door:
        door.listener.held = True
        client = await door.connect()
        await until(lambda: door.listener.waiting(door.gate) == 1)
        await quiet()
        assert failures(door.backend) == (0, 0)
        assert door.backend.generation.conduct.troubled_at == -math.inf
        door.listener.held = False
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"


# -- beside a canary --------------------------------------------------------------------------------------------------


def try_out(door: Door, percent: int, *, backlog: int | None = 4096) -> tuple[StandIn, StandIn]:
    """v1, and v2 beside it, which gets that share."""
    v1 = door.backend
    v2 = StandIn(os.path.dirname(v1.seat.address), "v2", len(door.stand_ins) + 1, backlog)
    door.stand_ins.append(v2)
    v2.generation.happen(Happening.PROVED_READY, time.time())
    door.switchboard.try_out(v2.generation, Share(percent * WHOLE // 100), time.time())
    return v1, v2


async def test_a_canary_gets_its_share() -> None:
    async with open_door() as door:
        v1, v2 = try_out(door, 20)
        for _ in range(50):
            await door.connect()
        await until(lambda: len(door.relay) == 50)
        assert (v1.generation.total, v2.generation.total) == (40, 10)


@pytest.mark.parametrize("there", [False, True], ids=["nobody listens", "its backlog is full"])
async def test_whom_the_canary_does_not_take_the_active_one_gets_at_once(there: bool) -> None:
    async with open_door() as door:
        v1, v2 = try_out(door, 50, backlog=0 if there else None)
        with contextlib.ExitStack() as filled:
            while there and (fd := dial(v2.seat.address)) is not None:
                filled.callback(os.close, fd)
            for _ in range(10):
                await door.connect()
            await until(lambda: len(door.relay) == 10)
        assert (v1.generation.total, v2.generation.total) == (10, 0)
        assert failures(v2) == (5, 0), "its turns are used up"
        assert failures(v1) == (0, 0)
        assert v1.generation.conduct.troubled_at == -math.inf


async def test_who_waits_for_the_active_one_never_goes_to_the_canary_for_it() -> None:
    async with open_door(backlog=None) as door:
        v1, v2 = try_out(door, 50)
        clients = [await door.connect() for _ in range(10)]
        await until(lambda: door.ledger.accepted == 10)
        await quiet()
        seated = len(door.relay)
        assert door.listener.waiting(door.gate) == 10 - seated > 0
        v1.listen(10)
        await until(lambda: len(door.relay) == 10)
        assert (v1.generation.total, v2.generation.total) == (5, 5), "the share holds over the queue too"
        assert failures(v2) == (0, 0)
        assert v2.generation.conduct.slowest < SLOW
        assert len(clients) == 10


async def test_where_neither_is_there_both_have_failed_the_client_once() -> None:
    async with open_door(backlog=None, hold_timeout=0.05) as door:
        v1, v2 = try_out(door, 100, backlog=None)
        assert await rest(await door.connect()) == b""
        await door.ended(no_backend=1)
        assert (failures(v1), failures(v2)) == ((1, 0), (1, 0))


async def test_whom_the_canary_does_not_take_is_a_failure_of_the_active_one_too_if_no_process_of_it_is_up() -> None:
    async with open_door() as door:
        v1, v2 = try_out(door, 100, backlog=0)
        await door.connect()
        await until(lambda: v2.generation.total == 1)  # who is in the backlog now keeps the next one out
        v1.seat.up = False
        await door.connect()
        await until(lambda: door.waiting == 1)
        assert (failures(v1), failures(v2)) == ((1, 0), (1, 0))


async def test_by_address_the_client_is_the_one_that_his_proxy_header_names() -> None:
    async with open_door(trusted="127.0.0.0/8") as door:
        asked: list[object] = []
        _, v2 = try_out(door, 100)
        share = door.switchboard.share
        assert share is not None
        take = share.take

        def listen_in(client: object = None) -> bool:
            asked.append(client)
            return take(client)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(share, "take", listen_in)
            client = await door.connect()
            await client.send_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n")
            await v2.greet()
            assert await receive(client, 4) == b"v2#2"
        assert asked == [("203.0.113.7", 51234)]
