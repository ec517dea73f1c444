"""What a door process that dies leaves behind, and what its successor makes of it."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.harness import COMMAND, Frontdoor, config, environment, greeter, until
from e2e.test_crash import SLOW, kill_door_process, until_protected

Serve = Callable[..., Frontdoor]

FAULT = """
import signal, sys

async def break_down():
    raise RuntimeError("injected by the test")

def inject(*_):
    import trio
    def into_the_task_that_runs_it_all():
        tasks = [trio.lowlevel.current_root_task()]
        for task in tasks:
            if task.name.endswith("DoorProcess.run"):
                return task.child_nurseries[0].start_soon(break_down)
            tasks += (child for nursery in task.child_nurseries for child in nursery.child_tasks)
        raise AssertionError("DoorProcess.run runs not")
    trio.lowlevel.current_trio_token().run_sync_soon(into_the_task_that_runs_it_all)

if "frontdoor.door" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, inject)
"""
"""A sitecustomize: SIGUSR1 is an exception in the door process, which ends it as a mistake of ours would."""


def config_of(**commands: list[str]) -> str:
    """A config with a table for each of these versions, and none for any other."""
    tables = [f"[backends.{version}]\ncommand = {json.dumps(command)}" for version, command in commands.items()]
    return "\n".join(['listen = ["127.0.0.1:0"]', 'active = "v1"', '[ready]\ninterval = "20ms"', *tables])


# -- an exception ---------------------------------------------------------------------------------------------------


@pytest.fixture
def fragile(prepare: Serve) -> Frontdoor:
    """One whose door process has a mistake in it: SIGUSR1."""
    door = prepare()
    os.mkdir(door.path("fault"))
    door.write(FAULT, "fault/sitecustomize.py")
    path = os.pathsep.join(filter(None, [door.path("fault"), os.environ.get("PYTHONPATH")]))
    door.excused.add("Traceback")
    return door.start(PYTHONPATH=path)


def break_down(door: Frontdoor) -> None:
    """Let the door process end by an exception; returns when another one has restored what was there."""
    broken, before = door.status()["door_pid"], len(door.logged("door.restored"))
    os.kill(broken, signal.SIGUSR1)
    until(lambda: broken not in door.processes(), "it is dead")
    until(lambda: len(door.logged("door.restored")) > before, "another one serves")
    assert door.status()["door_pid"] != broken


def test_an_exception_leaves_everything_to_the_next_door_process(fragile: Frontdoor) -> None:
    door = fragile
    backend, keeper = door.process("v1#1")["pid"], door.pid
    files = {"control.sock", "frontdoor.pid", "g1", "state.json"}
    assert set(os.listdir(door.path("run"))) == files

    for times in (1, 2):
        break_down(door)
        assert len(door.logged("door.restored")) == times
        assert set(os.listdir(door.path("run"))) == files
        assert os.listdir(door.path("run/g1")) == ["0.sock"]
        assert door.connect().pid == backend
    assert door.log_text.count("RuntimeError: injected by the test") == 2

    second = subprocess.run(
        [COMMAND, "serve", "config.toml"],
        cwd=door.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert second.returncode == 1
    assert f"another frontdoor (pid {keeper}) runs in" in second.stderr
    assert door.connect().pid == backend

    door.swap("v2")
    assert door.connect().generation == "v2#2"
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    assert set(os.listdir(door.path("run"))) == {"state.json", "swaps"}


# -- versions that the first config did not know --------------------------------------------------------------------


def test_kill_9_while_a_version_is_tried_that_was_added_later(prepare: Serve) -> None:
    door = prepare()
    door.write(config_of(v1=greeter()))
    door.start()
    backend = door.process("v1#1")["pid"]
    door.write(config_of(v1=greeter(), v2=greeter("--wait-for", "go")))
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    candidate = door.process("v2#2")["pid"]
    kill_door_process(door)

    assert swap.ended().returncode == 1
    until(lambda: candidate not in door.processes(), "the candidate is gone")
    assert door.connect().pid == backend
    door.touch("go")
    door.swap("v2")
    assert door.connect().generation == "v2#3"
    assert len(door.logged("door.restored")) == 1
    assert len(door.messages) == 1, "the keeper says it of every death"


# -- the bound of a stop --------------------------------------------------------------------------------------------

STARTS_WITH_OK = ["sh", "-c", 'test -e ok || exit 1; exec "$0" "$@"', *greeter()]
"""Crashes at each start, unless there is a file of that name."""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param({"command": greeter(), "restart": "never"}, id="not started again"),
        pytest.param({"command": STARTS_WITH_OK}, id="crashes again and again"),
    ],
)
def test_who_is_held_for_ever_does_not_hold_up_a_stop(prepare: Serve, backend: dict[str, Any]) -> None:
    door = prepare(backends={"*": backend}, limits={"hold_timeout": "never"}, drain={"shutdown_timeout": "1s"})
    door.touch("ok")
    door.start()
    os.unlink(door.path("ok"))
    last = door.connect()
    assert last.generation == "v1#1"
    last.say("exit 1")
    until(last.has_ended, "it has crashed")
    last.close()
    until(lambda: door.status()["streams"]["open"] == 0, "and its stream is counted")
    held = [door.connect() for _ in range(3)]
    until(lambda: door.status()["streams"]["open"] == len(held), "they are held")

    began = time.monotonic()
    door.signal(signal.SIGTERM)
    ledger = door.last_ledger()
    assert door.ends() == 0
    assert time.monotonic() - began < 5
    assert [client.hear() for client in held] == ["", "", ""]
    assert (ledger["accepted"], ledger["open"], ledger["ended"]["shutdown"]) == (4, 0, 3)


def test_who_goes_on_sending_does_not_hold_up_a_stop(serve: Serve) -> None:
    door = serve(drain={"shutdown_timeout": "1s"})
    client = door.connect()
    client.ask("hello")
    client.say("close")
    assert client.hear() == ""
    leave = threading.Event()

    def talk() -> None:
        try:
            while not leave.wait(0.02):
                client.say("and another thing")
        except OSError:
            pass  # it is cut at last

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        assert door.status()["streams"]["open"] == 1, "it says goodbye"
        began = time.monotonic()
        door.signal(signal.SIGTERM)
        assert door.ends() == 0
        assert time.monotonic() - began < 5
    finally:
        leave.set()
        talker.join()


# -- outcomes -------------------------------------------------------------------------------------------------------


def test_a_stop_that_cuts_a_drain_is_the_outcome_of_its_swap(serve: Serve) -> None:
    door = serve(drain={"shutdown_timeout": "500ms"})
    client = door.connect()
    assert client.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    door.signal(signal.SIGTERM)
    ended = swap.ended()
    assert ended.returncode == 6, ended
    assert "v2#2 is active; 1 stream of v1#1 had to be closed" in ended.stderr
    assert client.hear() == ""
    assert door.ends() == 0


def test_a_stop_goes_on_when_the_door_process_is_killed(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    until_protected(door, 1)
    stop = door.begin("stop")
    stop.shows("waiting for 1 stream")
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    until(lambda: len(door.logged("door.stopping")) == 2, "another one goes on with the stop")
    assert client.ask("may I finish?") == "may I finish?"
    assert not stop.has_ended()
    client.close()
    ended = stop.ended()
    assert ended.returncode == 0, ended
    assert door.ends() == 0


def outcome(door: Frontdoor, number: int) -> dict[str, Any]:
    """What who asks for the end of that swap is told."""
    with door.control.stream("GET", f"/v1/doors/{door.status()['name']}/swaps/{number}?wait=drained") as lines:
        *_, last = lines
    return last


def test_kill_9_after_a_swap_that_failed_does_not_change_its_outcome(anew: Serve) -> None:
    door = anew(backends={"bad": {"command": greeter("--say", "no database", "--exit", "3")}})
    assert door.run("swap", "bad").returncode == 4
    before = outcome(door, 1)
    assert (before["result"], before["exit_code"], before["output"]) == ("failed", 4, ["no database"])
    kill_door_process(door)
    assert {**outcome(door, 1), "time": 0} == {**before, "time": 0}


def test_kill_9_after_a_swap_that_was_drained_does_not_change_its_outcome(anew: Serve) -> None:
    door = anew()
    door.swap("v2", "--wait", "drained")
    before = outcome(door, 1)
    assert (before["result"], before["exit_code"]) == ("drained", 0)
    kill_door_process(door)
    assert {**outcome(door, 1), "time": 0} == {**before, "time": 0}


# -- candidates that cannot be started ------------------------------------------------------------------------------


def test_a_candidate_that_is_too_large_to_be_started(serve: Serve) -> None:
    door = serve()
    long = {f"N{number}": "{socket}" * 700 for number in range(10)}
    assert 10 * 700 * len(door.path("run/g2/0.sock")) > 128 * 1024, "more than fits into a message to the keeper"
    door.write(config(backends={"v2": {"command": greeter(), "env": long}}))
    assert os.path.getsize(door.path("config.toml")) < 64 * 1024
    failed = door.run("swap", "v2")
    assert failed.returncode == 4, failed
    assert "it could not be started: spawn: a message of" in failed.stderr
    assert door.connect().generation == "v1#1"
    door.swap("v3")
    assert door.connect().generation == "v3#3"


def test_a_candidate_whose_folder_cannot_be_made(serve: Serve) -> None:
    door = serve(backends={"v2": SLOW})
    door.write("in the way", "run/g2")
    began = time.monotonic()
    failed = door.run("swap", "v2")
    assert time.monotonic() - began < 10, "it does not wait for ready.deadline"
    assert failed.returncode == 4, failed
    assert f"its folder {door.path('run/g2')} cannot be made: File exists" in failed.stderr
    assert door.connect().generation == "v1#1"
    os.unlink(door.path("run/g2"))
    door.touch("go")
    door.swap("v2")
    assert door.connect().generation == "v2#3"
