"""A frontdoor on a sample app with the load of scripts/load on it, swapped again and again."""

import dataclasses
import os
from collections.abc import Awaitable, Callable, Sequence

import trio

from e2e.harness import Frontdoor
from load import Clients, Load, Result

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BACKENDS = os.path.join(ROOT, "backends")

UVICORN = ["{python}", "-m", "uvicorn", "--app-dir", BACKENDS, "--uds", "{socket}", "--timeout-keep-alive", "75"]
UVICORN += ["--loop", "asyncio", "--http", "h11", "--ws", "wsproto", "--lifespan", "off", "--log-level", "warning"]
UVICORN += ["web:app"]
"""backends/web.py with nothing looked for at the start, which is what a start's time goes into."""

READY = {"check": "http:/healthz", "interval": "50ms", "timeout": "20s", "deadline": "60s"}

EVERYTHING = Clients(websockets=6, lifetimes=(1, 8), new=2, keep_alive=3, slow=1, stream=2, upload=2)


@dataclasses.dataclass
class Outcome:
    """What came of a load."""

    result: Result
    swaps: list[float]  # how long each `frontdoor swap` took, in seconds
    seconds: float  # from the first client to the last one
    running: int = 0  # backends at once, at the most


async def swaps_under_load(
    door: Frontdoor,
    clients: Clients,
    versions: Sequence[str],
    *,
    address: str | None = None,
    pace: float = 0.15,
    switched: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    per_request: bool = False,
) -> Outcome:
    """Swap to one version after the other, each time as soon as every kind of client has met the one before.

    `address`: where the clients go, if that is not the door's own; `switched`: what happens right after every swap;
    `per_request`: the door speaks HTTP.
    """
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    active = await trio.to_thread.run_sync(lambda: str(door.status()["active"]))
    load = Load(address or f"{host}:{port}", clients, first=active, pace=pace, timeout=60, per_request=per_request)
    outcome = Outcome(load.result(), [], 0)
    began = trio.current_time()
    async with load.running():
        await load.progress()
        for version in versions:
            load.switching()
            asked = trio.current_time()
            swapped = await trio.to_thread.run_sync(door.swap, version)
            outcome.swaps.append(trio.current_time() - asked)
            await switched()
            active = swapped.split()[0]
            load.switched(active)
            await met(load, active)
            outcome.running = max(outcome.running, await trio.to_thread.run_sync(running, door))
            if load.result().failed:
                break  # it has been seen: no need to wait for the rest
    outcome.seconds = trio.current_time() - began
    outcome.result = load.result()
    return outcome


async def met(load: Load, generation: str) -> None:
    """Wait until every kind of client was answered by that generation; or until one has failed."""
    with trio.fail_after(120):
        while True:
            result = load.result()
            waiting = set(result.kinds) - {row.kind for row in result.clients if row.generations[generation]}
            if result.failed or not waiting:
                return
            await trio.sleep(0.02)


def running(door: Frontdoor) -> int:
    """How many backends run now."""
    return sum(len(generation["processes"]) for generation in door.status()["generations"])
