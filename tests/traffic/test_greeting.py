import errno
import gc
import os
import socket
import time
from ipaddress import ip_network

import pytest
import trio

from frontdoor.policy.ledger import Reason
from frontdoor.proxy_header import encode, local
from frontdoor.traffic import greeting as module
from traffic.peers import Peer, is_reset, quiet, receive, reset, rest, until
from traffic.relay_under_test import Door, open_door

HERE = "127.0.0.0/8"
CLIENT, SERVICE = ("203.0.113.7", 51234), ("198.51.100.1", 443)
HEADERS = {version: encode(version, CLIENT, SERVICE) for version in ("v1", "v2")}
HALF = HEADERS["v1"][:20]

both = pytest.mark.parametrize("version", ["v1", "v2"])


def owing(door: Door) -> int:
    return len(door.listener._greeting)


async def is_cut(peer: Peer) -> None:
    """The connection ends without a byte; with RST, if something was left unread."""
    try:
        got = await rest(peer)
    except trio.BrokenResourceError as error:
        got = b"" if is_reset(error) else repr(error).encode()
    assert got == b""


# -- headers ----------------------------------------------------------------------------------------------------------


@both
async def test_the_client_is_who_the_header_says_and_the_backend_gets_what_is_behind_it(version: str) -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(HEADERS[version] + b"GET / HTTP/1.1\r\n\r\n")
        backend = await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert await receive(backend, 18) == b"GET / HTTP/1.1\r\n\r\n"
        assert door.stream.client == CLIENT
        assert door.stream.up.moved == 18
        assert owing(door) == 0


@both
async def test_a_header_byte_by_byte_gets_no_backend_before_its_last_and_costs_nothing_between(version: str) -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        header = HEADERS[version]
        for number in range(len(header)):
            await until(lambda: owing(door) == 1)
            assert door.waiting == 1
            if number == len(header) // 2:
                await door.no_turns()
            await client.send_all(header[number : number + 1])
            await quiet()
        backend = await door.backend.greet()
        assert door.stream.client == CLIENT
        await client.send_all(b"hello")
        assert await receive(backend, 5) == b"hello"


@pytest.mark.parametrize("header", [local("v1"), local("v2")], ids=["UNKNOWN", "LOCAL"])
async def test_who_speaks_for_nobody_keeps_his_own_address(header: bytes) -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(header)
        await door.backend.greet()
        assert door.stream.client == client.socket.getsockname()


async def test_who_is_not_trusted_owes_nothing_and_is_not_believed() -> None:
    async with open_door(trusted="10.0.0.0/8") as door:
        client = await door.connect()
        await client.send_all(HEADERS["v1"])
        backend = await door.backend.greet()
        assert door.stream.client == client.socket.getsockname()
        assert await receive(backend, len(HEADERS["v1"])) == HEADERS["v1"]


async def test_trust_may_change_at_any_time_and_holds_for_who_comes_then() -> None:
    async with open_door(trusted=HERE) as door:
        owes = await door.connect()
        await until(lambda: owing(door) == 1)
        door.gate.trusted = ()
        free = await door.connect()
        await door.backend.greet()
        assert await receive(free, 4) == b"v1#1"
        await owes.send_all(HEADERS["v1"])
        await door.backend.greet()
        assert await receive(owes, 4) == b"v1#1"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        (("10.1.2.3", 1), True),
        (("11.1.2.3", 1), False),
        (("::ffff:10.1.2.3", 1, 0, 0), True),
        (("::ffff:11.1.2.3", 1, 0, 0), False),
        (("fe80::1%lo", 1, 0, 1), True),
        (("2001:db8::1", 1, 0, 0), False),
        ("", False),
    ],
)
async def test_who_is_trusted(address: object, trusted: bool) -> None:
    async with open_door() as door:
        door.gate.trusted = (ip_network("10.0.0.0/8"), ip_network("fe80::/64"))
        assert door.gate.trusts(address) is trusted


