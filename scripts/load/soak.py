"""The soak: many connections, many swaps, and what the processes of frontdoor hold before and after.

Started by `scripts/soak`. Two readings are taken at rest, when no client is there and one generation runs: the first
after a warm-up, which fills what has a bound (the history of events, the outcomes of swaps, the pool of pipes: some
400 changes do that), the second after the soak. What is more then has leaked. Trio's tasks cannot be counted from
outside: one that was forgotten shows as the memory, the descriptor or the lease that it holds.
"""

import argparse
import dataclasses
import json
import os
import random
import sys
import time
from functools import partial
from typing import Any

import trio

from frontdoor.control.client import Client
from load.expectation import Expectation
from load.frontdoor import Frontdoor
from load.gauge import MB, gauge, is_being_asked
from load.mix import BAD, Mix, MixError, in_random_order
from load.record import FAILURES_KEPT
from load.script import ScriptError, run
from load.session import FAILURES, reason
from load.short import short_connection, slow_receivers
from load.verdict import BAD_WORDS, HUNDRED_THOUSAND, Reading, complaints, fattened, grown, unaccounted

QUICK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quick.py")

WORKERS = 32  # clients at once
SLOW = 80  # receivers at once that do not read: more than the pipes that the door keeps when it is idle
WARM_UP_SHARE = 25  # connections for each change of the warm-up
PATIENCE = 30  # seconds until all is at rest; trio's idle threads leave after ten
CONFIG = """
listen = ["127.0.0.1:0"]
active = "v1"
[backends."*"]
command = ["{{python}}", "-I", "-S", {quick}]
stop_timeout = "10s"
[backends.{bad}]
command = ["{{python}}", "-I", "-S", "-c", "raise SystemExit('{bad_words}')"]
[ready]
interval = "20ms"
deadline = "60s"
[swap]
keep_warm = "1s"
max_generations = 30
[frontdoor]
log_format = "json"
"""


class Soak:
    """A frontdoor, the clients on it, and the changes to it."""

    def __init__(self, frontdoor: Frontdoor, seed: int) -> None:
        self.connections = 0
        self.failures: list[str] = []
        self.failed = 0
        self._rng = random.Random(seed)
        self._mix = Mix(Client(frontdoor.control), self._rng)
        self.changes = self._mix.done
        status = self._mix.status()
        host, _, port = status["listen"][0].rpartition(":")
        self._address = (host, int(port))
        self._expectation = Expectation(status["active"])
        self._keeper, self._door = status["pid"], status["door_pid"]
        self._seed = seed
        self._control = frontdoor.control

    async def phase(self, name: str, connections: int, swaps: int, seconds: float) -> None:
        """Run so many of both, evenly spread, or for as long; then come to rest. Raises ScriptError."""
        self.connections, self.failures, self.failed = 0, [], 0
        self.changes.clear()
        began = said = trio.current_time()
        share = connections // max(1, swaps) + 1
        give, take = trio.open_memory_channel[int](share)
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(self._work, take.clone())
            take.close()
            with give, trio.move_on_after(seconds):
                given = 0
                for number, kind in enumerate(in_random_order(swaps, self._rng) or [None], 1):
                    # Connections are given out ahead of each change, so that it comes while they are open.
                    while given < connections * number // max(1, swaps):
                        given += 1
                        await give.send(given)
                    if kind is not None:
                        await self._change(kind)
                    if trio.current_time() > said + 10:
                        said = trio.current_time()
                        say(f"{name}: {self.connections:,} connections, {self.changes.total():,} changes")
        await slow_receivers(self._address, SLOW, self._pipes_are_many)
        spent = trio.current_time() - began
        done = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.changes.items()))
        say(f"{name}: {self.connections:,} connections in {spent:.0f} s, {self.failed} failures; {done or 'no change'}")

    async def _work(self, take: trio.MemoryReceiveChannel[int]) -> None:
        async with take:
            async for number in take:
                # A generator of its own: which client gets which number depends on the time.
                rng = random.Random(f"{self._seed} {number}")
                self.connections += 1
                try:
                    await short_connection(self._address, number, rng, self._expectation)
                except* FAILURES as error:
                    self.failed += 1
                    if len(self.failures) < FAILURES_KEPT:
                        self.failures.append(f"connection {number}: {reason(error)}")

    async def _change(self, kind: str) -> None:
        self._expectation.switching()
        try:
            active = await trio.to_thread.run_sync(self._mix.change, kind)
        except MixError as error:
            raise ScriptError(str(error)) from None
        if problem := self._expectation.switched(active):
            self.failed += 1
            self.failures.append(problem)

    async def _pipes_are_many(self) -> None:
        """Wait until the door keeps a pipe, which has two ends, for each of the slow receivers."""
        with trio.move_on_after(PATIENCE):
            while True:
                kinds = (await trio.to_thread.run_sync(gauge, self._door)).descriptors
                if kinds.get("pipe", 0) >= 2 * SLOW:
                    return
                await trio.sleep(0.05)
        raise ScriptError(f"{SLOW} clients that do not read, and only {kinds.get('pipe', 0)} ends of pipes: {kinds}")

    async def status(self) -> dict[str, Any]:
        """The state of the only door. Raises ScriptError."""
        try:
            return await trio.to_thread.run_sync(self._mix.status)
        except MixError as error:
            raise ScriptError(str(error)) from None

    # -- at rest ----------------------------------------------------------------------------------------------------

    async def read(self, before: Reading | None = None) -> Reading:
        """Wait until nothing goes on, and until no more is held than `before`, as far as waiting helps; then read."""
        deadline = trio.current_time() + PATIENCE
        while True:
            # In this order: asking for the status makes a connection, which is not at rest.
            reading = await trio.to_thread.run_sync(self._read)
            noise = self._mix.unrest(await self.status())
            if not noise and (before is None or not grown(before, reading)):
                return reading
            if trio.current_time() > deadline:
                if noise:
                    raise ScriptError(f"not at rest within {PATIENCE} s of the last client's end: {', '.join(noise)}")
                return reading

    def _read(self) -> Reading:
        deadline = time.monotonic() + PATIENCE
        while is_being_asked(self._control) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Each swap leaves a report, which is to stay.
        there = [each for each in os.walk(os.path.dirname(self._control)) if os.path.basename(each[0]) != "swaps"]
        files = sum(len(folders) + len(names) for _, folders, names in there)
        try:
            return Reading(gauge(self._keeper), gauge(self._door), files)
        except OSError as error:
            raise ScriptError(f"a process of frontdoor has ended: {error}") from None


