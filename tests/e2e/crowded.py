"""The crowd of scripts/load in a thread of its own, beside a test that is a plain transcript; what must hold then."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import trio

from e2e.harness import Frontdoor, until
from e2e.swarm import ROOT
from load.crowd import PROTECTED_FROM, SLACK, Crowd, Pace, Party
from load.gauge import MB, Gauge, gauge, is_being_asked, leaks

ENDLESS = ["{python}", "-I", "-S", os.path.join(ROOT, "scripts", "load", "endless.py"), "--results", "."]
"""The app that a crowd visits."""

APP: dict[str, Any] = {
    "backends": {"*": {"command": ENDLESS}},
    "ready": {"check": "http:/healthz", "timeout": "10s"},
    "drain": {"timeout": "never"},
}
"""What is different in a config with it."""

EVERYBODY = Party(
    websockets=40,
    kept=12,
    downloads=1,
    uploads=1,
    slow_readers=8,
    slow_apps=4,
    finished_clients=4,
    finished_apps=4,
    visitors=10,
)
SOME = Party(
    websockets=6,
    kept=3,
    downloads=1,
    uploads=1,
    slow_readers=2,
    slow_apps=2,
    finished_clients=1,
    finished_apps=1,
    visitors=3,
)

FILLING = Party(websockets=4, kept=4, slow_readers=80, slow_apps=4, visitors=5)
"""Those who come first, before anything is counted: they fill what has a bound. The door keeps 64 idle pipes."""

PACE = Pace(rest=0.2, size=16 << 20, rate=2e6)
"""The download and the upload last as long as what happens to frontdoor, and are at least so long."""

MORE_MEMORY = {"keeper": 1 * MB, "door process": 4 * MB}
"""By how much the memory may have grown, at rest: a stream that is not let go of is 30 kB of pipes and notes, and there
are many. The door process is another one each time: its own start varies by more than that."""


def random_seed() -> int:
    """One that is printed: FRONTDOOR_SEED repeats what failed."""
    seed = int(os.environ.get("FRONTDOOR_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"FRONTDOOR_SEED={seed}")
    return seed


class Beside:
    """A crowd that is there while the test does something else."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self._present = threading.Event()
        self._leave: trio.Event
        self._token: trio.lowlevel.TrioToken

    async def run(self) -> None:
        self._leave, self._token = trio.Event(), trio.lowlevel.current_trio_token()
        async with self.crowd.present():
            self._present.set()
            await self._leave.wait()

    def is_there(self) -> bool:
        """Whether each of them has been served."""
        return self._present.is_set()

    def end(self) -> None:
        trio.from_thread.run_sync(self._leave.set, trio_token=self._token)

    def has_seen_nothing(self) -> None:
        """Wait until each has done something more, and nothing was wrong."""
        trio.from_thread.run(self.crowd.all_go_on, trio_token=self._token)
        assert not self.crowd.failures, "\n".join(self.crowd.failures)


@contextmanager
def crowd_beside(door: Frontdoor, party: Party, seed: int, *, size: int = PACE.size) -> Iterator[Beside]:
    """That crowd at the door: old enough to be protected when this begins; all have ended well when it ends."""
    pace = Pace(PACE.rest, size, PACE.rate)
    beside = Beside(Crowd(door.address, party, pace, results=door.folder, seed=seed))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(trio.run, beside.run)
        try:
            until(lambda: beside.is_there() or running.done(), "all are served")
            come_of_age()
            beside.has_seen_nothing()
            yield beside
        finally:
            if not running.done():
                beside.end()
            running.result()
    crowd = beside.crowd
    print(f"{len(crowd)} streams, {crowd.visits} visits, {crowd.cut} of them cut; bytes: {crowd.moved}")
    assert not crowd.failures, "\n".join(crowd.failures)


# -- frontdoor's own processes ---------------------------------------------------------------------------------------


def come_of_age() -> None:
    """Wait until whoever is connected now is protected: nothing that a client sees tells of it."""
    time.sleep(PROTECTED_FROM + SLACK)


def door_pid(door: Frontdoor) -> int:
    """Of the door process that serves."""
    return int(door.control.ask("/v1/status")["door_pid"])


def door_processes(door: Frontdoor) -> set[int]:
    """All door processes that there are: two during an upgrade, none right after a crash."""
    return {pid for pid, command in door.processes().items() if "frontdoor.door" in command.split()}


def kill_9(door: Frontdoor) -> float:
    """kill -9 of the door process; returns when another one serves. Seconds between the two."""
    killed = door_pid(door)
    began = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in door.processes(), "it is dead")
    until(door._serves, "another one serves")
    assert door_pid(door) != killed
    return time.monotonic() - began


def upgrade(door: Frontdoor) -> str:
    """`frontdoor upgrade`, which must work; what it says."""
    before = door_pid(door)
    done = door.run("upgrade")
    assert done.returncode == 0, done
    assert door_pid(door) != before
    until(lambda: door_processes(door) == {door_pid(door)}, "the old one has ended")
    return done.stdout + done.stderr


def backends(door: Frontdoor) -> dict[str, list[int]]:
    """Generation → the pids of its processes, of all that run."""
    return {
        generation["id"]: [process["pid"] for process in generation["processes"]]
        for generation in door.status()["generations"]
        if generation["processes"]
    }


class Rest:
    """What frontdoor holds when nobody is there."""

    def __init__(self, door: Frontdoor) -> None:
        serving = door_pid(door)
        until(lambda: not is_being_asked(door.path("run/control.sock")), "nobody asks frontdoor for anything")
        self.keeper: Gauge = gauge(door.pid)
        self.door: Gauge = gauge(serving)

    def __str__(self) -> str:
        return f"keeper: {self.keeper}\ndoor process: {self.door}"

    def more_than(self, before: "Rest") -> list[str]:
        """What there is more of than before; memory: by more than MORE_MEMORY."""
        found = leaks("keeper", before.keeper, self.keeper) + leaks("door process", before.door, self.door)
        for name, was, now in (("keeper", before.keeper, self.keeper), ("door process", before.door, self.door)):
            if now.resident - was.resident > MORE_MEMORY[name]:
                found.append(f"{name}: {was.resident / MB:.2f} MB before, {now.resident / MB:.2f} MB after")
        return found


def at_rest(door: Frontdoor, before: Rest | None = None) -> Rest:
    """How it is when nobody is there, and nothing more is held than before, as far as waiting helps."""
    until(lambda: door.status()["streams"]["open"] == 0, "no stream is open")
    deadline = time.monotonic() + 10
    while True:
        now = Rest(door)
        if before is None or not now.more_than(before) or time.monotonic() > deadline:
            return now
        time.sleep(0.1)


def the_ledger_adds_up(door: Frontdoor) -> dict[str, int]:
    """How the streams have ended, by reason; none is open."""
    until(lambda: door.status()["streams"]["open"] == 0, "no stream is open")
    ledger = door.status()["streams"]
    assert ledger["accepted"] == sum(ledger["ended"].values()), str(ledger)
    ended: dict[str, int] = ledger["ended"]
    return ended
