"""The upheaval: frontdoor's own process is replaced again and again, and clients that last look on.

Started by `scripts/upheaval`. For upgrades, and then for kill -9, a frontdoor is started and a crowd (`load.crowd`)
comes twice: first for a warm-up of two, which fills what has a bound, then for as many as are wanted. What frontdoor
holds is read at rest after each of the two. A meter (`load.meter`), a process of its own, measures the pauses.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import trio

from frontdoor.control.client import Client
from frontdoor.control.dial import ControlError
from load import endless
from load.crowd import PROTECTED_FROM, SLACK, Crowd, Pace, Party
from load.figures import Figures, Upheaval, lines_of_the_keeper, report, say, too_long
from load.frontdoor import Frontdoor
from load.gauge import MB, gauge, seconds
from load.meter import Measured
from load.script import ScriptError, run
from load.verdict import Reading, fattened, grown

KINDS = ("upgrade", "kill")
BETWEEN = 2.0
"""Seconds from the end of one to the next, on average."""

MEMORY = 4.0  # MB that a process may have grown: the door process is another one each time
QUIET = 5.0  # seconds in which nothing happens to frontdoor, before the first
PATIENCE = 30  # seconds until all is at rest, or until another door process serves
METERS = 4  # connections
AFTER = 0.1  # seconds in which a pause may end after another door process has answered
FILL = 80  # slow readers in the warm-up: more pipes than the door keeps when it is idle
CONFIG = """
listen = ["127.0.0.1:0"]
active = "v1"
[backends."*"]
command = ["{{python}}", "-I", "-S", {app}, "--results", {results}]
[ready]
check = "http:/healthz"
timeout = "10s"
[frontdoor]
log_format = "json"
"""


class Stage:
    """A frontdoor, and who replaces its door process."""

    def __init__(self, frontdoor: Frontdoor, rng: random.Random, between: float) -> None:
        self._frontdoor = frontdoor
        self._control = Client(frontdoor.control)
        self._rng = rng
        self._between = between

    async def status(self) -> dict[str, Any]:
        """The state of the only door, and what is above it. Raises ControlError."""
        whole = await trio.to_thread.run_sync(self._control.ask, "/v1/status")
        (door,) = whole.pop("doors")
        return {**whole, **door}

    async def replace(self, kind: str, crowd: Crowd) -> Upheaval:
        """Do it once, at a random moment; returns when each stream has gone on."""
        await trio.sleep(self._rng.uniform(0.5, 1.5) * self._between)
        before = (await self.status())["door_pid"]
        began = time.monotonic()
        if kind == "upgrade":
            await self._frontdoor.upgrade()
        else:
            os.kill(before, signal.SIGKILL)
        await self._another_serves(before)
        served = time.monotonic()
        await crowd.all_go_on()
        return Upheaval(began, served, time.monotonic())

    async def _another_serves(self, before: int) -> None:
        with trio.move_on_after(PATIENCE):
            while True:
                with contextlib.suppress(ControlError):
                    status = await self.status()
                    if status["door_pid"] != before and status["active"]:
                        return
                await trio.sleep(0.02)
        raise ScriptError("no other door process serves")

    async def at_rest(self, before: Reading | None = None) -> Reading:
        """What is held when nobody is there, and no more than before, as far as waiting helps."""
        deadline = trio.current_time() + PATIENCE
        while True:
            status = await self.status()
            reading = Reading(gauge(status["pid"]), gauge(status["door_pid"]), 0)
            noise = status["streams"]["open"] or (before is not None and grown(before, reading))
            if not noise or trio.current_time() > deadline:
                return reading
            await trio.sleep(0.1)


@contextlib.asynccontextmanager
async def meter(address: tuple[str, int], found: list[Measured]) -> AsyncIterator[None]:
    """Measure the pauses as long as this lasts. Raises ScriptError."""
    command = [sys.executable, "-m", "load.meter", address[0], str(address[1]), str(METERS)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if await process.stdout.receive_some(100) != b"ready\n":
            raise ScriptError("the meter could not connect")
        yield
        await process.stdin.aclose()
        printed = b"".join([data async for data in process.stdout])
        if await process.wait() != 0:
            raise ScriptError("a connection of the meter has ended, or had a wrong echo: it says so above")
        found.append(Measured.decode(printed.decode()))
    finally:
        process.kill()


def party(streams: int) -> Party:
    """So many that last, and visitors; most of them are WebSockets."""
    few = max(1, streams // 50)
    others = {"kept": 5 * few, "slow_readers": 2 * few, "slow_apps": few, "finished_clients": few}
    others |= {"finished_apps": few, "downloads": 1, "uploads": 1}
    return Party(websockets=max(1, streams - sum(others.values())), visitors=20, **others)


async def upheave(kind: str, options: argparse.Namespace, folder: str, rng: random.Random) -> Figures:
    """Serve, warm up, read, do it so many times, read. Raises ScriptError."""
    frontdoor = Frontdoor(write_config(folder), os.path.join(folder, "serve.log"))
    between = options.between
    pace = Pace(
        rest=max(0.25, options.streams / 1500),  # so that the crowd itself leaves most of the machine to frontdoor
        size=options.size * MB,
        rate=options.size * MB / (options.times * (between + 2)),
    )
    seed, measured = rng.randrange(1_000_000), list[Measured]()
    async with frontdoor.serving():
        stage = Stage(frontdoor, rng, between)
        status = await stage.status()
        who = await backends(stage)
        host, _, port = status["listen"][0].rpartition(":")
        address = (host, int(port))
        who_comes = party(options.streams)
        filling, short = dataclasses.replace(who_comes, slow_readers=FILL), dataclasses.replace(pace, size=0)
        warm_up = Crowd(address, filling, short, results=folder, seed=seed)
        async with warm_up.present():
            await trio.sleep(PROTECTED_FROM + SLACK)
            for _ in range(2):
                await stage.replace(kind, warm_up)
        before = await stage.at_rest()
        say(f"{kind}: warmed up")

        crowd = Crowd(address, who_comes, pace, results=folder, seed=seed + 1)
        upheavals: list[Upheaval] = []
        async with crowd.present(), meter(address, measured):
            await trio.sleep(PROTECTED_FROM + SLACK)
            quiet, used = time.monotonic(), seconds(status["pid"])
            await trio.sleep(QUIET)
            keeper, used_then = gauge(status["pid"]), seconds(status["pid"])
            keeper_quiet = (used_then - used) / (time.monotonic() - quiet)
            for number in range(1, options.times + 1):
                upheavals.append(await stage.replace(kind, crowd))
                if crowd.failures:
                    break
                if number % 10 == 0:
                    say(f"{kind}: {number}")
            await trio.sleep(0.5)
            keeper_cpu = seconds(status["pid"]) - used_then
        after = await stage.at_rest(before)
        ledger = (await stage.status())["streams"]
        problems = [*warm_up.failures, *crowd.failures, *grown(before, after), *fattened(before, after, 0, MEMORY)]
        if (status["pid"], who) != ((await stage.status())["pid"], await backends(stage)):
            problems.append("serve, or a backend, is another process than in the beginning")
    problems += unaccounted(kind, ledger, crowd, warm_up, options.times + 2)
    (seen,) = measured
    return Figures(
        kind,
        tuple(upheavals),
        tuple(seen.longest(one.began, one.served + AFTER) for one in upheavals),
        seen.longest(quiet, upheavals[0].began),
        seen.echoes,
        before,
        after,
        keeper,
        keeper_quiet,
        keeper_cpu,
        lines_of_the_keeper(),
        len(crowd),
        crowd.visits + warm_up.visits,
        crowd.cut + warm_up.cut,
        crowd.moved,
        ledger,
        tuple(problems),
    )


async def backends(stage: Stage) -> dict[str, list[int]]:
    """Generation → pids."""
    generations = (await stage.status())["generations"]
    return {each["id"]: [process["pid"] for process in each["processes"]] for each in generations}


def unaccounted(kind: str, ledger: dict[str, Any], crowd: Crowd, warm_up: Crowd, times: int) -> list[str]:
    """What the ledger does not say as it should."""
    found = []
    clients = crowd.visits + warm_up.visits + len(crowd) + len(warm_up) + METERS
    lost = ledger["ended"].get("lost", 0)
    if ledger["open"] or ledger["accepted"] != sum(ledger["ended"].values()):
        found.append(f"the ledger does not add up: {ledger}")
    visitors = sum(member.kind == "visitors" for member in crowd.members)
    if lost > (visitors * times if kind == "kill" else 0):
        found.append(f"the ledger: {lost} lost, and there were {visitors} visitors at once")
    # A client whose accept the killed process had no time to count is not in it, nor one that it had counted twice.
    if abs(ledger["accepted"] - clients) > (times if kind == "kill" else 0):
        found.append(f"the ledger: {ledger['accepted']} accepted, and there were {clients} clients")
    return found


def write_config(folder: str) -> str:
    """Write the config; its path."""
    path = os.path.join(folder, "config.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(app=json.dumps(endless.__file__), results=json.dumps(folder)))
    return path


async def main_script(options: argparse.Namespace, folder: str) -> bool:
    """Both kinds, or one. Returns whether nothing was wrong."""
    rng = random.Random(options.seed)
    say(f"seed {options.seed}")
    found = []
    for kind in options.only or KINDS:
        place = os.path.join(folder, kind)
        os.mkdir(place)
        figures = await upheave(kind, options, place, rng)
        report(figures)
        found.append(figures)
    if options.json:
        print(json.dumps([dataclasses.asdict(figures) for figures in found]))
    return not any(figures.problems or too_long(figures) for figures in found)


def main() -> None:
    """Read the command line, and do it."""
    parser = argparse.ArgumentParser(
        prog="scripts/upheaval", description="Replace frontdoor's own process again and again; 0: no stream noticed."
    )
    parser.add_argument("--only", choices=KINDS, action="append", help="one of the two (default: one after the other)")
    parser.add_argument("--times", type=int, default=50, help="of each (default: 50)")
    parser.add_argument("--streams", type=int, default=500, help="that are open all the time (default: 500)")
    parser.add_argument("--size", type=int, default=1000, metavar="MB", help="of download and upload (default: 1000)")
    parser.add_argument(
        "--between",
        type=float,
        default=BETWEEN,
        metavar="SECONDS",
        help=f"between two of them, on average (default: {BETWEEN:g})",
    )
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each client is one here, and one in the app
    sys.exit(trio.run(run, "upheaval", partial(main_script, options), say))


if __name__ == "__main__":
    main()
