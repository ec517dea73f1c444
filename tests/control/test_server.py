from __future__ import annotations

import errno
import fcntl
import gc
import math
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
import trio.testing
from hypercorn.trio.tcp_server import TCPServer

from control.fakedoor import FakeDoor, ask, control_socket, get, until
from control.passes import counted
from frontdoor.control import server
from frontdoor.control.server import Server

FOLLOW = b"GET /v1/events?history=1000 HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
GOOD_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

NASTY = {
    "garbage": b"\x00\xff\x16\x03\x01 not http at all\r\n\r\n",
    "random": bytes(range(256)) * 40,
    "half a request": b"POST /v1/doors/main/swap HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "half a head": b"GET /v1/status HT",
    "nothing": b"",
    "a bad websocket key": UPGRADE % b"/" + b"Sec-WebSocket-Key: nonsense\r\n\r\n",
    "no websocket key": UPGRADE % b"/" + b"\r\n",
    "a good websocket": UPGRADE % b"/v1/events" + GOOD_KEY + b"\r\n",
    "a byte behind a websocket's head": UPGRADE % b"/" + GOOD_KEY + b"\r\n\x00",
    "a huge header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
    "a huge path": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a wild path": b"GET /%ff%00%c3%28/../v1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /v1/status HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "bad chunks": b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    "an h2c upgrade": b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: !!!\r\n\r\n",
    "two requests": FOLLOW + b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY.keys())
async def test_whatever_a_client_sends_ends_that_client_only(
    nasty: bytes, door: FakeDoor, path: str, running: Server
) -> None:
    follower = await trio.open_unix_socket(path)
    await follower.send_all(FOLLOW)
    await until(lambda: door.bus.followers, "the follower")
    for hang_up_at_once in (True, False):
        stream = await trio.open_unix_socket(path)
        try:
            await stream.send_all(nasty)
            if not hang_up_at_once:
                with trio.move_on_after(0.2):
                    while await stream.receive_some():
                        pass
        except trio.BrokenResourceError:
            pass  # it has been thrown out already: so it should be
        await stream.aclose()
    assert (await get(path, "/v1/status"))[0] == 200
    # All are gone but the follower, who is still served.
    await until(lambda: len(running.connections) == 1, "the end of the nasty connections")
    assert len(door.bus.followers) == 1
    door.bus.publish("paused")
    seen = b""
    while b'"paused"' not in seen:
        seen += await follower.receive_some()
    await follower.aclose()


async def test_a_hundred_followers_that_vanish_leave_nothing(door: FakeDoor, path: str, running: Server) -> None:
    gc.collect()  # descriptors of earlier tests
    tasks = trio.lowlevel.current_statistics().tasks_living
    descriptors = len(os.listdir("/proc/self/fd"))
    followers = [await trio.open_unix_socket(path) for _ in range(100)]
    for follower in followers:
        await follower.send_all(FOLLOW)
    await until(lambda: len(door.bus.followers) == 100, "100 followers")
    for follower in followers:
        await follower.aclose()
    await until(lambda: not door.bus.followers and not running.connections, "the followers' end")
    await until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks, "the tasks' end")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert (await get(path, "/v1/status"))[0] == 200


async def test_a_follower_who_hides_behind_a_second_request_is_found(
    door: FakeDoor, path: str, running: Server
) -> None:
    await get(path, "/v1/status")
    follower = await trio.open_unix_socket(path)
    await follower.send_all(FOLLOW + b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: door.bus.followers, "the follower")
    await follower.aclose()
    await until(lambda: not door.bus.followers and not running.connections, "the follower's end")


