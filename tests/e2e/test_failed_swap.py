"""A new version that does not become ready fails alone: the old one serves on, and the next good swap works."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from e2e.harness import Client, Frontdoor, config, greeter, until

BAD = {
    "exits": {"command": greeter("--say", "no module named 'app'", "--exit", "3")},
    "killed": {"command": greeter("--say", "eating memory", "--abort")},
    "misspelt": {"command": ["no-such-program", "--flag"]},
    "not-executable": {"command": ["./config.toml"]},
    "homeless": {"cwd": "no-such-folder"},
    "never-binds": {"command": greeter("--say", "connecting to the database", "--never-bind")},
    "forks-away": {"command": greeter("--fork-away", "--wait-for", "never")},
    "half": {"command": greeter("--exit-as", "1", "--exit", "9"), "processes": 2},
}
WHY = {
    "exits": "it exited with code 3 before it was ready",
    "killed": "it was ended by SIGABRT before it was ready",
    "misspelt": "it could not be started: command not found: no-such-program",
    "not-executable": "it could not be started: not allowed to run ./config.toml (is it executable?)",
    "homeless": "it could not be started: the folder to start it in does not exist: ",
    "never-binds": "not ready within 1 s: it has not made its socket yet",
    "forks-away": "it exited with code 0 before it was ready",
    "half": "it exited with code 9 before it was ready",
}
LAST_OUTPUT = {
    "exits": ["no module named 'app'"],
    "killed": ["eating memory"],
    "never-binds": ["connecting to the database"],
}


@pytest.fixture(scope="module")
def door() -> Iterator[Frontdoor]:
    with closing(Frontdoor(config(backends=BAD, ready={"deadline": "1s"}))) as door:
        yield door.start()


@pytest.fixture(scope="module")
def stays(door: Frontdoor) -> Client:
    """A client that is there all the time."""
    return door.connect()


@pytest.mark.parametrize("version", BAD)
def test_a_bad_version(door: Frontdoor, stays: Client, version: str) -> None:
    swapped = door.run("swap", version)
    assert swapped.returncode == 4
    assert swapped.stdout == ""
    *_, message = re.split(r"^frontdoor: ", swapped.stderr, flags=re.MULTILINE)
    first, *output = message.splitlines()
    assert re.match(re.escape(version) + r"#\d+ did not become ready \(" + re.escape(WHY[version]), first)
    assert first.endswith("; v1#1 still serves")
    assert [line.strip() for line in output] == LAST_OUTPUT.get(version, output)
    assert "Traceback" not in swapped.stderr

    assert stays.ask("still there?") == "still there?"
    assert door.connect().generation == "v1#1"
    assert door.status()["active"] == "v1#1"
    until(lambda: len(door.processes()) == 3, f"keeper, door process and v1 are left: {door.processes()}")


def test_and_the_next_good_swap_works(door: Frontdoor, stays: Client) -> None:
    assert door.run("swap", "exits").returncode == 4
    door.swap("v2")
    assert door.connect().generation.startswith("v2#")
    assert stays.generation == "v1#1"
    assert stays.ask("still there?") == "still there?"
    failed = door.logged("swap.failed")[-1]
    assert (failed["level"], failed["reason"]) == ("error", WHY["exits"])
