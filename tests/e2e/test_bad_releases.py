"""Every kind of bad release, under load: it fails alone, it says why, and the next good swap works."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from e2e.beside import Beside, load_beside
from e2e.harness import Frontdoor, config, until
from e2e.kill import is_dead
from load import Clients

APP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "release.py")
CLIENTS = Clients(websockets=6, staying=3, new=2, keep_alive=2)

DEADLINE, TIMEOUT = 1.0, 0.2
READY = {"interval": "20ms", "timeout": f"{TIMEOUT:g}s", "deadline": f"{DEADLINE:g}s"}
A_LITTLE = 1.0  # seconds after the deadline until the outcome is there: the candidate's last words are waited for
STOP_TIMEOUT = 0.3

NOBODY_S = "it exited with code 2 before it was ready"
if os.geteuid() != 0:
    NOBODY_S = "it could not be started: only root can start it as user nobody, and frontdoor does not run as root"


def release(kind: str) -> list[str]:
    """The command of tests/apps/release.py."""
    return ["{python}", "-I", "-S", APP, kind]


class Bad(NamedTuple):
    """A bad release: what is said of it."""

    why: str
    """A pattern."""
    output: str = ""
    """What it prints last, or a part of that."""
    table: Mapping[str, Any] = MappingProxyType({})
    """Its table in the config, if that says more than what kind it is."""


LATE = f"not ready within {DEADLINE:g} s: "
NO_ANSWER = f"{LATE}no answer within {TIMEOUT:g} s"
BEGINS_BADLY = {
    "exits-1": Bad("it exited with code 1 before it was ready", "no module named 'app'"),
    # Its child serves, and may have answered the check before the end of the process itself is seen.
    "forks-away": Bad("it exited (with code 0|right after it was ready)"),
}
BAD: dict[str, dict[str, Bad]] = {
    "connect": {
        **BEGINS_BADLY,
        "exits-0": Bad("it exited with code 0 before it was ready", "nothing to do"),
        "is-killed": Bad("it was ended by SIGABRT before it was ready", "eating memory"),
        "half-exits": Bad("it exited with code 9 before it was ready", table={"processes": 2}),
        "never-binds": Bad(f"{LATE}it has not made its socket yet", "connecting to the database"),
        "never-binds-nor-stops": Bad(f"{LATE}it has not made its socket yet", "connecting to the database"),
        "misspelt": Bad(
            "it could not be started: command not found: no-such-program", table={"command": ["no-such-program", "-x"]}
        ),
        "not-executable": Bad(
            r"it could not be started: not allowed to run \./config\.toml \(is it executable\?\)",
            table={"command": ["./config.toml"]},
        ),
        "homeless": Bad(
            "it could not be started: the folder to start it in does not exist: .*/no-such-folder",
            table={"cwd": "no-such-folder"},
        ),
        "wrong-user": Bad(
            "it could not be started: there is no user called 'nosuchuser' on this machine",
            table={"user": "nosuchuser"},
        ),
        # The folder that it is in belongs to root, and is closed to others.
        "locked-out": Bad(
            NOBODY_S,
            "Permission denied" if os.geteuid() == 0 else "",
            {"command": ["/bin/sh", "{runtime_dir}/../app.sh"], "user": "nobody", "cwd": "/"},
        ),
    },
    "http:/healthz": {
        **BEGINS_BADLY,
        "never-accepts": Bad(NO_ANSWER, "warming up"),
        "never-answers": Bad(NO_ANSWER),
        "answers-500": Bad(f"{LATE}GET /healthz was answered with 500", "no such table: users"),
        "answers-slowly": Bad(NO_ANSWER),
    },
    "notify": {**BEGINS_BADLY, "never-notifies": Bad(f"{LATE}it has not said READY=1")},
}


class Site(NamedTuple):
    """A frontdoor under load."""

    door: Frontdoor
    load: Beside

    def serves_on(self) -> None:
        """Nobody has noticed anything since the last time."""
        self.load.has_seen_nothing()
        ledger = self.door.status()["streams"]
        assert ledger["accepted"] == ledger["open"] + sum(ledger["ended"].values())
        assert set(ledger["ended"]) <= {"client_closed", "backend_closed"}

    def next_good_swap_works(self) -> None:
        self.load.switching()
        with self.door.control.stream("POST", "/v1/doors/main/swap", {"version": "good", "wait": "switched"}) as lines:
            *_, outcome = lines
        assert outcome["exit_code"] == 0, outcome
        self.load.switched(outcome["message"].split()[0])
        self.serves_on()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One frontdoor with that ready check, and one load, for all releases."""
    tables = {kind: {"command": release(kind), **bad.table} for kind, bad in BAD[request.param].items()}
    tables["dies-when-ready"] = {"command": release("dies-when-ready")}
    tables["ignores-the-stop"] = {"command": release("ignores-the-stop")}
    text = config(
        active="good",
        backends={"*": {"command": release("good"), "stop_timeout": f"{STOP_TIMEOUT:g}s"}, **tables},
        ready={**READY, "check": request.param},
        swap={"max_generations": 50},
    )
    with closing(Frontdoor(text)) as door:
        door.write("echo 'nobody may read this'", "app.sh")
        door.start()
        with load_beside(door, CLIENTS, pace=0.15) as load:
            yield Site(door, load)
        assert load.result.ok
        assert not [line for line in door.logged("output") if "stop signal" in line["line"]]


