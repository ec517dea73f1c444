"""`frontdoor upgrade`: another door process from the code that is on disk now. No stream ends, of whatever age."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from e2e.crowded import (
    APP,
    EVERYBODY,
    FILLING,
    SOME,
    at_rest,
    backends,
    crowd_beside,
    door_pid,
    door_processes,
    random_seed,
    the_ledger_adds_up,
    upgrade,
)
from e2e.harness import Client, Frontdoor, greeter, until
from e2e.intruder import Wire
from e2e.shared import Shared

Serve = Callable[..., Frontdoor]

UPGRADES = 2
MOMENTS = 20 if os.environ.get("FRONTDOOR_LONG") else 4
WAITS = {"command": greeter("--wait-for", "go")}


def nobody_was_lost(door: Frontdoor) -> None:
    assert "lost" not in the_ledger_adds_up(door)


# -- everything at once -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_upgrades_are_noticed_by_nobody(serve: Serve) -> None:
    seed = random_seed()
    rng = random.Random(seed)
    door = serve(**APP)
    ours, theirs = door.pid, backends(door)

    with crowd_beside(door, FILLING, seed, size=0) as crowd:
        upgrade(door)
        crowd.has_seen_nothing()
    before = at_rest(door)

    took = []
    with crowd_beside(door, EVERYBODY, seed + 1) as crowd:
        for _ in range(UPGRADES):
            time.sleep(rng.uniform(0, 0.5))
            began = time.monotonic()
            upgrade(door)
            took.append(time.monotonic() - began)
            crowd.has_seen_nothing()
    assert crowd.crowd.cut == 0, "young ones live on, too"
    print(f"{UPGRADES} x frontdoor upgrade, each within {max(took):.2f} s")

    after = at_rest(door, before)
    print(f"before:\n{before}\nafter:\n{after}")
    assert after.more_than(before) == []
    assert (door.status()["pid"], backends(door)) == (ours, theirs)
    nobody_was_lost(door)
    assert len(door.logged("upgrade.finished")) == UPGRADES + 1


def test_a_stream_goes_on_as_the_one_that_it_was(anew: Serve) -> None:
    """One that was made right before the upgrade: all that is known of it is that from before."""
    door = anew()
    client = door.connect()
    client.ask("x" * 1000)
    (before,) = door.control.ask("/v1/streams")["streams"]
    upgrade(door)
    (after,) = door.control.ask("/v1/streams")["streams"]
    changing = ("age_s", "idle_s")
    assert {**after, **dict.fromkeys(changing)} == {**before, **dict.fromkeys(changing)}
    assert after["age_s"] >= before["age_s"]
    assert client.ask("and on") == "and on"
    door.hang_up()
    assert the_ledger_adds_up(door) == {"client_closed": 1}


def test_who_waits_for_a_backend_is_served(shared: Shared, anew: Serve) -> None:
    shared.touch("go")
    door = anew(backends={"*": WAITS}, limits={"hold_timeout": "30s"})
    os.unlink(door.path("go"))
    (backend,) = backends(door)["v1#1"]
    os.kill(backend, signal.SIGKILL)
    until(lambda: backends(door) != {"v1#1": [backend]}, "its end was seen")
    held = [door.connect() for _ in range(3)]
    until(lambda: door.status()["streams"]["open"] == len(held), "they wait for a backend")
    upgrade(door)
    door.touch("go")
    assert {client.generation for client in held} == {"v1#1"}
    door.hang_up()
    nobody_was_lost(door)


def test_without_room_for_who_waits_for_a_backend_nothing_happens(prepare: Serve) -> None:
    """The keeper has no descriptor left for them: better no upgrade than one that loses them in silence."""
    door = prepare(backends={"*": WAITS}, limits={"hold_timeout": "60s"})
    door.touch("go")
    door.start("prlimit", "--nofile=900:900")
    os.unlink(door.path("go"))
    (backend,) = backends(door)["v1#1"]
    os.kill(backend, signal.SIGKILL)
    until(lambda: backends(door) != {"v1#1": [backend]}, "its end was seen")
    held = [door.connect() for _ in range(3)]
    until(lambda: door.status()["streams"]["open"] == len(held), "they wait for a backend")
    limit = door.status()["vault"]["limit"]["descriptors"]
    names = [f"filler/{number}" for number in range(limit)]
    with Wire(door) as wire, open(os.devnull) as null:
        for name in names:
            wire.say("put", [null.fileno()], entries=[[name, None, 1]])
        before = door_pid(door)
        asked = door.run("upgrade")
        assert asked.returncode == 1, asked.stdout
        assert "the keeper cannot take the clients who wait for a backend" in asked.stderr
        assert door_processes(door) == {before}
        wire.say("drop", keys=names)
    upgrade(door)
    door.touch("go")
    assert {client.generation for client in held} == {"v1#1"}
    door.hang_up()
    nobody_was_lost(door)


def test_who_is_told_goodbye_hears_all_of_it(anew: Serve) -> None:
    """The app has answered and closed, and the client still sends: what nobody reads would be answered with a reset."""
    door = anew()
    client, other = door.connect(), door.connect()
    assert client.generation == other.generation
    answer = "y" * 300_000
    client.say(answer)
    client.say("close")
    until(lambda: other.ask("count") == "1", "the app has closed it")
    asked = door.begin("upgrade")
    while not asked.has_ended():
        client.say("too late")
        time.sleep(0.05)
    assert asked.ended().returncode == 0
    client.say("too late")
    assert client.hear() == answer
    assert client.hear() == "", "in order: a reset would be raised"
    assert other.ask("still there?") == "still there?"
    door.hang_up()
    assert the_ledger_adds_up(door) == {"backend_closed": 1, "client_closed": 1}


def test_sigusr2_is_an_upgrade(anew: Serve) -> None:
    door = anew()
    client = door.connect()
    assert client.generation == "v1#1"
    before = door_pid(door)
    door.signal(signal.SIGUSR2)
    door.logs("upgrade.finished")
    until(door._serves, "it serves")
    assert door_pid(door) != before
    assert client.ask("still there?") == "still there?"


# -- in the middle of it ---------------------------------------------------------------------------------------------


def test_kill_9_at_random_moments_of_upgrades(serve: Serve) -> None:
    """Of the old door process or of the new one: a clean outcome, and nobody is lost who was of age."""
    seed = random_seed()
    rng = random.Random(seed)
    door = serve(**APP)
    pids = backends(door)
    outcomes = []
    with crowd_beside(door, SOME, seed, size=0) as crowd:
        for _ in range(MOMENTS):
            old = door_pid(door)
            asked = door.begin("upgrade")
            until(lambda old=old: door_processes(door) - {old}, "there are two")  # type: ignore[misc]
            (new,) = door_processes(door) - {old}
            time.sleep(rng.uniform(0.2, 1.0))
            victim = rng.choice((old, new))
            if victim in door_processes(door):
                os.kill(victim, signal.SIGKILL)
            outcomes.append(asked.ended().returncode)
            until(door._serves, "it serves")
            crowd.has_seen_nothing()
            until(lambda: door_processes(door) == {door_pid(door)}, "one is left")
            assert backends(door) == pids
    print(f"exit codes: {outcomes}")
    assert set(outcomes) <= {0, 1}
    assert the_ledger_adds_up(door).get("lost", 0) <= MOMENTS * SOME.visitors


def test_an_upgrade_during_a_swap_is_refused_until_the_old_one_drains(anew: Serve) -> None:
    door = anew(backends={"v2": WAITS})
    client = door.connect()
    assert client.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v2#2 starting")
    refused = door.run("upgrade")
    assert refused.returncode == 5, refused
    assert "swap" in refused.stderr
    door.touch("go")
    swap.shows("v1#1 draining with 1 stream")
    upgrade(door)
    assert not swap.has_ended()
    assert client.ask("still there?") == "still there?"
    assert door.generation("v1#1")["state"] == "draining"
    door.hang_up()
    assert swap.ended().returncode == 0


def test_a_warm_generation_stays_warm(anew: Serve) -> None:
    door = anew(swap={"keep_warm": "60s"})
    door.swap("v2")
    until(lambda: door.generation("v1#1")["state"] == "warm", "it is warm")
    pids = backends(door)
    upgrade(door)
    assert (door.generation("v1#1")["state"], backends(door)) == ("warm", pids)
    rolled = door.run("rollback")
    assert rolled.returncode == 0, rolled
    assert door.connect().pid == pids["v1#1"][0]


def test_a_pause_goes_on(anew: Serve) -> None:
    door = anew()
    assert door.run("pause").returncode == 0
    waiting = [Client(door.address) for _ in range(3)]
    upgrade(door)
    assert door.status()["paused"]
    assert not any(client.has_ended() for client in waiting)
    assert door.run("resume").returncode == 0
    assert {client.generation for client in waiting} == {"v1#1"}
    for client in waiting:
        client.close()


def test_followers_of_the_log_go_on(anew: Serve) -> None:
    door = anew(backends={"*": {"command": greeter("--say", "hello")}})
    logs = door.begin("logs", "-f")
    logs.prints("hello")
    upgrade(door)
    door.connect().say("print after the upgrade")
    logs.prints("after the upgrade")


def test_without_a_frontdoor(prepare: Serve) -> None:
    door = prepare()
    nobody = door.run("upgrade")
    assert nobody.returncode == 3, nobody
