"""A canary and a probation when something else goes wrong at the worst moment: kill -9, the disk, an earlier drain."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import Client, Command, Frontdoor, greeter, until

FAULTS = """
import os, signal, sys

def inject(*_):
    with open("fault.json") as file:
        module, name, method, after = __import__("json").load(file)
    owner = getattr(sys.modules[module], name)
    real = getattr(owner, method)

    def and_then_dies(self, *args, **kwargs):
        if after:
            real(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, and_then_dies)
    os.unlink("fault.json")

def fsync(fd, real=os.fsync):
    import time
    while os.path.exists("disk-hangs"):
        time.sleep(0.01)
    if os.path.exists("disk-is-full"):
        raise OSError(28, os.strerror(28))
    return real(fd)

if "frontdoor.door" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, inject)
    os.fsync = fsync
"""
"""A sitecustomize: after SIGUSR1 the door process is killed where it is told to, and the disk can fail it."""

ROLLED_BACK = 7

BAKE = 1.5
"""Seconds: longer than a kill and all that is looked at after it, and over before anybody is bored."""

Breaking = Callable[..., OneDoor]


def prepared(frontdoor: Frontdoor) -> Frontdoor:
    os.mkdir(frontdoor.path("faults"))
    frontdoor.write(FAULTS, "faults/sitecustomize.py")
    path = [frontdoor.path("faults"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return frontdoor.start(PYTHONPATH=os.pathsep.join(path))


@pytest.fixture(scope="module")
def frail() -> Iterator[Changing]:
    with closing(Changing(frontdoor={"protect_after": "100ms"})) as frontdoor:
        prepared(frontdoor)
        yield frontdoor


@pytest.fixture
def only(frail: Changing) -> Iterator[Breaking]:
    def door(bake: float = BAKE, **changes: Any) -> OneDoor:
        made = frail.only(**{"swap": {"keep_warm": "60s", "bake": f"{bake:g}s"}, **changes})
        until(made.serves, "it serves")
        return made

    yield door
    frail.hang_up()
    heal(frail)


def heal(frontdoor: Frontdoor) -> None:
    for name in ("disk-hangs", "disk-is-full"):
        if os.path.exists(frontdoor.path(name)):
            os.unlink(frontdoor.path(name))


class Death:
    """The door process is killed when it next comes to a certain place."""

    def __init__(self, frontdoor: Changing, where: str, *, after: bool = False) -> None:
        module, name, method = where.rsplit(".", 2)
        self._frontdoor = frontdoor
        self._pid: int = frontdoor.control.ask("/v1/status")["door_pid"]
        path = frontdoor.write(json.dumps([f"frontdoor.{module}", name, method, after]), "fault.json")
        os.kill(self._pid, signal.SIGUSR1)
        until(lambda: not os.path.exists(path), "it is prepared")

    def comes(self) -> None:
        """Wait until it has, and another one serves."""
        until(lambda: self._pid not in self._frontdoor.processes(), "it is dead")
        until(self._frontdoor._serves, "another one serves")


def tried_out(door: OneDoor, *more: str) -> list[Client]:
    """Make v2 a canary with half of the new streams; one on v1, one on it."""
    swap = door.run("swap", "v2", "--canary", "50%", *more)
    assert swap.returncode == 0, swap
    return sorted((door.connect() for _ in range(2)), key=lambda client: client.generation)


def switched(door: OneDoor) -> tuple[Command, Client]:
    """Switch to v2, which is on probation; a client of it."""
    swap = door.begin("swap", "v2")
    swap.shows("switched: new connections go to v2#2")
    return swap, door.connect()


def until_protected(frontdoor: Changing, streams: int) -> None:
    """Wait until so many would live through the end of the door process."""
    vault = "they are protected"
    until(lambda: frontdoor.control.ask("/v1/status")["vault"]["streams"] >= streams, vault)


def crash(client: Client) -> None:
    """The client's backend crashes."""
    assert client.generation
    client.say("exit 3")


def adds_up(door: OneDoor) -> bool:
    status = door.status()
    streams = status["streams"]
    on_them = sum(generation["streams"]["open"] for generation in status["generations"])
    return bool(streams["accepted"] == streams["open"] + sum(streams["ended"].values()) and streams["open"] == on_them)


