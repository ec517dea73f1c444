"""SIGKILL at frontdoor's own processes."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable

import pytest

from e2e.harness import Frontdoor, greeter, until
from e2e.visitors import Visitors

Serve = Callable[..., Frontdoor]

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""


def until_protected(door: Frontdoor, count: int) -> None:
    """Wait until so many streams would live through it: each that is older than a second."""
    until(lambda: door.status()["vault"]["streams"] >= count, f"{count} streams are protected")


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
    until_protected(door, len(silent))

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
    assert [client.ask("still here?") for client in silent] == ["still here?"] * len(silent)
    until(lambda: door.status()["streams"]["open"] == len(silent), "all visitors have left")
    ledger = door.status()["streams"]
    assert ledger["accepted"] == ledger["open"] + sum(ledger["ended"].values())
    assert ledger["accepted"] >= visitors.greeted + len(silent)
    (restored,) = door.logged("door.restored")
    assert restored["lost"] == ledger["ended"].get("lost", 0) >= visitors.cut
    assert restored["streams"] >= len(silent)

    door.swap("v2")
    assert door.connect().generation == "v2#2"
    assert [client.ask("and now?") for client in silent] == ["and now?"] * len(silent)
    for client in silent:
        client.close()
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]


def test_who_is_younger_than_a_second_is_lost_and_counted(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(door, 1)
    os.kill(door.status()["door_pid"], signal.SIGSTOP)  # nobody gets older for it
    young = [door.connect() for _ in range(2)]
    killed = next(pid for pid, command in door.processes().items() if "frontdoor.door" in command)
    os.kill(killed, signal.SIGCONT)
    assert {client.generation for client in young} == {"v1#1"}
    os.kill(killed, signal.SIGKILL)

    assert [client.hear() for client in young] == ["", ""]
    assert old.ask("still here?") == "still here?"
    ledger = door.status()["streams"]
    assert (ledger["accepted"], ledger["open"], ledger["ended"]) == (3, 1, {"lost": 2})


def test_a_full_vault_costs_the_newest_their_protection_and_nobody_the_service(anew: Serve) -> None:
    door = anew()
    as_it_was = resource.prlimit(door.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(door.pid, resource.RLIMIT_NOFILE, (120, as_it_was[1]))  # half of them are for the vault
    clients = [door.connect() for _ in range(40)]
    assert {client.generation for client in clients} == {"v1#1"}
    door.logs("vault.full")
    vault = door.status()["vault"]
    assert vault["full"]
    assert 20 <= vault["streams"] <= 30, "two descriptors each; and pipes"
    assert f"the vault is full: {vault['streams']} streams live through a crash" in door.run("status").stdout
    assert {client.ask("all is well?") for client in clients} == {"all is well?"}
    time.sleep(2.5)  # it is asked again, twice
    assert len(door.logged("vault.full")) == 1
    door.swap("v2")  # the keeper can still start processes
    assert door.connect().generation == "v2#2"

    resource.prlimit(door.pid, resource.RLIMIT_NOFILE, as_it_was)
    until_protected(door, len(clients))
    assert not door.status()["vault"]["full"]
    kill_door_process(door)
    assert {client.ask("still here?") for client in clients} == {"still here?"}


def test_counts_go_on_where_they_were(serve: Serve) -> None:
    door = serve()
    for _ in range(3):
        door.connect().ask("short")
    door.hang_up()
    client = door.connect()
    client.ask("x" * 1000)
    until_protected(door, 1)
    until(lambda: door.status()["streams"]["open"] == 1, "the others have left")
    before, streams = door.generation("v1#1"), door.control.ask("/v1/streams")["streams"]
    assert (before["streams"], before["bytes"]["up"]) == ({"open": 1, "total": 4}, 3 * 6 + 1001)
    time.sleep(2.5)  # two looks: after that, the tally and the note have it all
    kill_door_process(door)

    after = door.generation("v1#1")
    assert (after["streams"], after["bytes"]) == (before["streams"], before["bytes"])
    (now,) = door.control.ask("/v1/streams")["streams"]
    (then,) = streams
    assert now["age_s"] > then["age_s"]
    assert {**now, "age_s": 0, "idle_s": 0} == {**then, "age_s": 0, "idle_s": 0}
    assert door.connect().generation == "v1#1"
    assert {each["id"] for each in door.control.ask("/v1/streams")["streams"]} == {4, 5}, "no number comes again"


def test_half_closed_streams_go_on(anew: Serve) -> None:
    door = anew()
    clients = [door.connect() for _ in range(2)]
    for client in clients:
        assert client.ask("hello") == "hello"
    until_protected(door, 2)
    door_process = door.status()["door_pid"]
    os.kill(door_process, signal.SIGSTOP)
    clients[0].say("last words")
    clients[0].sock.shutdown(socket.SHUT_WR)  # nobody has seen it yet
    os.kill(door_process, signal.SIGKILL)
    assert [clients[0].hear(), clients[0].hear()] == ["last words", ""]
    assert clients[1].ask("still here?") == "still here?"


def test_kill_9_again_and_again(anew: Serve) -> None:
    door = anew()
    backend = door.process("v1#1")["pid"]
    faithful = door.connect()
    assert faithful.generation == "v1#1"
    until_protected(door, 1)
    for _ in range(2):
        kill_door_process(door)
        assert door.connect().pid == backend
        assert faithful.ask("still here?") == "still here?"
    door.swap("v2")
    kill_door_process(door)
    client = door.connect()
    assert client.generation == "v2#2"
    client.say("exit 1")
    until(client.has_ended, "its backend has crashed")
    assert door.connect().generation == "v2#2", "and is restarted by a door process that did not start it"


def test_kill_9_before_the_switch(anew: Serve) -> None:
    door = anew(backends={"v2": SLOW})
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


def test_kill_9_after_the_switch(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(door, 1)
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    active = door.process("v2#2")["pid"]
    kill_door_process(door)

    assert door.connect().pid == active
    kill_door_process(door)
    assert old.ask("still here?") == "still here?"
    assert door.generation("v1#1")["state"] == "draining"
    assert not swap.has_ended()
    old.close()
    ended = swap.ended()
    assert ended.returncode == 0, ended
    assert ended.stderr.endswith("\nv1#1 drained\n")
    until(lambda: len(door.processes()) == 3, "v1 is gone")
    assert len(door.logged("drain.started")) == 1
    assert door.logged("drain.finished", swap=1, closed=0)


def test_kill_9_right_after_the_switch_loses_who_is_young(anew: Serve) -> None:
    door = anew(drain={"timeout": "never"})
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(door, 1)
    door_process = door.status()["door_pid"]
    young = door.connect()
    assert young.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 2 streams")
    if door.status()["vault"]["streams"] > 1:
        pytest.skip("this machine is too busy: it is not young any more")
    os.kill(door_process, signal.SIGKILL)

    assert young.hear() == ""
    assert old.ask("still here?") == "still here?"
    old.close()
    ended = swap.ended()
    assert ended.returncode == 6, ended
    assert "v2#2 is active; 1 stream of v1#1 had to be closed" in ended.stderr


def test_a_drain_keeps_its_deadline(anew: Serve) -> None:
    door = anew(drain={"timeout": "6s", "close_over": "0s"})
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(door, 1)
    began = time.monotonic()
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    kill_door_process(door)
    assert door.generation("v1#1")["drain"]["deadline_s"] < 6
    assert old.ask("still here?") == "still here?"
    assert old.hear() == "", "its time is up"
    assert 5.5 < time.monotonic() - began < 9
    ended = swap.ended()
    assert ended.returncode == 6, ended
    assert "1 stream of v1#1 had to be closed" in ended.stderr


def test_kill_9_in_a_backend_s_back_off(anew: Serve) -> None:
    door = anew()
    door.connect().say("exit 1")
    until(lambda: door.process("v1#1")["state"] == "backing off", "it has crashed")
    kill_door_process(door)
    assert door.connect().generation == "v1#1"


def test_a_backend_that_dies_while_there_is_no_door_process(anew: Serve) -> None:
    door = anew()
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


def test_kill_9_when_the_config_is_not_valid_any_more(anew: Serve) -> None:
    door = anew()
    backend = door.process("v1#1")["pid"]
    door.write("listen = 3")
    kill_door_process(door)
    assert door.connect().pid == backend, "what was applied is what counts"


def test_kill_9_in_the_middle_of_a_stop(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    until_protected(door, 1)
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")
    killed = door.status()["door_pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(door.logged("door.stopping")) == 2, "another one goes on with the stop")
    assert client.ask("may I finish?") == "may I finish?"
    client.close()
    assert door.ends() == 0, "it was told to stop, and stops"


def test_a_stop_that_comes_while_there_is_no_door_process(serve: Serve) -> None:
    door = serve()
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