def write_config(folder: str) -> str:
    """Write the config; its path."""
    path = os.path.join(folder, "config.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(quick=json.dumps(QUICK), bad=BAD, bad_words=BAD_WORDS))
    return path


async def soak(options: argparse.Namespace, folder: str) -> bool:
    """Serve, warm up, read, soak, read, compare. Returns whether all is as it was."""
    frontdoor = Frontdoor(write_config(folder), os.path.join(folder, "serve.log"))
    say(f"seed {options.seed}")
    try:
        async with frontdoor.serving():
            one = await trio.to_thread.run_sync(Soak, frontdoor, options.seed)
            await one.phase("warm-up", options.warm_up * WARM_UP_SHARE, options.warm_up, float("inf"))
            problems = one.failures
            before, status = await one.read(), await one.status()
            began = time.monotonic()
            await one.phase("soak", options.connections, options.swaps, options.minutes * 60)
            seconds = time.monotonic() - began
            after = await one.read(before)
            problems += one.failures + grown(before, after) + fattened(before, after, one.connections, options.growth)
            problems += unaccounted(status, await one.status(), one.connections + SLOW)
        problems += complaints(frontdoor.log_text())
    except* ScriptError:
        print(frontdoor.last_words(), file=sys.stderr)
        raise
    report(options, one, seconds, before, after, problems)
    return not problems


def report(
    options: argparse.Namespace, one: Soak, seconds: float, before: Reading, after: Reading, problems: list[str]
) -> None:
    """Print the figures: for people, or with --json for programs."""
    if options.json:
        figures = {
            "seed": options.seed,
            "connections": one.connections,
            "failed": one.failed,
            "changes": dict(one.changes),
            "seconds": round(seconds, 1),
            "before": dataclasses.asdict(before),
            "after": dataclasses.asdict(after),
            "problems": problems,
        }
        print(json.dumps(figures))
    for name, was, now in (("keeper", before.keeper, after.keeper), ("door process", before.door, after.door)):
        say(f"{name} before: {was}")
        say(f"{name} after:  {now}")
        gain = now.resident - was.resident
        per = gain / max(1, one.connections) * HUNDRED_THOUSAND
        say(f"{name}: {gain / MB:+.2f} MB, which is {per / MB:+.2f} MB per 100,000 connections")
    for problem in problems:
        say(f"FAILED: {problem}")
    if not problems:
        say(f"{one.connections:,} connections, {one.changes.total():,} changes: none failed, nothing was left behind")


def say(line: str) -> None:
    """One line of the story, at once. Standard output is for the figures."""
    print(f"soak: {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, and run the soak."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Many connections, many swaps; 0: nothing leaks.")
    parser.add_argument("--connections", type=int, default=100_000, help="in the soak (default: 100000)")
    parser.add_argument("--swaps", type=int, default=1000, help="and other changes, in the soak (default: 1000)")
    parser.add_argument(
        "--warm-up",
        type=int,
        default=400,
        metavar="SWAPS",
        help=f"and other changes, before it, with {WARM_UP_SHARE} connections each (default: 400)",
    )
    parser.add_argument(
        "--growth",
        type=float,
        default=1,
        metavar="MB",
        help="that a process may grow per 100,000 connections, or for all of fewer (default: 1)",
    )
    parser.add_argument("--minutes", type=float, default=60, help="end the soak after that time (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of what is done in which order (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print the figures as a JSON object")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    sys.exit(trio.run(run, "soak", partial(soak, options), say))


if __name__ == "__main__":
    main()