async def test_a_follower_that_never_reads_costs_bounded_memory_and_is_dropped(
    door: FakeDoor, path: str, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT", 0.3)
    follower = await trio.open_unix_socket(path)
    await follower.send_all(FOLLOW)
    await until(lambda: door.bus.followers, "the follower")
    (queue,) = door.bus.followers
    for n in range(20_000):
        door.bus.publish("paused", n=n, filler="x" * 100)
        if n % 500 == 0:
            await trio.lowlevel.checkpoint()
    assert "1000 waiting" in repr(queue)
    await until(lambda: not running.connections, "the follower's end")
    await until(lambda: not door.bus.followers, "the follower's end")
    await follower.aclose()


async def test_cancelling_ends_even_a_send_that_nobody_reads(door: FakeDoor, socket_path: str) -> None:
    async with control_socket(door, socket_path) as running:
        follower = await trio.open_unix_socket(socket_path)
        await follower.send_all(FOLLOW)
        await until(lambda: door.bus.followers, "the follower")
        for _ in range(3000):
            door.bus.publish("paused", filler="x" * 1000)
        await trio.testing.wait_all_tasks_blocked(0.1)
        before = time.monotonic()
    assert time.monotonic() - before < 2
    assert not running.connections
    await follower.aclose()


async def test_those_who_follow_cannot_keep_out_those_who_ask(
    door: FakeDoor, path: str, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontdoor.control.followers.MAX_FOLLOWERS", 3)
    followers = [await trio.open_unix_socket(path) for _ in range(3)]
    for follower in followers:
        await follower.send_all(FOLLOW)
    await until(lambda: len(door.bus.followers) == 3, "the followers")
    for target, method, body in [
        ("/v1/events", "GET", None),
        ("/v1/logs", "GET", None),
        ("/v1/doors/-/swap", "POST", {"version": "v2"}),
        ("/v1/doors/-/rollback", "POST", {}),
        ("/v1/reload", "POST", {}),
    ]:
        status, answer = await get(path, target, method, body)
        assert (status, answer["exit_code"]) == (503, 1)
    assert door.calls == [("logs", None, None, 0)]  # nothing was begun
    assert (await get(path, "/v1/status"))[0] == 200
    await followers[0].aclose()
    await until(lambda: len(door.bus.followers) == 2, "a place")
    status, _ = await get(path, "/v1/events?follow=0")
    assert status == 200
    for follower in followers:
        await follower.aclose()


async def test_past_the_cap_connections_are_turned_away_with_an_answer(
    path: str, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    idle = [await trio.open_unix_socket(path) for _ in range(2)]
    await until(lambda: len(running.connections) == 2, "both")
    stream = await trio.open_unix_socket(path)
    assert b"503 Service Unavailable" in await stream.receive_some()
    await stream.aclose()
    for one in idle:
        await one.aclose()
    await until(lambda: not running.connections, "their end")
    assert (await get(path, "/v1/status"))[0] == 200


async def test_those_who_come_or_ask_at_once_are_begun_with_one_by_one(
    path: str, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await get(path, "/v1/status")
    begun: list[int] = []
    read: list[int] = []

    class Seen(TCPServer):
        async def run(self) -> None:
            begun.append(passes.number)
            await super().run()

        async def _read_data(self) -> None:
            receive = self.stream.receive_some

            async def receive_some(max_bytes: int) -> bytes:
                data = await receive(max_bytes)
                read.append(passes.number)
                return bytes(data)

            monkeypatch.setattr(self.stream, "receive_some", receive_some)
            await super()._read_data()

    monkeypatch.setattr(server, "TCPServer", Seen)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(32)]
    with counted() as passes:
        for client in clients:
            client.connect(path)
        await until(lambda: len(running.connections) == 32, "all of them")
        for client in clients:
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(read) == 32, "what they ask")
    assert len(set(begun)) == len(begun) == 32
    assert len(set(read)) == len(read) == 32
    for client in clients:
        client.close()


async def test_with_nobody_there_it_does_not_wake(path: str, running: Server) -> None:
    def sleeps() -> bool:
        return trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf

    for _ in range(2):
        await trio.testing.wait_all_tasks_blocked()
        assert sleeps()
        stream = await trio.open_unix_socket(path)
        await trio.testing.wait_all_tasks_blocked()
        assert not sleeps()  # it looks whether he has hung up
        await stream.aclose()
        patience = time.monotonic() + 10  # and not trio's: a deadline would be seen
        while running.connections or not sleeps():
            assert time.monotonic() < patience
            await trio.lowlevel.checkpoint()


async def test_a_slow_client_is_waited_for_but_not_for_ever(
    path: str, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontdoor.control.asked.BODY_TIMEOUT", 0.2)
    stream = await trio.open_unix_socket(path)
    for byte in b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
        await stream.send_all(bytes([byte]))
        await trio.lowlevel.checkpoint()
    assert b" 200 " in await stream.receive_some()
    await stream.aclose()
    answer = await ask(path, b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert b" 408 " in answer
    assert b"did not come within" in answer


async def test_without_descriptors_it_pauses_says_so_once_and_goes_on(
    path: str, running: Server, errors: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.01)
    await get(path, "/v1/status")
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 1, hard))
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        for client in clients:
            client.connect(path)
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await until(lambda: errors, "EMFILE")
        await trio.sleep(0.05)
        assert [getattr(error, "errno", None) for error in errors] == [errno.EMFILE]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in fillers:
            os.close(descriptor)
    for client in clients:
        await trio.lowlevel.wait_readable(client)
        assert b" 200 " in client.recv(100)
        client.close()


async def test_the_listener_is_left_as_it_is(path: str, door: FakeDoor) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + "2")
        listener.listen()
        listener.setblocking(False)
        # As the door process gets it: another object on the same open file description.
        with socket.socket(fileno=os.dup(listener.fileno())) as mine:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: server.serve(_teapot, mine, on_error=print))
                assert (await ask(path + "2", b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 418")
                nursery.cancel_scope.cancel()
            assert mine.fileno() >= 0
        assert fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_who_must_not_be_listened_to_is_not(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + "3")
        listener.listen()
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: server.serve(_teapot, listener, on_error=print, but_from=os.getpid()))
            with pytest.raises(trio.BrokenResourceError):  # what it sent was never read: a reset, not an end
                await ask(path + "3", b"GET / HTTP/1.0\r\n\r\n")
            nursery.cancel_scope.cancel()


async def _teapot(scope: dict[str, object], receive: object, send: Callable[..., object]) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})  # type: ignore[misc]  # ASGI's send
    await send({"type": "http.response.body", "body": b""})  # type: ignore[misc]  # ASGI's send


