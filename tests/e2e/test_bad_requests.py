"""Requests that make no sense, and control clients that misbehave: what was serving still serves."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.harness import Client, Frontdoor, greeter, until

Serve = Callable[..., Frontdoor]

TWO_VERSIONS = f"""\
listen = ["127.0.0.1:0"]
active = "v1"
[backends.v1]
command = {json.dumps(greeter())}
[backends.v2]
command = {json.dumps(greeter())}
[ready]
interval = "20ms"
"""


@pytest.fixture(scope="module")
def door() -> Iterator[Frontdoor]:
    """A frontdoor that all these tests share: none of them may change what it serves."""
    with closing(Frontdoor(TWO_VERSIONS)) as door:
        door.excused.add("control.failed")  # said of the connections that garbage came over
        yield door.start()


@pytest.fixture(scope="module")
def stays(door: Frontdoor) -> Client:
    """A client that is there all the time."""
    return door.connect()


@pytest.fixture(autouse=True)
def _serves_on(door: Frontdoor, stays: Client) -> Iterator[None]:
    """After each of these tests all is as it was before."""
    assert stays.generation == "v1#1"
    yield
    assert stays.ask("still there?") == "still there?"
    assert door.connect().generation == "v1#1"
    assert door.status()["active"] == "v1#1"


def test_a_swap_to_a_version_that_nobody_knows(door: Frontdoor) -> None:
    refused = door.run("swap", "v3")
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("frontdoor: ")
    assert "v3" in line
    assert "v2" in line, "it names what there is"
    assert line.endswith("v1#1 still serves")


@pytest.mark.parametrize("name", ["../v1", "", "v1 v2", "-v", ".hidden", "x" * 65, "v1\n", "v1#", "vü"])
def test_a_swap_to_a_name_that_is_no_version(door: Frontdoor, name: str) -> None:
    refused = door.run("swap", "--", name)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("frontdoor: ")
    assert "is not the name of a version" in line


@pytest.mark.parametrize(
    "body",
    [
        b'{"version": "../v1"}',
        b'{"version": 7}',
        b'{"version": "v2", "force": true}',
        b"{}",
        b"[]",
        b"not json",
        b"",
        b"\xff\xfe",
        b'{"version": "v2", "wait": "for ever"}',
    ],
)
def test_the_api_refuses_what_makes_no_sense(door: Frontdoor, body: bytes) -> None:
    head = f"POST /v1/doors/main/swap HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with raw(door) as sock:
        sock.sendall(head.encode() + body)
        with sock.makefile("rb") as reader:
            answer = reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    refused = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert refused["exit_code"] == 2
    assert refused["error"]


def test_another_door_is_refused(door: Frontdoor) -> None:
    refused = door.run("swap", "v2", "--door", "side")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "side" in line
    assert "main" in line


def test_a_config_that_was_broken_since_the_start(door: Frontdoor) -> None:
    with open(door.path("config.toml")) as file:
        good = file.read()
    try:
        door.write(good + "\n[drain]\ntimeot = 3\n")
        refused = door.run("swap", "v2", "--config", "config.toml")
        assert refused.returncode == 2
        assert "the config is not valid; v1#1 still serves" in refused.stderr
        assert "drain.timeot: unknown key" in refused.stderr

        door.write(good + "\n[[[")
        refused = door.run("swap", "v2", "--control", "run/control.sock")
        assert refused.returncode == 2
        assert "the config is not valid; v1#1 still serves" in refused.stderr
    finally:
        door.write(good)


# -- control clients that misbehave --------------------------------------------------------------------------------


def raw(door: Frontdoor) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(door.path("run/control.sock"))
    return sock


WEBSOCKET = (
    b"GET /v1/status HTTP/1.1\r\nHost: frontdoor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: not a key\r\n\r\nand a byte behind it"
)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        bytes(range(256)) * 64,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/doors/main/swap HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
        WEBSOCKET,
    ],
    ids=["tls", "bytes", "http9", "length", "head", "http2", "websocket"],
)
def test_garbage_at_the_control_socket(door: Frontdoor, garbage: bytes) -> None:
    with raw(door) as sock:
        try:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass  # it need not read all of it


def test_a_client_that_hangs_up_in_the_middle_of_a_swap_request(door: Frontdoor) -> None:
    with raw(door) as sock:
        sock.sendall(b'POST /v1/doors/main/swap HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n{"version":')
    with raw(door) as sock:
        sock.sendall(b"POST /v1/doors/main/sw")
    # A request behind them is answered: they have been seen by then, and nothing was begun.
    assert door.run("streams").returncode == 0
    assert door.status()["swap"] is None
    assert not door.logged("swap.started")


def test_clients_that_say_nothing_keep_nobody_out(door: Frontdoor) -> None:
    silent = [raw(door) for _ in range(20)]
    assert door.run("status").returncode == 0
    for sock in silent:
        sock.close()


def test_followers_that_never_read_and_vanish(door: Frontdoor) -> None:
    followers = [raw(door) for _ in range(20)]
    for sock in followers:
        sock.sendall(b"GET /v1/events?history=1000 HTTP/1.1\r\nHost: a\r\n\r\n")
    until(lambda: all(sock.recv(1, socket.MSG_PEEK) for sock in followers), "all follow")
    for sock in followers:
        sock.close()


# -- two at once ---------------------------------------------------------------------------------------------------


def test_the_second_of_two_swaps_at_the_same_time_is_busy(serve: Serve) -> None:
    other = serve(backends={"v2": {"command": greeter("--wait-for", "go")}})
    first = other.begin("swap", "v2")
    first.shows("v2#2 starting")

    second = other.run("swap", "v3")
    assert (second.returncode, second.stdout) == (5, "")
    assert "a swap of the door main to v2#2 is under way" in second.stderr
    assert "v1#1 still serves" in second.stderr
    assert len(second.stderr.splitlines()) == 1

    other.touch("go")
    assert first.ended().returncode == 0
    assert other.connect().generation == "v2#2"
    other.swap("v3")
    assert other.connect().generation == "v3#3"