# The scope is that of `site`, which else would be made anew for each of them.
@pytest.mark.parametrize(
    ("site", "case"),
    [pytest.param(check, (check, kind), id=f"{check}-{kind}") for check in BAD for kind in BAD[check]],
    indirect=["site"],
    scope="module",
)
def test_a_bad_release(site: Site, case: tuple[str, str]) -> None:
    check, kind = case
    bad = BAD[check][kind]
    door, active = site.door, site.door.status()["active"]
    site.load.switching()
    swapped = door.run("swap", kind)
    site.load.switched(active)

    assert swapped.returncode == 4, swapped
    assert swapped.stdout == ""
    fails_well(door, swapped.stderr, kind, active, bad)
    until(lambda: not left_of(door, kind), "none of its processes is left")
    site.next_good_swap_works()


def fails_well(door: Frontdoor, stderr: str, kind: str, active: str, bad: Bad) -> None:
    """It is said in good time, and in good words."""
    *_, message = re.split(r"^frontdoor: ", stderr, flags=re.MULTILINE)
    first, *output = message.splitlines()
    said = re.fullmatch(rf"({kind}#\d+) did not become ready \((.*)\); {active} still serves", first)
    assert said, stderr
    generation, why = said.groups()
    assert re.match(bad.why, why)
    assert bad.output in "\n".join(output)
    assert "Traceback" not in stderr

    failed = door.logged("swap.failed", generation=generation)[0]
    assert (failed["level"], failed["reason"]) == ("error", why)
    took = at(failed) - at(door.logged("swap.started", generation=generation)[0])
    is_late = why.startswith(LATE)
    assert (DEADLINE if is_late else 0) <= took <= DEADLINE + A_LITTLE
    assert door.generation(generation)["state"] == "failed"
    assert door.generation(generation)["streams"]["total"] == 0


@pytest.mark.parametrize("site", BAD, indirect=True)
def test_a_release_that_dies_between_ready_and_switch(site: Site) -> None:
    door, active = site.door, site.door.status()["active"]
    site.load.switching()
    swap = door.begin("swap", "dies-when-ready")
    swap.shows("dies-when-ready")
    candidate = door.logs("backend.starting", version="dies-when-ready")["pid"]
    # Between the check that holds and the switch the door process tells the keeper that it was ready. As long as that
    # one stands still, it is this moment.
    os.kill(door.pid, signal.SIGSTOP)
    try:
        door.touch("go")
        until(lambda: is_dead(candidate), "it has answered the check, and is dead")
        site.load.has_seen_nothing()
    finally:
        os.kill(door.pid, signal.SIGCONT)
    ended = swap.ended()
    site.load.switched(active)
    assert ended.returncode == 4
    fails_well(door, ended.stderr, "dies-when-ready", active, Bad("it exited", "the licence has expired"))
    site.next_good_swap_works()


@pytest.mark.parametrize("site", ["connect"], indirect=True)
def test_a_release_that_ignores_the_stop_signal(site: Site) -> None:
    door = site.door
    site.load.switching()
    generation = door.swap("ignores-the-stop").split()[0]
    site.load.switched(generation)
    site.serves_on()

    site.next_good_swap_works()
    drained = door.logs("drain.finished", generation=generation)
    assert drained["closed"] == 0
    door.logs("generation.stopped", generation=generation)
    exited = door.logs("backend.exited", generation=generation)
    assert exited["status"] == -signal.SIGKILL
    assert STOP_TIMEOUT <= at(exited) - at(drained) <= STOP_TIMEOUT + A_LITTLE
    assert not left_of(door, "ignores-the-stop")
    site.next_good_swap_works()


def left_of(door: Frontdoor, kind: str) -> list[str]:
    return [command for command in door.processes().values() if f" {kind} " in command]


def at(entry: dict[str, Any]) -> float:
    """When that happened, in seconds."""
    return datetime.fromisoformat(entry["time"]).timestamp()
