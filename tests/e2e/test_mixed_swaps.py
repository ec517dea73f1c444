"""Everything that changes what a door serves, in random order, under WebSockets that come and go: nothing is lost."""

import os
import random
from collections.abc import Callable

import trio

from e2e.crowded import random_seed
from e2e.harness import Frontdoor
from e2e.swarm import ROOT
from load import Clients, Load, Result, table
from load.mix import BAD, KINDS, Mix, in_random_order

Serve = Callable[..., Frontdoor]

CHANGES = 100 if os.environ.get("FRONTDOOR_LONG") else 26
PACE = 1.0  # seconds between two rounds of a client
CLIENTS = Clients(websockets=200, staying=0, lifetimes=(1, 20), new=8, keep_alive=8)
BETWEEN = 0.3  # seconds between two changes, at the most
QUICK = ["{python}", "-I", "-S", os.path.join(ROOT, "scripts", "load", "quick.py")]
"""A backend that starts in some fifty milliseconds: there are as many starts as changes, beside two hundred clients."""

BAD_WORDS = "a bad release"


def test_many_changes_in_random_order_lose_nothing(serve: Serve) -> None:
    seed = random_seed()
    door = serve(
        backends={
            "*": {"command": QUICK, "stop_timeout": "60s"},
            BAD: {"command": ["{python}", "-I", "-S", "-c", f"raise SystemExit('{BAD_WORDS}')"]},
        },
        swap={"max_generations": CHANGES, "keep_warm": "2s"},
        drain={"timeout": "never"},
        ready={"deadline": "60s"},
    )
    mix = Mix(door.control, random.Random(seed))
    result = trio.run(changes_under_load, mix, seed)
    print(f"{dict(mix.done)}: {result.total}")

    assert result.ok, f"FRONTDOOR_SEED={seed}: a client saw what it must not see:\n{table(result)}"
    assert mix.done.total() == CHANGES
    assert set(mix.done) == set(KINDS)
    mix.rest()
    nothing_was_closed_by_frontdoor(door, result.total.connections)
    every_backend_ended_as_it_was_told(door)


async def changes_under_load(mix: Mix, seed: int) -> Result:
    """Make the changes, as fast as a hasty team, while the clients come and go."""
    rng = random.Random(f"{seed} pauses")
    status = mix.status()
    load = Load(status["listen"][0], CLIENTS, first=status["active"], pace=PACE, timeout=60, seed=seed)
    async with load.running():
        await load.progress()
        for kind in in_random_order(CHANGES, rng):
            load.switching()
            load.switched(await trio.to_thread.run_sync(mix.change, kind))
            if load.result().failed:
                break  # it has been seen: no need to wait for the rest
            await trio.sleep(rng.uniform(0, BETWEEN))
    return load.result()


def nothing_was_closed_by_frontdoor(door: Frontdoor, connections: int) -> None:
    ledger = door.status()["streams"]
    assert ledger["open"] == 0
    assert ledger["accepted"] == connections == sum(ledger["ended"].values())
    assert {why for why, count in ledger["ended"].items() if count} <= {"client_closed", "backend_closed"}, ledger
    assert {drained["closed"] for drained in door.logged("drain.finished")} == {0}


def every_backend_ended_as_it_was_told(door: Frontdoor) -> None:
    assert door.logged("backend.restarting") == []
    assert {ended["status"] for ended in door.logged("backend.exited") if ended["version"] != BAD} == {0}
    printed = {entry["line"] for entry in door.logged("output")}
    assert printed == {BAD_WORDS}, "a backend says so when its stop signal comes before its last stream has ended"
