"""An upgrade looks at the streams while they still go on: whatever happens to them then, all is right after it."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.codebase import Codebase
from e2e.crowded import door_pid, door_processes, the_ledger_adds_up
from e2e.harness import Client, Frontdoor, until
from e2e.shared import Shared

LOOKS_FOR_LONG = """
_look = Preview.look
async def look(self, link):
    await _look(self, link)
    with open("looked.new", "w") as file:
        file.write(f"{len(self.streams)}")
    __import__("os").rename("looked.new", "looked")
    while not __import__("os").path.exists("go"):
        await __import__("trio").sleep(0.01)
Preview.look = look
"""
"""It says how many streams it has seen, and is not ready before it is told to go on."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """A frontdoor that runs such code."""
    with closing(Codebase()) as code:
        code.end_with("door/preview.py", LOOKS_FOR_LONG)
        with closing(Shared(env={"PYTHONPATH": code.path})) as frontdoor:
            yield frontdoor


@pytest.fixture
def door(anew: Callable[..., Frontdoor]) -> Frontdoor:
    return anew()


def of_age(door: Frontdoor, count: int) -> list[Client]:
    clients = [door.connect() for _ in range(count)]
    for client in clients:
        assert client.ask("hello") == "hello"
    until(lambda: door.control.ask("/v1/status")["vault"]["streams"] >= count, "the keeper has them")
    return clients


def upgrade_around(door: Frontdoor, seen: int, happens: Callable[[], None], exit_code: int = 0) -> None:
    """An upgrade, and what happens after it has looked."""
    before = door_pid(door)
    asked = door.begin("upgrade")
    until(lambda: os.path.exists(door.path("looked")), "it has looked")
    with open(door.path("looked")) as file:
        assert int(file.read()) == seen
    happens()
    door.touch("go")
    ended = asked.ended()
    assert ended.returncode == exit_code, ended
    until(lambda: door_processes(door) == {door_pid(door)}, "there is one")
    assert (door_pid(door) == before) is (exit_code != 0)


def reset(client: Client) -> None:
    """End it with RST instead of FIN (socket(7), SO_LINGER)."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_streams_that_end_go_on_and_begin_meanwhile(door: Frontdoor) -> None:
    leaves, breaks, stays, speaks = of_age(door, 4)
    new: list[Client] = []

    def happens() -> None:
        leaves.close()
        reset(breaks)
        until(lambda: door.status()["streams"]["open"] == 2, "their ends are noticed, though there are copies")
        assert speaks.ask("still the old one") == "still the old one"
        new.append(door.connect())
        assert new[0].ask("and I am new") == "and I am new"

    upgrade_around(door, 4, happens)
    for client in (stays, speaks, *new):
        assert client.ask("and on") == "and on"
    streams = door.control.ask("/v1/streams")["streams"]
    assert len(streams) == 3
    assert door.generation("v1#1")["streams"]["open"] == 3
    door.hang_up()
    assert the_ledger_adds_up(door) == {"client_closed": 4, "client_reset": 1}


def test_counts_are_those_of_the_last_moment(door: Frontdoor) -> None:
    (client,) = of_age(door, 1)
    counted = {}

    def happens() -> None:
        assert client.ask("x" * 5000) == "x" * 5000
        (counted["before"],) = (each["bytes"] for each in door.control.ask("/v1/streams")["streams"])

    upgrade_around(door, 1, happens)
    (after,) = (each["bytes"] for each in door.control.ask("/v1/streams")["streams"])
    assert after == counted["before"]


def test_the_one_that_has_looked_is_killed_and_nobody_notices(door: Frontdoor) -> None:
    clients = of_age(door, 3)

    def happens() -> None:
        (new,) = door_processes(door) - {door_pid(door)}
        os.kill(new, 9)

    upgrade_around(door, 3, happens, exit_code=1)
    for client in clients:
        assert client.ask("as before") == "as before"


def test_the_old_one_is_killed_after_the_other_has_looked(door: Frontdoor) -> None:
    clients = of_age(door, 3)
    old = door_pid(door)
    asked = door.begin("upgrade")
    until(lambda: os.path.exists(door.path("looked")), "it has looked")
    os.kill(old, 9)
    asked.ended()
    until(lambda: door_processes(door) and old not in door_processes(door), "another one is there")
    until(door._serves, "it serves")
    for client in clients:
        assert client.ask("as before") == "as before"
    door.hang_up()
    assert "lost" not in the_ledger_adds_up(door)