def known(frontdoor: Frontdoor, door: OneDoor) -> dict[str, Any]:
    """What a restart of frontdoor would know of the door."""
    with open(frontdoor.path("run/state.json")) as file:
        found: dict[str, Any] = json.load(file)["doors"][door.name]
    return found


# -- kill -9 --------------------------------------------------------------------------------------------------------


def test_between_the_share_and_the_word_of_it(frail: Changing, only: Breaking) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(frail, 1)
    death = Death(frail, "control.operation.Operation.reach")
    swap = door.begin("swap", "v2", "--canary", "50%")
    death.comes()
    outcome = swap.ended(within=5)
    assert outcome.returncode == 0, outcome
    assert outcome.stdout.startswith("v2#2 gets 50% of the new streams, v1#1 the rest: frontdoor promote")
    assert sorted(door.connect().generation for _ in range(4)) == ["v1#1", "v1#1", "v2#2", "v2#2"]
    assert old.ask("hello") == "hello"
    assert adds_up(door)
    assert door.run("rollback").returncode == 0


@pytest.mark.parametrize("after", [False, True], ids=["before the switch", "after it"])
def test_who_was_told_to_promote_does_so(frail: Changing, only: Breaking, after: bool) -> None:
    door = only(bake=0.5)
    old, new = tried_out(door)
    until_protected(frail, 2)
    death = Death(frail, "door.door.Door.switch", after=after)
    promote = door.begin("promote")
    death.comes()
    outcome = promote.ended(within=5)
    assert outcome.returncode == 0, outcome
    assert door.status()["active"] == "v2#2"
    assert (old.ask("hello"), new.ask("hello")) == ("hello", "hello")
    assert adds_up(door)
    assert [said["swap"] for said in door.logged("swap.switched")][-1:] == [1]
    assert known(frail, door)["active"] == "v2"


@pytest.mark.parametrize(
    ("where", "after"),
    [
        ("door.door.Door.switch_back", False),
        ("door.door.Door.switch_back", True),
        ("control.operation.Operation.fail", False),
        ("control.operation.Operation.fail", True),
    ],
    ids=["before the switch back", "after it", "before the word of it", "after that"],
)
def test_a_switch_back_is_one_whenever_the_door_process_dies(
    frail: Changing, only: Breaking, where: str, after: bool
) -> None:
    door = only(bake=20)
    old = door.connect()
    assert old.generation == "v1#1"
    swap, new = switched(door)
    until_protected(frail, 2)
    death = Death(frail, where, after=after)
    crash(new)
    death.comes()
    outcome = swap.ended(within=5)
    assert outcome.returncode == ROLLED_BACK, outcome
    assert "was switched back: one of its processes has crashed; v1#1 still serves" in outcome.stderr
    assert not door.logged("swap.stays"), "v1 is up, also in the first instant of the next door process"
    assert door.connect().generation == "v1#1"
    assert old.ask("hello") == "hello"
    assert adds_up(door)
    assert "nothing else has served before" in door.run("rollback").stderr, "as if the swap had not been"
    assert (known(frail, door)["active"], known(frail, door)["previous"]) == ("v1", None)


