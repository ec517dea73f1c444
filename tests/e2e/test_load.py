"""Many swaps under load: what 200 WebSockets and every kind of HTTP client see of them is nothing."""

import itertools
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from e2e.harness import Frontdoor, until
from e2e.swarm import EVERYTHING, READY, UVICORN, Outcome, swaps_under_load
from load import Clients, Relay, relay, table

Serve = Callable[..., Frontdoor]

SWAPS = 50 if os.environ.get("FRONTDOOR_LONG") else 6
"""With FRONTDOOR_LONG=1 it takes two minutes."""
CLIENTS = Clients(websockets=200, staying=20, new=8, keep_alive=24, slow=8, stream=10, upload=6)
PACE = 1.2  # seconds between two rounds of a client: 200 WebSockets at this pace keep half of one core busy
VERSIONS = tuple(itertools.islice(itertools.cycle(("v2", "v1")), SWAPS))
SERVED = ["v1#1", *(f"{version}#{number}" for number, version in enumerate(VERSIONS, 2))]


def web(serve: Serve) -> Frontdoor:
    """backends/web.py on uvicorn, behind a door whose drain never closes a stream by itself."""
    return serve(
        backends={"*": {"command": UVICORN, "stop_timeout": "60s"}},
        ready=READY,
        drain={"timeout": "never"},
        swap={"max_generations": SWAPS + 1},
    )


@pytest.mark.long
def test_many_swaps_under_load(serve: Serve) -> None:
    door = web(serve)
    outcome = trio.run(lambda: swaps_under_load(door, CLIENTS, VERSIONS, pace=PACE))
    print(figures(outcome))

    result = outcome.result
    assert result.ok, f"a client saw what it must not see:\n{table(result)}"
    assert len(outcome.swaps) == SWAPS
    assert set(result.generations) == set(SERVED), "each of them served"
    stayed = [row for row in result.clients if row.client.startswith("ws-stays")]
    assert {tuple(row.generations.items()) for row in stayed} == {(("v1#1", 1),)}, "through all of the swaps"

    until(lambda: len(door.logged("generation.stopped")) == SWAPS, "every generation but the last is stopped", 60)
    every_start_was_a_new_process(door)
    every_generation_was_stopped_after_its_last_stream(door)
    the_ledger_adds_up(door, result.total.connections)
    assert door.logged("output") == [], "no backend saw anything to complain about"
    door.signal(signal.SIGTERM)
    assert door.ends() == 0, "and no process is left"


def every_start_was_a_new_process(door: Frontdoor) -> None:
    starts = door.logged("backend.starting")
    assert [start["generation"] for start in starts] == SERVED
    assert len({start["pid"] for start in starts}) == SWAPS + 1
    assert door.logged("backend.restarting") == []


def every_generation_was_stopped_after_its_last_stream(door: Frontdoor) -> None:
    for old in SERVED[:-1]:
        (drained,) = door.logged("drain.finished", generation=old)
        (exited,) = door.logged("backend.exited", generation=old)
        assert drained["closed"] == 0
        assert drained["seq"] < exited["seq"], f"{old} ended before its last stream"
        assert exited["status"] in (0, -15), "by its stop signal: uvicorn raises it again when it has finished"


def the_ledger_adds_up(door: Frontdoor, connections: int) -> None:
    status = door.status()
    ledger = status["streams"]
    assert ledger["open"] == 0
    assert ledger["accepted"] == connections == sum(ledger["ended"].values())
    assert set(ledger["ended"]) <= {"client_closed", "backend_closed"}, ledger
    assert [(g["id"], g["state"]) for g in status["generations"] if g["processes"]] == [(SERVED[-1], "active")]


def figures(outcome: Outcome) -> str:
    kinds = "\n".join(
        f"  {kind:10} {counts.clients:4} clients {counts.connections:6} connections {counts.rounds:6} rounds"
        f" {counts.messages:7} messages {counts.moved / 1e6:7.1f} MB"
        for kind, counts in outcome.result.kinds.items()
    )
    swaps = sorted(outcome.swaps) or [0.0]
    return (
        f"{len(outcome.swaps)} swaps in {outcome.seconds:.1f} s; `frontdoor swap` took"
        f" {swaps[len(swaps) // 2]:.2f} s (median), {swaps[-1]:.2f} s at the most;"
        f" at most {outcome.running} backends at once; {outcome.result.failed} failures\n{kinds}"
    )


# -- the same load on doors that are bad: it must fail ----------------------------------------------------------------


async def swaps_on_a_bad_door(door: Frontdoor, bad: AbstractAsyncContextManager[Relay]) -> Outcome:
    """The same clients, who come through a relay that is no frontdoor, in front of one."""
    async with bad as sabotage:

        async def switched() -> None:
            sabotage.switch()

        return await swaps_under_load(door, EVERYTHING, ("v2", "v1"), address=sabotage.address, switched=switched)


def test_the_load_passes_on_a_relay_that_does_nothing_bad(anew: Serve) -> None:
    door = web(anew)
    host, port = door.address
    outcome = trio.run(lambda: swaps_on_a_bad_door(door, relay(f"{host}:{port}", cuts=False)))
    assert outcome.result.ok, table(outcome.result)
    assert set(outcome.result.generations) == {"v1#1", "v2#2", "v1#3"}


def test_the_load_fails_on_a_door_that_cuts_streams_at_the_switch(anew: Serve) -> None:
    door = web(anew)
    host, port = door.address
    outcome = trio.run(lambda: swaps_on_a_bad_door(door, relay(f"{host}:{port}", cuts=True)))
    assert not outcome.result.ok
    for row in outcome.result.clients:
        if row.client.startswith("ws-stays"):
            assert row.failures, f"{row.client} was cut and did not notice"


def test_the_load_fails_on_a_door_that_goes_on_sending_clients_to_the_old_version(anew: Serve) -> None:
    door = web(anew)
    door.connect()  # a stream that keeps the old version running
    old = f"unix:{door.path(door.process('v1#1')['socket'])}"
    outcome = trio.run(lambda: swaps_on_a_bad_door(door, relay(old, cuts=False)))
    reasons = [failure.reason for failure in outcome.result.failures]
    assert "answered by v1#1, wanted v2#2" in reasons, reasons


def test_the_load_fails_when_the_drain_is_not_left_its_time(anew: Serve) -> None:
    door = web(anew)

    async def closes() -> None:
        await trio.to_thread.run_sync(door.run, "drain", "v1", "--now")

    outcome = trio.run(lambda: swaps_under_load(door, EVERYTHING, ("v2",), switched=closes))
    assert any("1006" in failure.reason for failure in outcome.result.failures), outcome.result.failures
