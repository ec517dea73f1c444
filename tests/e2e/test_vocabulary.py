"""Each event says what it is about: door, version, generation, pid and swap, wherever they apply."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.doors import Several
from e2e.harness import config, greeter, until
from frontdoor.control.dial import Refused
from frontdoor.control.events import VOCABULARY

GENERATION = {"door", "version", "generation"}
PROCESS = GENERATION | {"pid"}
SWAP = GENERATION | {"swap", "to"}

# What each event must have, beside its name, time, number and level.
TABLE: dict[str, set[str]] = {
    "door.started": PROCESS | {"listen"},
    "door.restored": PROCESS | {"streams", "lost"},
    "door.stopping": {"door", "streams"},
    "config.reloaded": {"changed"},
    "config.refused": {"reason"},
    "backend.starting": PROCESS | {"process"},
    "backend.ready": PROCESS | {"after_s"},
    "backend.exited": PROCESS | {"status", "reason"},
    "backend.restarting": GENERATION | {"delay_s", "reason"},
    "swap.started": SWAP | {"from"},
    "swap.vetoed": SWAP | {"from", "reason"},
    "swap.ready": SWAP | {"from", "sockets"},
    "swap.switched": SWAP | {"from", "streams"},
    "swap.settled": SWAP,
    "swap.failed": SWAP | {"from", "reason", "output"},
    "swap.aborted": SWAP | {"from"},
    "swap.rolled_back": SWAP | {"from"},
    "drain.started": GENERATION | {"swap", "streams"},
    "drain.finished": GENERATION | {"swap", "closed"},
    "drain.notify_failed": PROCESS | {"swap", "reason"},
    "generation.warm": GENERATION | {"for_s"},
    "generation.stopped": GENERATION,
    "canary.share": SWAP | {"from", "share"},
    "paused": {"door"},
    "resumed": {"door"},
    "maintenance.on": {"door", "message"},
    "maintenance.off": {"door", "message"},
    "upgrade.started": {"upgrade", "version"},
    "upgrade.finished": {"upgrade", "from", "to", "pid"},
    "hook.failed": PROCESS | {"swap", "hook", "reason", "output"},
    "limit.reached": {"door", "limit", "open"},
}

# They need a machine in trouble, and are made by tests of their own.
ELSEWHERE = {"drain.waits", "drain.resumed", "swap.stays", "upgrade.failed", "vault.full"}

# Lines of the log that are no events.
OTHERS = {
    "output": PROCESS | {"line"},
    "hook.output": PROCESS | {"hook", "line"},
    "door_process.died": {"reason"},
    "log.reopened": {"doors"},
}

VETO = 'test "$FRONTDOOR_VERSION" != vetoed || { echo not on a friday; exit 3; }'


@pytest.fixture(scope="module")
def log() -> Iterator[list[dict[str, Any]]]:
    """The log of a life in which nearly everything happens."""
    tables = {
        "backends": {"bad": {"command": greeter("--exit", "1")}, "slow": {"command": greeter("--wait-for", "never")}},
        "swap": {"keep_warm": "1h"},
        "drain": {"notify": "http:/drain"},
        "limits": {"connections": 2},
        "hooks": {"before_swap": ["sh", "-c", VETO], "before_switch": ["true"], "switched": ["sh", "-c", "exit 4"]},
        "doors": {
            "web": {
                "listen": ["127.0.0.1:0"],
                "active": "v1",
                "protocol": "http",
                "backends": {"*": {"command": greeter()}},
            }
        },
    }
    with closing(Several(config(**tables))) as frontdoor:
        frontdoor.start()
        live(frontdoor)
        frontdoor.signal(signal.SIGTERM)
        assert frontdoor.ends() == 0
        yield frontdoor._log_entries()


def live(frontdoor: Several) -> None:
    door = frontdoor.door("main")
    until(door.serves, "it serves")
    clients = [frontdoor.connect_to(door.address) for _ in range(3)]
    frontdoor.logs("limit.reached")
    assert clients[0].ask("hello") == "hello"
    door.swap("v2")
    frontdoor.hang_up()
    frontdoor.logs("generation.warm")
    frontdoor.logs("hook.failed")
    door.rollback()
    for version in ("vetoed", "bad"):
        outcome = frontdoor.outcome("/v1/doors/main/swap", {"version": version})
        assert outcome["exit_code"] != 0, outcome
    slow = door.begin("swap", "slow")
    frontdoor.logs("backend.starting", version="slow")
    assert door.run("rollback").returncode == 0
    assert slow.ended().returncode != 0
    assert door.run("swap", "v3", "--canary", "50%").returncode == 0
    assert door.run("rollback").returncode == 0
    active = str(door.status()["active"])
    os.kill(door.pid(active), signal.SIGKILL)
    frontdoor.logs("backend.restarting")
    for verb in ("pause", "resume"):
        assert door.run(verb).returncode == 0
    for switch in ("on", "off"):
        assert frontdoor.door("web").run("maintenance", switch).returncode == 0
    with open(frontdoor.path("config.toml")) as file:
        text = file.read()
    frontdoor.write(text.replace('keep_warm = "1h"', 'keep_warm = "2h"'))
    assert frontdoor.reload()["exit_code"] == 0
    frontdoor.write("nonsense")
    with pytest.raises(Refused):
        frontdoor.reload()
    frontdoor.write(text)
    frontdoor.signal(signal.SIGUSR1)
    frontdoor.logs("log.reopened")
    frontdoor.kill_door_process()
    frontdoor.logs("door.restored", door="main")
    assert frontdoor.run("upgrade").returncode == 0
    frontdoor.logs("upgrade.finished")


def test_the_table_has_the_whole_vocabulary() -> None:
    assert TABLE.keys() | ELSEWHERE == VOCABULARY
    assert not TABLE.keys() & ELSEWHERE


@pytest.mark.parametrize("event", sorted(TABLE | OTHERS))
def test_an_event_says_what_it_is_about(log: list[dict[str, Any]], event: str) -> None:
    entries = [entry for entry in log if entry["event"] == event]
    assert entries, "it has not happened"
    wanted = {"event", "time", "level", *(TABLE | OTHERS)[event]} | ({"seq"} if event in TABLE else set())
    for entry in entries:
        assert wanted <= entry.keys(), f"{wanted - entry.keys()} missing in {json.dumps(entry)}"


def test_every_line_of_the_log_names_its_generation_in_full(log: list[dict[str, Any]]) -> None:
    for entry in log:
        if "generation" in entry or "version" in entry:
            assert entry["event"] == "upgrade.started" or entry.keys() >= GENERATION, entry
        if "generation" in entry:
            assert entry["generation"].startswith(f"{entry['version']}#"), entry


def test_what_belongs_to_a_swap_has_its_number(log: list[dict[str, Any]]) -> None:
    """All that is said of its candidate, from its beginning until it is certain what has come of it."""
    ends = {"swap.settled", "swap.failed", "swap.aborted", "swap.vetoed"}
    begun = [place for place, entry in enumerate(log) if entry["event"] == "swap.started"]
    assert len(begun) >= 5
    for place in begun:
        number, candidate = log[place]["swap"], log[place]["to"]
        there = next(at for at, entry in enumerate(log) if entry["event"] in ends and entry.get("swap") == number)
        of_it = [e for e in log[place : there + 1] if "seq" in e and e.get("generation") == candidate]
        # When it is stopped nothing is of the swap any more, be the swap's own last word said by then or not.
        of_it = [entry for entry in of_it if entry["event"] != "generation.stopped"]
        assert {entry.get("swap") for entry in of_it} == {number}, of_it
