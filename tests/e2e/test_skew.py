"""The code on disk is newer than the keeper that runs: it was installed, and the door process has crashed since."""

import os
import signal
import sys
from collections.abc import Callable

import pytest

from e2e import earlier
from e2e.crowded import door_pid, kill_9
from e2e.harness import Frontdoor, until

EARLIER = (sys.executable, os.path.abspath(earlier.__file__))


@pytest.fixture
def door(prepare: Callable[..., Frontdoor]) -> Frontdoor:
    """Its keeper speaks protocol 1."""
    return prepare().start(*EARLIER)


def test_a_crash_is_survived_under_a_keeper_of_the_previous_protocol(door: Frontdoor) -> None:
    without = len(os.listdir(f"/proc/{door.pid}/fd"))
    clients = [door.connect() for _ in range(20)]
    greeted = {client.pid for client in clients}
    until(lambda: door.status()["vault"]["streams"] == len(clients), "all of them are of age")
    until(lambda: len(os.listdir(f"/proc/{door.pid}/fd")) >= without + 2 * len(clients), "and the keeper has them")
    for said in ("once", "twice"):
        kill_9(door)
        assert {client.ask(said) for client in clients} == {said}
    assert {client.pid for client in clients} == greeted
    assert door.connect().generation == "v1#1"
    door.hang_up()
    until(lambda: door.status()["streams"]["open"] == 0, "all have left")
    assert "lost" not in door.status()["streams"]["ended"]
    assert door.status()["vault"]["streams"] == 0


def test_swaps_and_a_stop_work_under_it(door: Frontdoor) -> None:
    client = door.connect()
    assert client.generation == "v1#1"
    door.swap("v2")
    kill_9(door)
    assert door.connect().generation == "v2#2"
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0


def test_an_upgrade_says_what_to_do(door: Frontdoor) -> None:
    client = door.connect()
    assert client.generation == "v1#1"
    before = door_pid(door)
    done = door.run("upgrade")
    assert done.returncode == 1
    assert "the keeper starts no new door process: it runs the code of an earlier version" in done.stderr
    assert "frontdoor stop" in done.stderr
    assert "v1#1 serves, as before" in done.stderr
    assert door_pid(door) == before
    assert client.ask("as before") == "as before"
    assert door.logged("upgrade.failed")