# -- those who send none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\nhello"]
)
async def test_garbage_is_closed_at_once(said: bytes) -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(said)
        await is_cut(client)
        await door.ended(proxy_header=1)
        assert door.backend.generation.total == 0


@pytest.mark.parametrize("said", [b"", HALF], ids=["not a byte", "one half"])
async def test_who_takes_too_long_is_closed(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "TICK", 0.01)
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(said)
        await is_cut(client)
        await door.ended(proxy_header=1)


async def test_time_is_counted_from_the_accept_however_often_a_byte_comes() -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await until(lambda: owing(door) == 1)
        began = time.monotonic()
        await client.send_all(HALF)
        await quiet()
        door.listener._greeting.sweep(began + module.PATIENCE - 0.1)
        assert owing(door) == 1
        door.listener._greeting.sweep(began + module.PATIENCE)
        await door.ended(proxy_header=1)


async def test_a_header_that_came_while_nobody_had_time_to_read_it_is_in_time() -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await until(lambda: owing(door) == 1)
        os.write(client.socket.fileno(), HEADERS["v2"])
        door.listener._greeting.sweep(time.monotonic() + module.PATIENCE)
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"


async def test_who_leaves_before_his_first_byte_has_closed_and_who_leaves_after_it_has_sent_a_wrong_header() -> None:
    async with open_door(trusted=HERE) as door:
        ended = list[str]()
        for said, leave, reason in [
            (b"", Peer.aclose, "client_closed"),
            (b"", reset, "client_reset"),
            (HALF, Peer.aclose, "proxy_header"),
            (HALF, reset, "proxy_header"),
        ]:
            client = await door.connect()
            await client.send_all(said)
            await until(lambda: owing(door) == 1)
            await quiet()
            if leave is reset:
                reset(client)
            else:
                await client.aclose()
            await until(lambda: not door.ledger.open)
            ended.append(reason)
            assert sum(door.ledger.ended.values()) == len(ended)
            assert set(door.ledger.ended) == set(ended)


async def test_a_client_that_finishes_right_behind_its_header_is_a_client() -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(HEADERS["v1"])
        await client.send_eof()
        backend = await door.backend.greet()
        assert await rest(backend) == b""
        assert await receive(client, 4) == b"v1#1"


@pytest.mark.parametrize("before", [b"", HALF], ids=["first of all", "in the middle"])
async def test_urgent_data_burns_no_core_and_shifts_no_byte(before: bytes) -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(before)
        await client.socket.send(b"!", socket.MSG_OOB)
        await until(lambda: owing(door) == 1)
        await quiet()
        await door.no_turns(at_most=2)
        await client.send_all(HEADERS["v1"][len(before) :] + b"hello")
        backend = await door.backend.greet()
        assert await receive(backend, 5) == b"hello"
        assert door.stream.client == CLIENT


async def test_an_urgent_mark_between_looking_and_taking_leaves_nothing_of_the_header_for_the_backend() -> None:
    class Marked:
        """A socket where that happens: it cannot be provoked at will."""

        def __init__(self, sock: socket.socket) -> None:
            self.fileno, self.detach = sock.fileno, sock.detach

        def recv(self, count: int, flags: int = 0) -> bytes:
            return HEADERS["v1"] if flags == socket.MSG_PEEK else HEADERS["v1"][: count - 1]

    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await until(lambda: owing(door) == 1)
        (guest,) = door.listener._greeting._guests
        guest.sock = Marked(guest.sock)  # type: ignore[assignment]  # as much of a socket as a guest needs
        await client.send_all(HEADERS["v1"])
        await is_cut(client)
        await door.ended(proxy_header=1)


# -- limits, and a backend that is not there --------------------------------------------------------------------------


async def test_who_owes_his_header_is_open_and_counts_for_the_limit() -> None:
    async with open_door(trusted=HERE, connections=2) as door:
        silent, noisy = await door.connect(), await door.connect()
        third = await door.connect()
        await third.send_all(HEADERS["v1"])
        await until(lambda: door.gate.full)
        assert (door.ledger.open, owing(door)) == (2, 2)
        await door.no_turns()
        await noisy.send_all(b"garbage")
        await door.backend.greet()  # at once, without a sweep
        assert await receive(third, 4) == b"v1#1"
        assert door.ledger.open == 2
        await silent.send_all(HEADERS["v2"])
        await door.backend.greet()
        assert door.ledger.ended == {"proxy_header": 1}


