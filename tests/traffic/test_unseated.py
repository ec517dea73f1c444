"""Clients without a backend go from one door process to the next: two doors of a test play these."""

import os
from dataclasses import replace

import pytest

from frontdoor.proxy_header import encode
from frontdoor.traffic import greeting
from frontdoor.traffic.unseated import Unseated
from traffic.peers import quiet, receive, rest, until
from traffic.relay_under_test import Door, open_door

HERE = "127.0.0.0/8"
CLIENT, SERVICE = ("203.0.113.7", 51234), ("198.51.100.1", 443)
HEADER = encode("v1", CLIENT, SERVICE)


def hand_over(old: Door, new: Door) -> None:
    """As the keeper does it: with copies. The old one stands still, and would be killed."""
    old.listener.held = True
    for _, client in old.listener.unseated():
        new.ledger.accept()
        new.listener.take_up(new.gate, replace(client, fd=os.dup(client.fd)))


async def test_who_waits_for_a_backend_gets_one_from_the_next() -> None:
    async with open_door(backlog=None) as old, open_door() as new:
        client = await old.connect()
        await client.send_all(b"hello")
        await until(lambda: old.waiting == 1)
        hand_over(old, new)
        backend = await new.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert await receive(backend, 5) == b"hello"
        assert new.stream.client == client.socket.getsockname()


async def test_nobody_gets_a_backend_while_they_are_handed_over() -> None:
    async with open_door(backlog=None) as old:
        old.listener.held = True
        await old.connect()
        await until(lambda: old.waiting == 1)
        old.backend.listen(10)
        await quiet()
        assert (old.waiting, len(old.relay)) == (1, 0)
        old.listener.held = False
        await old.backend.greet()
        assert (old.waiting, len(old.relay)) == (0, 1)


async def test_his_time_goes_on() -> None:
    async with open_door(backlog=None) as old, open_door(backlog=None, hold_timeout=5.0) as new:
        client = await old.connect()
        await until(lambda: old.waiting == 1)
        ((_, waiting),) = old.listener.unseated()
        new.ledger.accept()
        new.listener.take_up(new.gate, replace(waiting, fd=os.dup(waiting.fd), since=waiting.since - 5.0))
        await new.ended(no_backend=1)
        assert old.waiting == 1
        del client


@pytest.mark.parametrize("came", [0, 1, 20, len(HEADER) - 1])
async def test_what_has_come_of_a_proxy_header_counts(came: int) -> None:
    async with open_door(trusted=HERE) as old, open_door(trusted=HERE) as new:
        client = await old.connect()
        await client.send_all(HEADER[:came])
        await until(lambda: [len(each.header or b"") for _, each in old.listener.unseated()] == [came])
        hand_over(old, new)
        # The kernel would wake both: what the old one does not look at, it does not take.
        for guest in list(old.listener._greeting._guests):
            old.relay.unlisten(guest.sock.fileno())
        await client.send_all(HEADER[came:] + b"hello")
        backend = await new.backend.greet()
        assert await receive(client, 4) == b"v1#1"
        assert await receive(backend, 5) == b"hello"
        assert new.stream.client == CLIENT


async def test_the_time_for_a_proxy_header_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(trusted=HERE) as old, open_door(trusted=HERE) as new:
        client = await old.connect()
        await until(lambda: old.waiting == 1)
        ((_, owing),) = old.listener.unseated()
        new.ledger.accept()
        new.listener.take_up(new.gate, replace(owing, fd=os.dup(owing.fd), since=owing.since - greeting.PATIENCE))
        await new.ended(proxy_header=1)
        old.listener.dismiss(old.gate)
        assert await rest(client) == b""


async def test_what_is_no_socket_is_turned_away() -> None:
    """Whoever has put that where the clients are handed over: the door process must not die of it again and again."""
    async with open_door() as door:
        door.ledger.accept()
        fd = os.open(os.devnull, os.O_RDWR)
        door.listener.take_up(door.gate, Unseated(fd, "", None, 1.0, b"PROXY"))
        await door.ended(no_backend=1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