def test_all_who_follow_it_are_told_the_same(frail: Changing, only: Breaking) -> None:
    door = only(bake=1)
    swap, _ = switched(door)
    followers = [door.begin("promote")]  # refused, whatever happens
    answers: list[dict[str, Any]] = []

    def follow() -> None:
        with frail.control.stream("GET", f"/v1/doors/{door.name}/swaps/1?wait=baked") as lines:
            *_, outcome = lines
        answers.append(outcome)

    frail.kill_door_process()
    threads = [threading.Thread(target=follow) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert swap.ended().returncode == 0
    assert followers[0].ended().returncode == 1
    assert len(answers) == 20
    assert {answer["message"] for answer in answers} == {answers[0]["message"]}
    assert answers[0]["message"].startswith("v2#2 is active and has passed its probation")


# -- the disk -------------------------------------------------------------------------------------------------------


def test_a_disk_that_hangs_holds_up_no_switch_back(frail: Changing, only: Breaking) -> None:
    door = only(bake=20)
    tried_out(door)
    frail.touch("disk-hangs")
    promote = door.begin("promote")
    promote.shows("switched: ")
    crash(door.connect())
    until(lambda: door.status()["active"] == "v1#1", "it is switched back", within=2)
    assert door.connect().generation == "v1#1"
    assert not promote.has_ended(), "a restart of frontdoor would not know of it yet"
    heal(frail)
    assert promote.ended().returncode == ROLLED_BACK
    assert (known(frail, door)["active"], known(frail, door)["previous"]) == ("v1", None)


def test_a_full_disk_at_the_switch_back_is_part_of_the_answer(frail: Changing, only: Breaking) -> None:
    door = only(bake=20)
    swap, new = switched(door)
    until(lambda: known(frail, door)["active"] == "v2", "it is written down")
    frail.touch("disk-is-full")
    crash(new)
    outcome = swap.ended()
    assert outcome.returncode == ROLLED_BACK, outcome
    assert "v1#1 still serves; but a restart of frontdoor would not know of it: the state file" in outcome.stderr
    assert known(frail, door)["active"] == "v2"


def test_the_way_out_of_a_probation_waits_for_no_disk(prepare: Callable[..., Frontdoor]) -> None:
    door = prepared(prepare(swap={"keep_warm": "0s", "bake": "20s"}))
    assert door.run("swap", "v2", "--canary", "50%").returncode == 0
    door.touch("disk-hangs")
    promote = door.begin("promote")
    promote.shows("switched: ")
    door.signal(signal.SIGTERM)
    outcome = promote.ended(within=5)
    assert outcome.returncode == 1
    assert "it was not proved: it was stopped before its probation was over" in outcome.stderr
    heal(door)
    assert door.ends() == 0


# -- what else there is ---------------------------------------------------------------------------------------------


def test_no_earlier_drain_closes_a_stream_in_a_probation(only: Breaking) -> None:
    door = only(bake=1, drain={"timeout": "2s", "close_over": "1s", "close_grace": "100ms"})
    first = door.connect()
    assert first.generation == "v1#1"
    door.swap("v2", wait="baked")
    swap = door.begin("swap", "v3")
    assert door.logs("drain.waits", generation="v1#1", streams=1)["reason"] == "the probation of the new generation"
    assert not first.has_ended()
    assert swap.ended().returncode == 0
    finished = door.logs("drain.finished", generation="v1#1", closed=1)
    settled, goes_on = door.logs("swap.settled", swap=2), door.logged("drain.resumed", generation="v1#1")[-1]
    assert settled["seq"] < goes_on["seq"] < finished["seq"]


def test_what_was_found_wanting_and_is_wanted_all_the_same_has_no_reason_any_more(only: Breaking) -> None:
    door = only(bake=20)
    swap, new = switched(door)
    stays = door.connect()
    crash(new)
    assert swap.ended().returncode == ROLLED_BACK
    assert door.generation("v2#2")["reason"] == "one of its processes has crashed"
    assert not stays.ask("")
    until(lambda: door.generation("v2#2")["processes"][0]["state"] == "up", "it was started again")
    again = door.run("swap", "v2", "--reuse", "--canary", "50%")
    assert again.returncode == 0, again
    assert "reason" not in door.generation("v2#2")
    assert door.run("rollback").returncode == 0
    assert door.status()["previous"] is None


def test_a_canary_may_be_promoted_while_one_of_its_processes_is_started_again(frail: Changing, only: Breaking) -> None:
    two = {"command": greeter("--wait-for", "go"), "processes": 2}
    door = only(bake=0.2, backends={"v1": {"command": greeter()}, "v2": two}, probation={"crashes": 2})
    frail.touch("go")
    _, new = tried_out(door)
    os.unlink(frail.path("go"))
    crash(new)
    until(lambda: door.generation("v2#2")["processes"][0]["state"] != "up", "one of two is not up")
    promoted = door.run("promote")
    assert promoted.returncode == 0, promoted
    assert door.status()["active"] == "v2#2"
