import contextlib
import errno
import os
import random
import socket

import pytest
import trio

from frontdoor.policy.generation import Seat
from frontdoor.policy.ledger import Reason
from frontdoor.sockets import dial
from frontdoor.traffic import listener as module
from traffic.peers import quiet, receive, reset, rest, until
from traffic.relay_under_test import StandIn, open_door

# -- descriptors ------------------------------------------------------------------------------------------------------


async def test_accepted_sockets_do_not_block_and_the_listener_stays_as_it_is() -> None:
    async with open_door() as door:
        await door.pair()
        stream = door.stream
        (listening,) = door.gate.listeners
        for fd in (stream.up.source, stream.down.source, listening.fileno()):
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)


async def test_accepted_sockets_inherit_what_was_set_on_the_listener() -> None:
    async with open_door() as door:
        await door.pair()
        with socket.socket(fileno=os.dup(door.stream.up.source)) as client:
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# -- a backend that is slow, full, or not there -----------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True], ids=["nobody listens there", "its backlog is full"])
async def test_a_process_that_takes_nobody_does_not_keep_clients_from_its_sibling(there: bool) -> None:
    async with open_door(hold_timeout=0.5) as door:
        healthy = door.backend.seat
        stuck = Seat(healthy.generation, 1, f"{healthy.address}.stuck", up=True)
        with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as filled:
            listening.bind(stuck.address)
            if there:
                listening.listen(0)
                while (fd := dial(stuck.address)) is not None:
                    filled.callback(os.close, fd)
            await door.pair()
            healthy.generation.seats.append(stuck)  # from here on it is the one with the fewest streams
            for _ in range(3):
                await door.pair()
            assert (healthy.open, stuck.open) == (4, 0)


async def test_a_full_backlog_makes_clients_wait_and_all_are_served_when_it_accepts() -> None:
    async with open_door(backlog=0) as door:
        clients = [await door.connect() for _ in range(20)]
        await until(lambda: door.waiting == 19)  # listen(0) queues one
        await quiet()
        for _ in clients:
            await door.backend.greet()
        for client in clients:
            assert await receive(client, 4) == b"v1#1"
        assert len(door.relay) == 20
        assert door.backend.generation.total == 20, "a dial that failed was counted as a stream"


async def test_nobody_listens_for_a_while() -> None:
    async with open_door(backlog=None) as door:
        client = await door.connect()
        await client.send_all(b"sent before anybody was there")
        await until(lambda: door.waiting == 1)
        door.backend.listen(10)
        backend = await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert await receive(backend, 29) == b"sent before anybody was there"


async def test_no_process_is_up_for_a_while() -> None:
    async with open_door() as door:
        door.backend.seat.up = False
        client = await door.connect()
        await until(lambda: door.waiting == 1)
        door.backend.seat.up = True
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"


async def test_a_client_that_waits_during_a_switch_goes_to_the_new_generation() -> None:
    async with open_door(backlog=None) as door:
        client = await door.connect()
        await until(lambda: door.waiting == 1)
        v1, v2 = door.backend, door.switch("v2")
        await v2.greet()
        assert await receive(client, 4) == b"v2#2"
        assert v1.generation.total == 0


async def test_every_client_is_wholly_before_or_wholly_after_a_switch() -> None:
    async with open_door() as door:
        v1 = door.backend
        first = await door.connect()
        await until(lambda: len(door.relay) == 1)
        v2 = door.switch("v2")
        second = await door.connect()
        backend = await v1.greet()
        await v2.greet()
        assert await receive(first, 4) == b"v1#1"
        assert await receive(second, 4) == b"v2#2"
        await first.aclose()
        await backend.aclose()
        await until(lambda: door.emptied)
        assert door.emptied == [v1.generation]


async def test_hold_timeout_passes() -> None:
    async with open_door(backlog=None, hold_timeout=0.05) as door:
        client = await door.connect()
        assert await rest(client) == b""
        await door.ended(no_backend=1)
        assert door.backend.generation.total == 0


async def test_a_full_backlog_is_waited_for_as_long_as_a_dial_may_take_if_that_is_longer() -> None:
    async with open_door(backlog=0, hold_timeout=0.0, connect_timeout=10.0) as door:
        clients = [await door.connect() for _ in range(3)]
        await until(lambda: door.waiting == 2)
        for _ in clients:
            await door.backend.greet()
        for client in clients:
            assert await receive(client, 4) == b"v1#1"


async def test_a_backlog_that_stays_full() -> None:
    async with open_door(backlog=0, hold_timeout=0.05, connect_timeout=0.05) as door:
        await door.connect()
        await until(lambda: len(door.relay) == 1)
        client = await door.connect()
        assert await rest(client) == b""
        await until(lambda: door.ledger.ended == {"no_backend": 1})


