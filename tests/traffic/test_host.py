"""The relay's loop as host, trio as its guest. Each test is a program of its own: there can be one host in a thread."""

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import trio
import trio.lowlevel

from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic import relay as relay_module
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.host import Host
from frontdoor.traffic.relay import Relay


@pytest.fixture
def relay() -> Relay:
    return Relay(lambda streams, pipes: True)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its read end and its write end."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def join(relay: Relay, idle_timeout: float = math.inf) -> tuple[trio.SocketStream, trio.SocketStream]:
    """A stream, as its client and its backend see it."""
    client, client_side = socket.socketpair()
    backend, backend_side = socket.socketpair()
    client_side.setblocking(False)
    backend_side.setblocking(False)
    limits = Limits(
        connections=1 << 30, hold_timeout=1, connect_timeout=1, idle_timeout=idle_timeout, half_close_timeout=60
    )
    generation = Generation("v1", 1, 0.0)
    gate = Gate("main", Switchboard(), Ledger(), limits)
    seat = Seat(generation, 0, "/nowhere", up=True)
    seat.open = generation.open = 1
    relay.join(gate, seat, "unix", client_side.detach(), backend_side.detach())
    ends = [trio.SocketStream(trio.socket.from_stdlib_socket(sock)) for sock in (client, backend)]
    return ends[0], ends[1]


def test_what_the_guest_returns_is_returned(relay: Relay) -> None:
    async def main() -> str:
        await trio.sleep(0.001)
        return "done"

    relay.replenish()  # its first pipe
    before = len(os.listdir("/proc/self/fd"))
    host = Host(relay)
    assert host.run(main) == "done"
    assert len(os.listdir("/proc/self/fd")) == before


def test_bytes_move_while_the_guest_waits(relay: Relay) -> None:
    async def main() -> bytes:
        client, backend = join(relay)
        await client.send_all(b"hello")
        got = await backend.receive_some(5)
        await client.aclose()
        assert await backend.receive_some(5) == b""
        await backend.aclose()
        while len(relay):
            await trio.lowlevel.checkpoint()
        return bytes(got)

    assert Host(relay).run(main) == b"hello"


def test_streams_are_swept_though_nothing_happens(relay: Relay) -> None:
    async def main() -> bytes:
        client, backend = join(relay, idle_timeout=0.05)
        async with client, backend:
            with trio.fail_after(10):
                return bytes(await client.receive_some(1))

    assert Host(relay).run(main) == b""


def test_what_lacks_a_descriptor_is_tried_again_though_nobody_is_here(relay: Relay) -> None:
    async def main() -> None:
        tried = trio.Event()
        relay.when_room(tried.set)
        with trio.fail_after(10):
            await tried.wait()

    Host(relay).run(main)


def test_the_guest_s_exception_is_raised(relay: Relay) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("mine")

    with pytest.raises(ExceptionGroup) as raised:
        Host(relay).run(main)
    assert raised.group_contains(ValueError, match="mine")


def test_what_a_callback_of_the_relay_wakes_runs_at_once(relay: Relay, pipe: tuple[int, int]) -> None:
    """Trio waits for ever in its thread: only the bell tells it that there is something to do."""
    read, write = pipe

    async def main() -> None:
        rung = trio.Event()

        def ring() -> None:
            os.read(read, 1)
            rung.set()

        relay.listen(read, ring)
        await trio.to_thread.run_sync(os.write, write, b"x")
        with trio.fail_after(10):
            await rung.wait()
        relay.unlisten(read)

    Host(relay).run(main)


def test_a_task_that_is_started_by_the_relay_runs(relay: Relay, pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, b"x")

    async def main() -> None:
        done = trio.Event()

        async def work() -> None:
            await trio.sleep(0.001)
            done.set()

        def start() -> None:
            os.read(read, 1)
            nursery.start_soon(work)

        async with trio.open_nursery() as nursery:
            relay.listen(read, start)
            with trio.fail_after(10):
                await done.wait()
            relay.unlisten(read)

    Host(relay).run(main)


def test_neither_starves_the_other(relay: Relay, pipe: tuple[int, int]) -> None:
    """A guest that always wants to run, beside a descriptor that is always readable."""
    read, write = pipe
    os.write(write, b"x")
    turns = passes = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    async def main() -> None:
        nonlocal passes
        relay.listen(read, turn)
        while turns < 1000:
            passes += 1
            await trio.lowlevel.checkpoint()
        relay.unlisten(read)

    Host(relay).run(main)
    assert turns == 1000
    assert 900 < passes < 1100


