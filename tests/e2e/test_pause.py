"""`frontdoor pause` and `resume`: nobody is refused, nobody is served, and what is open goes on."""

import os
import select
import signal
import time
from collections.abc import Callable

from e2e.crowded import kill_9
from e2e.doors import Changing, OneDoor
from e2e.harness import Client, Frontdoor, greeter, until

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]

A_WHILE = 0.3
"""Seconds. A client that is not held gets his greeting in some milliseconds."""


def nobody_is_served(waiting: list[Client]) -> None:
    """For a while nobody hears anything, and nobody is sent away."""
    heard, _, _ = select.select([client.sock for client in waiting], [], [], A_WHILE)
    assert heard == []


def test_who_comes_in_a_pause_waits_and_gets_what_is_active_then(only: Only, changing: Changing) -> None:
    door = only(swap={"keep_warm": "15m"})
    inside = door.connect()
    assert inside.generation == "v1#1"
    paused = door.run("pause")
    assert (paused.returncode, paused.stderr) == (0, "")
    says = "new clients wait in the backlog until frontdoor resume, open streams go on"
    assert paused.stdout == f"the door {door.name} is paused: {says}\n"
    assert door.status()["paused"]
    assert f"{door.name} on {door.address}: v1#1 is active, paused\n" in door.run("status").stdout

    waiting = [door.connect() for _ in range(20)]
    nobody_is_served(waiting)
    assert inside.ask("still there?") == "still there?"
    assert changing.connect_to(changing.door("main").address).generation == "v1#1", "the other door is not paused"
    assert door.swap("v2").startswith("v2#2 is active")
    assert door.rollback().startswith("v1#1 is active")
    assert door.swap("v3").startswith("v3#3 is active")
    assert door.status()["streams"]["accepted"] == 1
    nobody_is_served(waiting)

    assert door.run("pause").stdout == f"the door {door.name} is already paused: {says}\n"
    resumed = door.run("resume")
    assert (resumed.returncode, resumed.stdout) == (0, f"the door {door.name} accepts clients again\n")
    assert {client.generation for client in waiting} == {"v3#3"}
    assert door.connect().generation == "v3#3"
    assert not door.status()["paused"]
    assert inside.ask("and now?") == "and now?"
    assert door.run("resume").stdout == f"the door {door.name} was not paused\n"
    assert [len(door.logged(event)) for event in ("paused", "resumed")] == [1, 1]


def test_a_reload_and_a_kill_9_of_the_door_process_end_no_pause(only: Only, changing: Changing) -> None:
    door = only()
    door_process = changing.control.ask("/v1/status")["door_pid"]
    changing.control.tell(f"/v1/doors/{door.name}/pause", {})
    os.kill(door_process, signal.SIGKILL)  # at once: it has said that it is paused
    changing.change(door, listen=["127.0.0.1:0", "unix:more"])
    assert changing.run("reload").returncode == 0
    waiting = [door.connect(address) for address in door.status()["listen"]]
    changing.kill_door_process()
    waiting.append(door.connect())
    nobody_is_served(waiting)
    assert door.status()["paused"]
    assert door.run("resume", "--json").returncode == 0
    assert {client.generation for client in waiting} == {"v1#1"}


def test_a_backend_that_dies_in_a_pause_costs_those_who_wait_nothing(only: Only) -> None:
    door = only(backends={"v1": {"restart": "never"}}, limits={"hold_timeout": "100ms"})
    inside = door.connect()
    assert inside.generation == "v1#1"
    assert door.run("pause").returncode == 0
    waiting = [door.connect() for _ in range(3)]
    inside.say("exit 1")
    until(lambda: door.generation("v1#1")["processes"][0]["state"] == "exited", "nothing is there to serve")
    nobody_is_served(waiting)
    door.swap("v2")
    assert door.run("resume").returncode == 0
    assert {client.generation for client in waiting} == {"v2#2"}


def test_a_stop_in_a_pause_serves_who_waits_first(serve: Serve) -> None:
    door = serve(backends={"*": {"command": greeter("--say", "hello")}})
    assert door.run("pause").returncode == 0
    waiting = [door.connect() for _ in range(3)]
    nobody_is_served(waiting)
    stop = door.begin("stop")
    assert {client.generation for client in waiting} == {"v1#1"}
    assert waiting[0].ask("really?") == "really?"
    door.hang_up()
    assert stop.ended().returncode == 0
    assert door.ends() == 0
    assert door.printed("v1#1") == ["hello", "stop signal with 0 streams open"]
    assert not os.path.exists(door.path("run/control.sock"))


def test_a_pause_for_a_time_is_over_by_itself(only: Only, changing: Changing) -> None:
    door = only()
    paused = door.run("pause", "--for", "30s")
    assert paused.returncode == 0
    assert "for 30 s, or until frontdoor resume" in paused.stdout
    waiting = door.connect()
    assert 25 < door.status()["paused_for_s"] <= 30
    began = time.monotonic()
    door.run("pause", "--for", "1s")  # what was said last holds
    assert waiting.generation == door.status()["active"]
    assert 1 <= time.monotonic() - began < 15
    assert (door.status()["paused"], door.status()["paused_for_s"]) == (False, None)
    resumed = door.logged("resumed")[-1]
    assert resumed["reason"] == "the time of the pause is over"


def test_its_time_is_kept_when_the_door_process_dies_and_an_early_resume_ends_it(serve: Serve) -> None:
    door = serve()
    assert door.run("pause", "--for", "60s").returncode == 0
    kill_9(door)
    left = door.status()["paused_for_s"]
    assert left is not None
    assert 30 < left < 60
    assert door.run("pause", "--for", "2s").returncode == 0
    waiting = door.connect()
    kill_9(door)
    assert waiting.generation == "v1#1", "it resumes, though nobody has told the new door process to"
    assert not door.status()["paused"]

    for command in (["pause", "--for", "1s"], ["resume"], ["pause", "--for", "1s"], ["pause"]):
        assert door.run(*command).returncode == 0
    waiting = door.connect()
    heard, _, _ = select.select([waiting.sock], [], [], 1.3)
    assert heard == [], "the time of a pause that was ended early, or replaced, ends no later one"
    assert door.run("resume").returncode == 0
    assert waiting.generation == "v1#1"


def test_a_migration_in_a_pause_is_seen_by_nobody(serve: Serve) -> None:
    """The recipe of the documents: pause, swap, resume. With a probation the swap does not wait for it in the pause."""
    door = serve(swap={"bake": "2s"})
    inside = door.connect()
    assert inside.generation == "v1#1"
    assert door.run("pause", "--for", "30s").returncode == 0
    waiting = [door.connect() for _ in range(5)]
    assert door.run("swap", "v2", "--wait", "switched").returncode == 0
    assert door.run("resume").returncode == 0
    assert {client.generation for client in waiting} == {"v2#2"}
    assert inside.ask("and on") == "and on"
    until(lambda: door.status()["swap"] is None, "its probation is over")
    assert door.status()["active"] == "v2#2"
