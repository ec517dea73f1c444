"""SIGKILL at frontdoor's own processes."""

import os
import signal
from collections.abc import Callable

from e2e.harness import Frontdoor, greeter, until
from e2e.visitors import Visitors

Serve = Callable[..., Frontdoor]

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""


def kill_door_process(door: Frontdoor) -> None:
    """kill -9; returns when another one serves."""
    killed: int = door.status()["door_pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in door.processes(), "it is dead")
    until(lambda: door.status()["active"] is not None, "another one serves")
    assert door.status()["door_pid"] != killed


def test_kill_9_of_the_door_process_refuses_nobody(serve: Serve) -> None:
    door = serve()
    backend, serve_pid = door.process("v1#1")["pid"], door.pid
    silent = [door.connect() for _ in range(3)]
    assert {client.generation for client in silent} == {"v1#1"}

    with Visitors(door, 20) as visitors:
        visitors.all_come_again()
        kill_door_process(door)
        visitors.all_come_again()
    assert visitors.refused == 0
    assert visitors.cut <= 20, "only who was inside when it died"
    assert visitors.greeted_by == {("v1#1", backend)}, "the backend has lived through it"
    print(f"{visitors.greeted} visits, {visitors.cut} cut, none refused")

    status = door.status()
    assert status["pid"] == serve_pid
    assert status["active"] == "v1#1"
    assert door.process("v1#1") == {"pid": backend, "state": "up", "restarts": 0, "socket": "run/g1/0.sock"}
    assert status["streams"]["ended"]["lost"] >= len(silent)
    until(lambda: door.status()["streams"]["open"] == 0, "all visitors have left")
    ledger = door.status()["streams"]
    assert ledger["accepted"] == ledger["open"] + sum(ledger["ended"].values())
    assert ledger["accepted"] >= visitors.greeted + len(silent)
    assert door.logged("door.restored")[0]["lost"] == status["streams"]["ended"]["lost"]

    door.swap("v2")
    assert door.connect().generation == "v2#2"
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]


def test_kill_9_again_and_again(serve: Serve) -> None:
    door = serve()
    backend = door.process("v1#1")["pid"]
    for _ in range(2):
        kill_door_process(door)
        assert door.connect().pid == backend
    door.swap("v2")
    kill_door_process(door)
    client = door.connect()
    assert client.generation == "v2#2"
    client.say("exit 1")
    until(client.has_ended, "its backend has crashed")
    assert door.connect().generation == "v2#2", "and is restarted by a door process that did not start it"


def test_kill_9_before_the_switch(serve: Serve) -> None:
    door = serve(backends={"v2": SLOW})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    candidate = door.process("v2#2")["pid"]
    kill_door_process(door)

    ended = swap.ended()
    assert ended.returncode == 1
    assert "frontdoor's door process died during the swap; v1#1 serves; swap again" in ended.stderr
    until(lambda: candidate not in door.processes(), "the candidate is gone")
    assert door.connect().generation == "v1#1"
    door.touch("go")
    door.swap("v2")
    assert door.connect().generation == "v2#3"


def test_kill_9_after_the_switch(serve: Serve) -> None:
    door = serve()
    old = door.connect()
    assert old.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    active = door.process("v2#2")["pid"]
    kill_door_process(door)

    assert door.connect().pid == active
    ended = swap.ended()
    assert ended.returncode == 6
    assert "v2#2 serves" in ended.stderr
    until(lambda: len(door.processes()) == 3, "v1 is gone")


def test_kill_9_in_a_backend_s_back_off(serve: Serve) -> None:
    door = serve()
    door.connect().say("exit 1")
    until(lambda: door.process("v1#1")["state"] == "backing off", "it has crashed")
    kill_door_process(door)
    assert door.connect().generation == "v1#1"


def test_a_backend_that_dies_while_there_is_no_door_process(serve: Serve) -> None:
    door = serve()
    backend, killed = door.process("v1#1")["pid"], door.status()["door_pid"]
    os.kill(killed, signal.SIGKILL)
    os.kill(backend, signal.SIGKILL)
    client = door.connect()
    assert client.generation == "v1#1"
    assert client.pid != backend


def test_kill_9_of_serve_leaves_no_process_and_the_next_start_works(serve: Serve) -> None:
    door = serve(backends={"*": {"command": greeter("--child", "child.pid")}})
    client = door.connect()
    assert client.generation == "v1#1"
    assert len(door.processes()) == 4, "keeper, door process, backend and the child of that"

    door.signal(signal.SIGKILL)
    assert door.ends() == -signal.SIGKILL
    assert client.hear() == ""
    assert {"control.sock", "frontdoor.pid"} <= set(os.listdir(door.path("run"))), "it could not clear up"

    door.start()
    assert door.connect().generation == "v1#2", "a number is never given again"
    assert door.run("status").returncode == 0


def test_kill_9_of_serve_in_the_middle_of_a_swap(serve: Serve) -> None:
    door = serve(backends={"v2": SLOW})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    door.signal(signal.SIGKILL)
    assert door.ends() == -signal.SIGKILL
    ended = swap.ended()
    assert ended.returncode in (1, 3)
    assert ended.stderr.splitlines()[-1].startswith("frontdoor: ")
    assert "Traceback" not in ended.stderr


def test_kill_9_when_the_config_is_not_valid_any_more(serve: Serve) -> None:
    door = serve()
    backend = door.process("v1#1")["pid"]
    door.write("listen = 3")
    kill_door_process(door)
    assert door.connect().pid == backend, "what was applied is what counts"


def test_kill_9_in_the_middle_of_a_stop(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    assert door.ends() == 0, "it was told to stop, and stops"


def test_a_stop_that_comes_while_there_is_no_door_process(serve: Serve) -> None:
    door = serve()
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