async def test_a_client_waits_for_a_backend_and_keeps_what_its_header_said() -> None:
    async with open_door(trusted=HERE, backlog=None) as door:
        door.backend.seat.proxy_protocol = "v1"
        client = await door.connect()
        await client.send_all(HEADERS["v2"] + b"hello")
        await until(lambda: door.waiting == 1 and not owing(door))
        door.backend.listen(10)
        backend = await door.backend.accept()
        assert await receive(backend, len(HEADERS["v1"]) + 5) == HEADERS["v1"] + b"hello"
        assert door.stream.client == CLIENT


async def test_without_room_to_watch_one_more_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    # epoll_ctl(2): ENOSPC past /proc/sys/fs/epoll/max_user_watches.
    async with open_door(trusted=HERE) as door:

        def refuse(fd: int, ready: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(door.relay, "listen", refuse)
            await is_cut(await door.connect())
        client = await door.connect()
        await client.send_all(HEADERS["v1"])
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert door.ledger.ended == {"no_backend": 1}


async def test_a_crowd_that_owes_costs_one_task_and_leaves_nothing_behind() -> None:
    async with open_door(trusted=HERE) as door:
        await quiet()
        gc.collect()
        tasks, fds = trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd"))
        for _ in range(300):
            door.dial()
        await until(lambda: owing(door) == 300)
        assert trio.lowlevel.current_statistics().tasks_living == tasks + 1
        await door.no_turns()
        for number, client in enumerate(door.clients):
            if number % 2:
                await client.send_all(b"garbage")
        await until(lambda: owing(door) == 150)
        door.listener._greeting.sweep(time.monotonic() + module.PATIENCE)
        await door.ended(proxy_header=300)
        for client in door.clients:
            client.socket.close()
        assert len(os.listdir("/proc/self/fd")) == fds


# -- pause, stop ------------------------------------------------------------------------------------------------------


async def test_a_pause_in_the_middle_of_a_header_keeps_the_next_ones_out_and_not_him() -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await client.send_all(HALF)
        await until(lambda: owing(door) == 1)
        door.listener.close(door.gate)
        await door.connect()
        await client.send_all(HEADERS["v1"][len(HALF) :])
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert door.ledger.accepted == 1


async def test_at_the_end_who_owes_his_header_may_still_say_it_and_is_then_dismissed() -> None:
    async with open_door(trusted=HERE) as door:
        door.listener.close(door.gate)
        says, silent = await door.connect(), await door.connect()
        door.listener.finish(door.gate)
        assert owing(door) == 2
        await says.send_all(HEADERS["v1"])
        await door.backend.greet()
        assert await receive(says, 4) == b"v1#1"
        door.listener.dismiss(door.gate)
        assert await rest(silent) == b""
        door.relay.abandon(door.stream, Reason.SHUTDOWN)
        await door.ended(shutdown=2)


async def test_only_the_clients_of_that_door_are_dismissed() -> None:
    async with open_door(trusted=HERE) as door:
        client = await door.connect()
        await until(lambda: owing(door) == 1)
        async with open_door(trusted=HERE) as other:
            door.listener.dismiss(other.gate)
        await client.send_all(HEADERS["v1"])
        await door.backend.greet()
        assert await receive(client, 4) == b"v1#1"


async def test_who_owes_his_header_is_turned_away_by_a_cancelled_shutdown() -> None:
    async with open_door(trusted=HERE) as door:
        async with trio.open_nursery() as nursery:
            door.listener._greeting._nursery = nursery
            client = await door.connect()
            await until(lambda: owing(door) == 1)
            nursery.cancel_scope.cancel()
        assert await rest(client) == b""
        await door.ended(shutdown=1)
