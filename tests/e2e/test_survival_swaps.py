"""kill -9 of the door process while a swap is in each of its states: nobody who is connected notices.

Before the switch the swap has failed, after it it goes on.
"""

import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.crowded import (
    APP,
    ENDLESS,
    SOME,
    Beside,
    backends,
    come_of_age,
    crowd_beside,
    kill_9,
    random_seed,
    the_ledger_adds_up,
)
from e2e.doors import Several, config_of
from e2e.harness import Frontdoor, config, greeter, until
from e2e.shared import Shared

Serve = Callable[..., Shared]

WAITS = {"command": ["sh", "-c", 'until test -e go; do sleep 0.01; done; exec "$0" "$@"', *ENDLESS]}
"""A version that does nothing before the test says so."""

LINGERS = {"command": greeter("--ignore-sigterm", "--say", "hello"), "stop_timeout": "1s"}
"""One that does not become ready, for it speaks no HTTP, and has to be ended by force."""

ASKS = ["sh", "-c", 'test "$FRONTDOOR_VERSION" != asked || { echo asked; exec sleep 60; }']
"""A before_swap hook that takes its time over a version of that name."""

VERSIONS = {"v2": {"command": ENDLESS}, "waits": WAITS, "lingers": LINGERS}

OLD = dataclasses.replace(SOME, visitors=0)
"""Nobody who is too young to be protected."""


# -- each at a frontdoor that nobody else is at -----------------------------------------------------------------------


def test_swaps_and_reloads_are_noticed_by_nobody(anew: Serve) -> None:
    """With no crash at all: what the rest of these tests is to be compared with."""
    changes = {**APP, "backends": {**APP["backends"], **VERSIONS}, "swap": {"max_generations": 10}}
    door = anew(**changes)
    with crowd_beside(door, SOME, random_seed(), size=0) as crowd:
        for version in ("v2", "v1"):
            door.swap(version)
            crowd.has_seen_nothing()
            door.change(**{**changes, "active": version, "limits": {"hold_timeout": "20s"}})
            reloaded = door.run("reload")
            assert reloaded.returncode == 0, reloaded
            crowd.has_seen_nothing()
        assert crowd.crowd.cut == 0
    assert "lost" not in the_ledger_adds_up(door)


def test_while_a_candidate_is_ready_and_waits_for_the_other_doors() -> None:
    waits = {**APP, "backends": {**APP["backends"], "v2": WAITS}}
    with closing(Several(config_of({"main": APP, "other": waits}))) as frontdoor:
        frontdoor.start()
        door = frontdoor.door("main")
        client = door.connect()
        pid = door.pid("v1#1")
        frontdoor.write(config_of({"main": {**APP, "active": "v2"}, "other": {**waits, "active": "v2"}}))
        reload = frontdoor.begin("reload")
        door.becomes("v2#2", "ready")
        come_of_age()
        frontdoor.kill_door_process()
        client.say("GET /whoami HTTP/1.1\r\nHost: test\r\n\r")
        assert client.hear() == "HTTP/1.1 200 OK\r"
        assert reload.ended().returncode == 1
        until(lambda: not door.generation("v2#2").get("processes"), "the candidate is gone")
        assert (door.status()["active"], door.pid("v1#1")) == ("v1#1", pid)


def test_while_the_old_version_drains(anew: Serve) -> None:
    door = anew(**{**APP, "backends": {**APP["backends"], **VERSIONS}})
    (v1,) = backends(door)["v1#1"]
    with crowd_beside(door, OLD, random_seed(), size=0) as crowd:
        swap = door.begin("swap", "v2", "--wait", "drained")
        swap.shows("v1#1 draining with ")
        active = backends(door)["v2#2"]
        kill_9(door)
        crowd.has_seen_nothing()
        assert backends(door) == {"v1#1": [v1], "v2#2": active}
        assert door.generation("v1#1")["state"] == "draining"
        assert not swap.has_ended()
    assert swap.ended().returncode == 0, "its streams have ended by themselves, though another process saw it"
    until(lambda: backends(door) == {"v2#2": active}, "and so has v1")


def test_while_the_old_version_is_kept_warm(anew: Serve) -> None:
    door = anew(**{**APP, "backends": {**APP["backends"], **VERSIONS}, "swap": {"keep_warm": "60s"}})
    door.swap("v2")
    until(lambda: door.generation("v1#1")["state"] == "warm", "nobody was on it")
    pids = backends(door)
    with crowd_beside(door, OLD, random_seed(), size=0) as crowd:
        kill_9(door)
        crowd.has_seen_nothing()
        assert (door.generation("v1#1")["state"], backends(door)) == ("warm", pids)
        rolled = door.run("rollback")
        assert rolled.returncode == 0, rolled
        kill_9(door)
        crowd.has_seen_nothing()
        assert (door.status()["active"], door.generation("v2#2")["state"], backends(door)) == ("v1#1", "draining", pids)
    assert "lost" not in the_ledger_adds_up(door)


# -- all at the same, with a crowd that stays to the end of this file --------------------------------------------------


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Frontdoor, Beside]]:
    """A frontdoor with all of them, and a crowd on v1 that is there through all of these tests."""
    changes = {**APP, "backends": {**APP["backends"], **VERSIONS}, "hooks": {"before_swap": ASKS}}
    with closing(Frontdoor(config(**changes))) as door:
        door.start()
        with crowd_beside(door, SOME, random_seed(), size=0) as crowd:
            yield door, crowd


def v1_serves(door: Frontdoor, pids: dict[str, list[int]]) -> None:
    """And nothing else is left of the swap."""
    until(lambda: backends(door) == pids, f"there is {pids} alone")
    assert door.status()["active"] == "v1#1"


def test_while_before_swap_is_asked(busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    pids = backends(door)
    swap = door.begin("swap", "asked")
    door.logs("hook.output", hook="before_swap", line="asked")
    kill_9(door)
    crowd.has_seen_nothing()
    assert swap.ended().returncode == 1
    v1_serves(door, pids)


def test_while_the_candidate_is_started_and_probed(busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    pids = backends(door)
    swap = door.begin("swap", "waits")
    swap.shows(" starting")
    kill_9(door)
    crowd.has_seen_nothing()
    assert swap.ended().returncode == 1
    v1_serves(door, pids)


def test_while_a_candidate_that_failed_is_stopped(busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    pids = backends(door)
    swap = door.begin("swap", "lingers")
    swap.shows(" starting")
    until(lambda: door.logged("output", version="lingers", line="hello"), "it ignores its stop signal from here on")
    swap.interrupt()
    until(lambda: "stopping" in [each["state"] for each in door.status()["generations"]], "it is being stopped")
    kill_9(door)
    crowd.has_seen_nothing()
    assert swap.ended().returncode in (1, 130)
    v1_serves(door, pids)


def test_at_random_moments(busy: tuple[Frontdoor, Beside]) -> None:
    """States that nothing from outside can hold: the start itself, the switch."""
    door, crowd = busy
    rng = random.Random(random_seed())
    outcomes = []
    for _ in range(4):
        before = door.status()["active"]
        swap = door.begin("swap", "v2")
        swap.shows("swap ")
        time.sleep(rng.uniform(0, 0.5))
        kill_9(door)
        crowd.has_seen_nothing()
        outcomes.append(swap.ended().returncode)
        active = door.status()["active"]
        assert (outcomes[-1], active == before) in ((0, False), (1, True)), f"{before}, then {active}: {outcomes}"
    print(f"exit codes: {outcomes}")
