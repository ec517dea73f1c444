"""`[health]`: the ready check goes on while a generation is active, and a process that fails it is started again."""

import os
import signal
from collections.abc import Callable
from typing import Any

from e2e.doors import Changing, OneDoor
from e2e.harness import Client, Frontdoor, greeter, until

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]

CHECKED: dict[str, Any] = {
    "backends": {"*": {"command": greeter("--http", "{version}"), "stop_timeout": "300ms"}},
    "ready": {"check": "http:/healthz", "interval": "20ms", "timeout": "500ms"},
    "health": {"interval": "50ms", "failures": 2},
}
"""A door of apps that answer every request with the status that is in the file of their version's name."""

WHY = "failed its health check 2 times in a row"


def ask(door: OneDoor) -> Client:
    """A client that has asked for something."""
    client = door.connect()
    client.say("GET / HTTP/1.1\r\nHost: x\r\n\r")
    return client


def served_by(client: Client) -> int:
    """Wait for the answer; the pid of the process that gave it."""
    *_, body = iter(client.hear, "")
    return int(body.split()[1])


def states(door: OneDoor, id_: str = "v1#1") -> list[str]:
    return [process["state"] for process in door.generation(id_)["processes"]]


def restarts(door: OneDoor, id_: str = "v1#1") -> list[int]:
    return [process["restarts"] for process in door.generation(id_)["processes"]]


def checked(door: OneDoor, generation: str, times: int) -> None:
    """Wait until that one has answered so many requests more."""
    before = len(door.printed(generation))
    until(lambda: len(door.printed(generation)) >= before + times, f"{generation} is asked {times} times")


def test_a_process_that_hangs_is_given_up_and_its_sibling_serves(only: Only, changing: Changing) -> None:
    changing.write("200", "v1")
    door = only(**CHECKED | {"backends": {"*": {**CHECKED["backends"]["*"], "processes": 2}}})
    one, other = (process["pid"] for process in door.generation("v1#1")["processes"])
    assert {served_by(ask(door)) for _ in range(4)} <= {one, other}
    os.kill(one, signal.SIGSTOP)
    until(lambda: states(door)[0] != "up", "it is given up")
    assert {served_by(ask(door)) for _ in range(4)} == {other}
    until(lambda: states(door) == ["up", "up"] and restarts(door) == [1, 0], "another one is up in its place")

    exited = door.logs("backend.exited", pid=one)
    assert exited["reason"] == f"{WHY}: no answer within 0.5 s"
    assert exited["status"] == -signal.SIGKILL, "its stop signal did not end it"
    assert door.logs("backend.restarting")["reason"] == f"it {WHY}: no answer within 0.5 s"
    assert one not in changing.processes()
    new = door.pid("v1#1")
    assert {served_by(client) for client in [ask(door) for _ in range(8)]} == {new, other}
    assert not door.logged("backend.exited", pid=other)


def test_the_only_process_hangs_and_who_comes_waits_for_the_next_one(only: Only, changing: Changing) -> None:
    changing.write("200", "v1")
    door = only(**CHECKED)
    pid = door.pid("v1#1")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: states(door) != ["up"], "it is given up")
    waiting = [ask(door) for _ in range(5)]
    assert door.status()["active"] == "v1#1"
    assert door.frontdoor.control.get("/healthz")[0] == 503
    assert {served_by(client) for client in waiting} == {door.pid("v1#1")} != {pid}
    assert door.frontdoor.control.get("/healthz")[0] == 200


def test_a_process_that_fails_from_its_start_is_started_until_it_does_not(only: Only, changing: Changing) -> None:
    changing.write("200", "v1")
    door = only(**CHECKED | {"ready": {**CHECKED["ready"], "deadline": "1500ms"}}, limits={"hold_timeout": "15s"})
    changing.write("500", "v1")
    until(lambda: restarts(door)[0] >= 2, "it is started again and again")
    first, second, *_ = door.logged("backend.exited")
    assert first["reason"] == f"{WHY}: GET /healthz was answered with 500"
    assert first["status"] == 0, "its stop signal was enough"
    assert second["reason"] == "was not ready within 1.5 s (GET /healthz was answered with 500)"
    waiting = ask(door)
    changing.write("200", "v1")
    assert served_by(waiting) == door.pid("v1#1")
    changing.write("200", "v2")
    door.swap("v2")
    assert served_by(ask(door)) == door.pid("v2#2")


def test_only_the_active_generation_is_asked(only: Only, changing: Changing) -> None:
    for version in ("v1", "v2"):
        changing.write("200", version)
    door = only(**CHECKED, swap={"keep_warm": "15m"})
    checked(door, "v1#1", 3)
    inside = door.connect()
    until(lambda: door.status()["streams"]["open"] == 1, "it is there")
    door.swap("v2")
    changing.write("500", "v1")
    door.becomes("v1#1", "draining")
    checked(door, "v2#2", 10)
    inside.close()
    door.becomes("v1#1", "warm")
    asked = len(door.printed("v1#1"))
    checked(door, "v2#2", 10)
    assert len(door.printed("v1#1")) == asked
    assert (states(door), restarts(door)) == (["up"], [0])

    door.rollback()
    until(lambda: states(door) != ["up"], "now it matters")
    assert door.logs("backend.exited")["reason"] == f"{WHY}: GET /healthz was answered with 500"
    changing.write("200", "v1")
    assert served_by(ask(door)) == door.pid("v1#1")


def test_the_checks_that_it_was_proved_with_hold_after_a_crash_of_the_door_process(
    only: Only, changing: Changing
) -> None:
    for version in ("v1", "v2"):
        changing.write("200", version)
    door = only(**CHECKED)
    changing.change(door, **CHECKED | {"ready": {"check": "connect"}})  # and no reload
    door.swap("v2")
    pid = door.pid("v2#2")
    changing.kill_door_process()
    checked(door, "v2#2", 3)
    assert (door.pid("v2#2"), restarts(door, "v2#2")) == (pid, [0])
    changing.write("500", "v2")
    assert door.logs("backend.exited", pid=pid)["reason"] == f"{WHY}: GET /healthz was answered with 500"
    changing.write("200", "v2")
    assert served_by(ask(door)) == door.pid("v2#2")


def test_a_reload_switches_it_on_and_off(only: Only, changing: Changing) -> None:
    changing.write("200", "v1")
    unasked = {key: table for key, table in CHECKED.items() if key != "health"}
    door = only(**unasked)
    pid = door.pid("v1#1")
    changing.write("500", "v1")
    changing.change(door, **CHECKED)
    assert changing.run("reload").stdout == f"reloaded: doors.{door.name}.health\n"
    until(lambda: states(door) != ["up"], "it is given up")
    changing.write("200", "v1")
    until(lambda: states(door) == ["up"], "it has recovered")
    new = door.pid("v1#1")
    assert new != pid

    changing.change(door, **unasked)
    assert changing.reload()["exit_code"] == 0
    asked = len(door.printed("v1#1"))
    changing.write("500", "v1")
    assert served_by(ask(door)) == new
    until(lambda: len(door.printed("v1#1")) == asked + 1, "only by that client")
