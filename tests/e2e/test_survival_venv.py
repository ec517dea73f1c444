"""The virtual environment that frontdoor runs from is replaced, or deleted, under it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.crowded import backends, door_pid, door_processes
from e2e.harness import Client, Frontdoor, greeter, until
from e2e.scraping import OPENMETRICS, scrape
from e2e.test_crash import until_protected
from e2e.venvs import Environment

Serve = Callable[..., Frontdoor]

CLIENTS = 3
GREETER = [sys.executable, *greeter()[1:]]
"""Of an interpreter that stays: the app is not what is replaced."""


@pytest.fixture
def environment() -> Iterator[Environment]:
    with closing(Environment("99.1")) as environment:
        yield environment


@pytest.fixture
def door(prepare: Serve, environment: Environment) -> Frontdoor:
    """It runs from that environment alone. (The command line of the tests is another one's.)"""
    door = prepare(backends={"*": {"command": GREETER}})
    door.start(environment.python, PYTHONPATH="")
    assert door.status()["frontdoor"] == "99.1"
    return door


def old_clients(door: Frontdoor) -> list[Client]:
    clients = [door.connect() for _ in range(CLIENTS)]
    assert {client.generation for client in clients} == {door.status()["active"]}
    until_protected(door, CLIENTS)
    return clients


def all_goes_on(door: Frontdoor, clients: list[Client]) -> None:
    assert [client.ask("still there?") for client in clients] == ["still there?"] * CLIENTS


def everything_can_be_asked(door: Frontdoor) -> None:
    """Each verb, some of them for the first time: whatever it needs was loaded before."""
    number = int(door.status()["active"].partition("#")[2])
    door.swap(f"v{number + 1}")
    with open(door.path("config.toml")) as file:
        text = file.read()
    door.write(text.replace('"20s"', f'"{20 + number}s"'))
    for verb in ("reload", "pause", "resume", "status", "streams", "logs", "events", "rollback"):
        done = door.run(verb)
        assert done.returncode == 0, done
    assert door.run("swap", "..").returncode == 2
    assert door.control.get("/healthz")[0] == 200
    assert scrape(door).value("frontdoor_door_up") == 1
    assert scrape(door, OPENMETRICS).value("frontdoor_door_up") == 1
    assert door.control.get("/nowhere")[0] == 404
    with closing(Client(door.address)) as new:
        assert new.generation == door.status()["active"]
    until(lambda: door.status()["streams"]["open"] == CLIENTS, "its end is counted")


def test_it_is_replaced_and_nobody_notices_until_it_is_upgraded(door: Frontdoor, environment: Environment) -> None:
    clients, keeper = old_clients(door), door.pid
    environment.replace("99.2")
    everything_can_be_asked(door)
    all_goes_on(door, clients)
    assert door.status()["frontdoor"] == "99.1"
    upgraded = door.run("upgrade")
    assert upgraded.returncode == 0, upgraded
    assert (door.status()["frontdoor"], door.status()["pid"]) == ("99.2", keeper)
    all_goes_on(door, clients)
    assert door.status()["streams"]["ended"].get("lost", 0) == 0


def test_it_is_replaced_before_a_crash(door: Frontdoor, environment: Environment) -> None:
    clients, theirs, killed = old_clients(door), backends(door), door_pid(door)
    environment.replace("99.3")
    os.kill(killed, signal.SIGKILL)
    all_goes_on(door, clients)
    until(door._serves, "another one serves")
    assert (door.status()["frontdoor"], backends(door)) == ("99.3", theirs)
    everything_can_be_asked(door)
    all_goes_on(door, clients)


def test_it_is_deleted(door: Frontdoor, environment: Environment) -> None:
    """What runs goes on; an upgrade fails; after a crash nobody is served until there is one again, and nobody lost."""
    clients = old_clients(door)
    environment.delete()
    everything_can_be_asked(door)
    all_goes_on(door, clients)

    before, theirs = door_pid(door), backends(door)
    failed = door.run("upgrade")
    assert failed.returncode == 1, failed
    assert "venv/bin/python" in failed.stderr, "what could not be started"
    assert (door_pid(door), backends(door)) == (before, theirs)
    all_goes_on(door, clients)

    os.kill(before, signal.SIGKILL)
    until(lambda: [line for line in door.messages if "could not be started" in line], "that is said")
    assert not door_processes(door)
    waits = Client(door.address)
    assert not any(client.has_ended() for client in clients)
    environment.replace("99.4")
    all_goes_on(door, clients)
    with closing(waits):
        assert waits.generation in theirs
    until(door._serves, "another one serves")
    assert (door.status()["frontdoor"], backends(door)) == ("99.4", theirs)
    assert door.status()["streams"]["ended"].get("lost", 0) == 0