async def test_hold_timeout_of_zero_asks_once() -> None:
    async with open_door(hold_timeout=0.0) as door:
        served = await door.connect()
        await door.backend.greet()
        assert await receive(served, 4) == b"v1#1"
        door.backend.listening.close()
        assert await rest(await door.connect()) == b""
        await until(lambda: door.ledger.ended == {"no_backend": 1})


async def test_waiting_clients_that_have_gone_are_no_trouble() -> None:
    async with open_door(backlog=None) as door:
        gone = [await door.connect() for _ in range(10)]
        await until(lambda: door.waiting == 10)
        for number, client in enumerate(gone):
            if number % 2:
                reset(client)
            else:
                await client.aclose()
        door.backend.listen(100)
        client = await door.connect()
        for _ in range(11):
            with contextlib.suppress(trio.BrokenResourceError):
                await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        await until(lambda: door.ledger.open == 1)
        assert sum(door.ledger.ended.values()) == 10
        assert set(door.ledger.ended) <= {"client_closed", "client_reset"}


async def test_the_wait_is_cancelled_by_a_shutdown() -> None:
    async with open_door(backlog=None) as door:
        async with trio.open_nursery() as nursery:
            door.listener.seating._nursery = nursery
            client = await door.connect()
            await until(lambda: door.waiting == 1)
            nursery.cancel_scope.cancel()
        assert await rest(client) == b""
        await door.ended(shutdown=1)


async def test_new_streams_go_to_the_process_with_the_fewest() -> None:
    async with open_door() as door:
        other = StandIn(os.path.dirname(door.backend.seat.address), "v1", 99, 100)
        other.seat.generation = door.backend.generation
        door.backend.generation.seats.append(other.seat)
        for _ in range(10):
            await door.connect()
        await until(lambda: len(door.relay) == 10)
        assert (door.backend.seat.open, other.seat.open) == (5, 5)
        for stream in door.relay.streams:
            door.relay.abandon(stream, Reason.SHUTDOWN)
        assert (door.backend.seat.open, other.seat.open) == (0, 0)
        other.listening.close()


# -- open and close ---------------------------------------------------------------------------------------------------


async def test_closed_it_lets_clients_wait_in_the_backlog() -> None:
    async with open_door() as door:
        door.listener.close(door.gate)
        client = await door.connect()
        await client.send_all(b"hello")
        await door.no_turns()
        assert door.ledger.accepted == 0
        door.listener.open(door.gate)
        door.listener.open(door.gate)
        assert await receive(await door.backend.greet(), 5) == b"hello"


async def test_at_the_end_who_is_in_the_backlog_is_let_in_and_then_nobody() -> None:
    async with open_door() as door:
        door.listener.close(door.gate)
        for _ in range(module.ACCEPTS * 2 + 1):
            await door.connect()
        door.listener.finish(door.gate)
        assert len(door.relay) == module.ACCEPTS * 2 + 1
        await door.connect()
        await door.no_turns()
        assert door.ledger.accepted == module.ACCEPTS * 2 + 1


async def test_at_the_end_no_limit_keeps_out_whom_the_kernel_has_let_in() -> None:
    async with open_door(connections=2) as door:
        clients = [await door.connect() for _ in range(5)]
        await until(lambda: door.gate.full)
        door.listener.finish(door.gate)
        for client in clients:
            await door.backend.greet()
            assert await receive(client, 4) == b"v1#1"


# -- what comes in from outside ---------------------------------------------------------------------------------------


async def test_garbage_and_clients_that_vanish_never_end_the_loop() -> None:
    async with open_door() as door:
        for number in range(100):
            client = await door.connect()
            if number % 4:
                await client.send_all(random.Random(number).randbytes(number * 100))
            if number % 3 == 0:
                reset(client)
            elif number % 3 == 1:
                client.socket.shutdown(socket.SHUT_RDWR)
        await until(lambda: door.ledger.accepted == 100)
        client, backend = await door.connect(), None
        while backend is None:
            candidate = await door.backend.accept()
            if len(door.backend.peers) == 101:
                backend = candidate
        await backend.send_all(b"alive")
        assert await receive(client, 5) == b"alive"


@pytest.mark.parametrize("error", ["ECONNABORTED", "EPROTO", "ETIMEDOUT"])
async def test_an_error_of_one_client_at_accept_is_none_of_the_others(
    error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # accept(2) on Linux passes network errors of the new socket on; they cannot be provoked at will.
    async with open_door() as door:
        (listening,) = door.gate.listeners

        class Failing:
            failed = False

            def _accept(self) -> tuple[int, object]:
                if not self.failed:
                    self.failed = True
                    raise OSError(getattr(errno, error), error)
                fd, address = listening.accept()
                return fd.detach(), address

            def fileno(self) -> int:
                return listening.fileno()

        door.listener.close(door.gate)
        door.gate.listeners = [Failing()]  # type: ignore[list-item]  # as much of a socket as the listener uses
        door.listener.open(door.gate)
        client = await door.connect()
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert door.ledger.accepted == 1
        door.gate.listeners = [listening]