def test_curl_is_all_one_needs(socket_path: str) -> None:
    async def main() -> None:
        async with control_socket(FakeDoor(), socket_path):
            curl = ["curl", "-sS", "--unix-socket", socket_path, "http://frontdoor/v1/status"]
            for more in ([], ["--http2"], ["--http2-prior-knowledge"]):
                answer = await trio.run_process(curl + more, capture_stdout=True)
                assert b'"active": "v2#2"' in answer.stdout

    trio.run(main)


LATE_IMPORTS = """
import sys, trio
from control.fakedoor import FakeDoor, ask, control_socket, get
from control.test_server import NASTY, FOLLOW
from frontdoor.control import server
import h11, select  # what this test itself needs
before = set(sys.modules)

async def main(path):
    door = FakeDoor()
    async with control_socket(door, path):
        for target in ("/v1/status", "/v1/streams?version=v1", "/v1/events?follow=0", "/healthz", "/", "/nothing"):
            await get(path, target)
        for body in ({"version": "v1", "over": 0}, {"version": "v2", "over": 0}, {}, b"[", b" " * 70000):
            await get(path, "/v1/doors/main/drain", "POST", body)
        await get(path, "/v1/doors/main/swap", "POST", {"version": "oops"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, path, "/v1/doors/main/swap", "POST", {"version": "v2"})
            await door.started.wait()
            await get(path, "/v1/doors/main/abort", "POST", {"swap": 1})
        await get(path, "/v1/doors/main/swaps/1")
        for target in ("/v1/doors/-/pause", "/v1/doors/-/resume"):
            await get(path, target, "POST")
        door.problems = ["drain.timeot: unknown key"]
        await get(path, "/v1/reload", "POST")
        async with trio.open_nursery() as nursery:
            door.started = trio.Event()
            nursery.start_soon(get, path, "/v1/doors/-/rollback", "POST")
            await door.started.wait()
            door.operations[2].fail("failed", 1, "no")
        door.prints("a line")
        await get(path, "/v1/logs?history=5&follow=0")
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b"GET /v1/logs?history=5&version=v2 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            while b"a line" not in await stream.receive_some():
                pass
        door.healthy = lambda: 1 / 0
        await get(path, "/healthz")
        await get(path, "/v1/status", "DELETE")
        await get(path, "/v1/stop", "POST", {"now": True})
        for nasty in NASTY.values():
            stream = await trio.open_unix_socket(path)
            async with stream:
                try:
                    await stream.send_all(nasty)
                    with trio.move_on_after(0.1):
                        while await stream.receive_some():
                            pass
                except trio.BrokenResourceError:
                    pass

trio.run(main, sys.argv[1])
print(*sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_late(socket_path: str) -> None:
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    run = subprocess.run(
        [sys.executable, "-c", LATE_IMPORTS, socket_path],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split() == []