def test_frozen_no_byte_moves_and_nobody_is_heard_while_the_guest_goes_on(relay: Relay, pipe: tuple[int, int]) -> None:
    heard: list[int] = []
    read, write = pipe

    async def main() -> None:
        client, backend = join(relay)
        relay.listen(read, lambda: heard.append(len(os.read(read, 100))))
        host.freeze()
        await client.send_all(b"hello")
        os.write(write, b"x")
        before = time.process_time()
        with trio.move_on_after(0.2):
            await backend.receive_some(5)
            raise AssertionError("it came through")
        assert time.process_time() - before < 0.1
        await trio.to_thread.run_sync(os.getpid)  # the bell is heard
        assert heard == []
        (stream,) = relay.streams
        assert stream.up.moved == 0

        host.thaw()
        with trio.fail_after(10):
            assert await backend.receive_some(5) == b"hello"
            while not heard:
                await trio.sleep(0.001)
        assert heard == [1]
        await client.aclose()
        await backend.aclose()
        while len(relay):
            await trio.lowlevel.checkpoint()
        relay.unlisten(read)

    host = Host(relay)
    host.run(main)


def test_frozen_from_the_start_and_to_the_end(relay: Relay) -> None:
    async def main() -> str:
        client, backend = join(relay)
        await client.send_all(b"hello")
        await trio.sleep(0.01)
        (stream,) = relay.streams
        assert stream.up.moved == 0
        relay.abandon(stream, Reason.SHUTDOWN)
        await client.aclose()
        await backend.aclose()
        return "done"

    host = Host(relay)
    host.freeze()
    assert host.run(main) == "done"


def test_it_can_be_frozen_by_what_the_relay_calls(relay: Relay, pipe: tuple[int, int]) -> None:
    turns = 0
    read, write = pipe
    os.write(write, b"x")

    def turn() -> None:
        nonlocal turns
        turns += 1
        host.freeze()

    async def main() -> None:
        relay.listen(read, turn)
        while not turns:
            await trio.lowlevel.checkpoint()
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert turns == 1
        relay.unlisten(read)

    host = Host(relay)
    host.run(main)


def test_a_frozen_relay_s_streams_do_not_end_because_their_time_is_up(relay: Relay) -> None:
    async def main() -> None:
        client, backend = join(relay)
        (stream,) = relay.streams
        stream.gate.limits = replace(stream.gate.limits, idle_timeout=0.0)
        host.freeze()
        await trio.sleep(0.6)  # two sweeps and more
        assert len(relay) == 1
        host.thaw()
        with trio.fail_after(10):
            while not stream.reason:
                await trio.sleep(0.01)
        assert stream.reason is Reason.IDLE_TIMEOUT
        relay.abandon(stream, Reason.SHUTDOWN)
        await client.aclose()
        await backend.aclose()

    host = Host(relay)
    host.run(main)


@pytest.mark.parametrize("frozen", [True, False])
def test_who_has_spoken_while_nobody_listened_is_heard_before_he_is_judged(
    relay: Relay, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stood still, in an upgrade or because it was stopped, for longer than the time-out."""
    monkeypatch.setattr(relay_module, "BATCH", 1)  # so that five streams are more than one turn of the relay hears
    host = Host(relay)

    async def main() -> None:
        pairs = [join(relay, idle_timeout=1.2) for _ in range(5)]
        await trio.sleep(0.3)
        if frozen:
            host.freeze()
        for client, _ in pairs:
            await client.send_all(b"here")
        if frozen:
            await trio.sleep(1.3)
            host.thaw()
        else:
            time.sleep(1.3)  # noqa: ASYNC251 - as SIGSTOP would do
        for _, backend in pairs:
            with trio.fail_after(10):
                assert await backend.receive_some(10) == b"here"
        assert len(relay) == 5
        for client, backend in pairs:
            await client.aclose()
            await backend.aclose()

    host.run(main)


def test_an_error_in_the_relay_ends_the_run() -> None:
    # In a process of its own: the guest is left behind in the middle of its run, as is right for a process that dies.
    program = """
import os, trio
from frontdoor.traffic.host import Host
from frontdoor.traffic.relay import Relay

relay = Relay(lambda streams, pipes: True)
read, write = os.pipe()
os.write(write, b"x")

async def main():
    relay.listen(read, lambda: {}["a bug"])
    await trio.sleep_forever()

try:
    Host(relay).run(main)
except KeyError as error:
    print("raised", error, flush=True)
    os._exit(7)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (7, "raised 'a bug'\n"), ran.stderr
