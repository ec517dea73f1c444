"""What traffic costs those who share the process with it, and what silence costs: nothing."""

import os
import subprocess
import sys

import pytest
import trio

from traffic.peers import cpu, receive, until
from traffic.relay_under_test import open_door

TESTS = os.path.dirname(os.path.dirname(__file__))


async def largest_gap(seconds: float) -> float:
    """The longest that a task had to wait which wants to run every millisecond."""
    now = trio.current_time()
    end, largest = now + seconds, 0.0
    while now < end:
        await trio.sleep(0.001)
        before, now = now, trio.current_time()
        largest = max(largest, now - before)
    return largest


@pytest.mark.parametrize(("connections", "size"), [(1, 12), (100, 12), (20, 1 << 20)], ids=["one", "chatty", "bulk"])
async def test_other_tasks_run_every_few_milliseconds_whatever_the_traffic(connections: int, size: int) -> None:
    async with open_door(backlog=None) as door:
        os.unlink(door.backend.seat.address)
        process = await trio.lowlevel.open_process(
            [
                sys.executable,
                "-m",
                "traffic.busy_peers",
                door.backend.seat.address,
                str(door.address[1]),
                str(connections),
                str(size),
            ],
            cwd=TESTS,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        async with process.stdout:
            try:
                await until(lambda: len(door.relay) == connections)
                gaps = []
                before = sum(stream.up.moved for stream in door.relay.streams)
                for _ in range(3):
                    # A busy machine makes gaps of its own, but it never takes one away: the best of three counts.
                    gaps.append(await largest_gap(0.7))
                    if gaps[-1] < 0.05:
                        break
                messages = (sum(stream.up.moved for stream in door.relay.streams) - before) / size
                assert messages > 20
                assert min(gaps) < 0.05
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()


async def test_a_thousand_silent_streams_cost_nothing() -> None:
    async with open_door() as door:
        pairs = await door.pairs(1000)
        assert len(door.relay) == 1000
        await door.no_turns(seconds=0.5)
        client, backend = pairs[567]
        await client.send_all(b"hello")
        assert await receive(backend, 5) == b"hello"


@pytest.mark.parametrize("up", [False, True], ids=["no process is up", "nobody listens"])
async def test_a_thousand_clients_that_wait_for_a_backend_cost_next_to_nothing(up: bool) -> None:
    async with open_door(backlog=None) as door:
        door.backend.seat.up = up
        clients = [door.dial() for _ in range(1000)]
        await until(lambda: door.waiting == 1000)
        assert await cpu(0.5) < 0.2
        door.backend.listen(4096)
        door.backend.seat.up = True
        await until(lambda: len(door.relay) == 1000)
        await door.backend.greet()
        assert await receive(clients[0], 4) == b"v1#1", "first come, first served"
