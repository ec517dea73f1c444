"""What a backend is told of its client, in front of the client's first byte."""

import os
import socket

import pytest

from frontdoor.policy.generation import Seat
from frontdoor.proxy_header import Endpoint, encode
from frontdoor.sockets import dial
from frontdoor.traffic import seating as module
from traffic.peers import data, pass_on, receive
from traffic.relay_under_test import open_door


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_backend_is_told_both_ends_of_the_client_s_connection(version: str) -> None:
    async with open_door() as door:
        door.backend.seat.proxy_protocol = version
        client, backend = await door.pair()
        header = encode(version, client.socket.getsockname(), door.address)
        assert await receive(backend, len(header)) == header, "before the client has said anything"
        await pass_on(client, backend, 1 << 20)
        await pass_on(backend, client, 1 << 20)
        assert door.stream.up.moved == 1 << 20, "the header is none of the client's bytes"


async def test_off_is_off() -> None:
    async with open_door() as door:
        client, backend = await door.pair()
        await client.send_all(data(100))
        assert await receive(backend, 100) == data(100)


@pytest.mark.parametrize("header", ["v1", "v2"])
async def test_what_the_load_balancer_said_is_passed_on_whole(header: str) -> None:
    source: Endpoint = ("2001:db8::7", 51234)
    destination: Endpoint = ("2001:db8::1", 443)
    async with open_door(trusted="127.0.0.0/8") as door:
        door.backend.seat.proxy_protocol = "v2"
        client = await door.connect()
        await client.send_all(encode(header, source, destination) + b"hello")
        backend = await door.backend.accept()
        expected = encode("v2", source, destination) + b"hello"
        assert await receive(backend, len(expected)) == expected


async def test_a_backend_that_goes_between_the_dial_and_the_header_has_taken_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_door() as door:
        healthy = door.backend.seat
        healthy.proxy_protocol = "v1"
        dying = Seat(healthy.generation, 1, "dying", up=True, proxy_protocol="v1")
        healthy.generation.seats.insert(0, dying)

        def dial_the_dying(address: str) -> int | None:
            if address != "dying":
                return dial(address)
            ours, its = socket.socketpair()
            its.close()
            return ours.detach()

        monkeypatch.setattr(module, "dial", dial_the_dying)
        before = len(os.listdir("/proc/self/fd"))
        client, backend = await door.pair()
        header = encode("v1", client.socket.getsockname(), door.address)
        assert await receive(backend, len(header)) == header
        assert (dying.open, healthy.open, healthy.generation.total) == (0, 1, 1)
        # Both ends of both connections, and nothing of the one that failed.
        assert len(os.listdir("/proc/self/fd")) == before + 4


async def test_the_smallest_buffer_that_there_can_be_takes_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door() as door:
        door.backend.seat.proxy_protocol = "v1"

        def dial_narrow(address: str) -> int | None:
            fd = dial(address)
            assert fd is not None
            with socket.socket(fileno=fd) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                return sock.detach()

        monkeypatch.setattr(module, "dial", dial_narrow)
        client, backend = await door.pair()
        header = encode("v1", client.socket.getsockname(), door.address)
        assert await receive(backend, len(header)) == header
