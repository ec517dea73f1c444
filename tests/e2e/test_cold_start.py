"""After a crash clients wait until another door process has started: for how long, and what they need not wait for."""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.harness import Client, Frontdoor, until
from e2e.test_door_process import cpu

Serve = Callable[..., Frontdoor]

TIMES = 5
GAP = 1.0
"""Seconds that a client may wait after a crash."""


@pytest.fixture
def place() -> Iterator[str]:
    """A folder in front of all others that Python looks for modules in."""
    with tempfile.TemporaryDirectory() as path:
        yield path


def protected(door: Frontdoor) -> Client:
    """A client that lives through a crash."""
    client = door.connect()
    assert client.ask("hello") == "hello"
    until(lambda: door.status()["vault"]["streams"] >= 1, "the stream is protected")
    return client


def kill_9(door: Frontdoor) -> int:
    """Kill the door process; its pid."""
    killed = int(door.status()["door_pid"])
    os.kill(killed, signal.SIGKILL)
    return killed


def successor(door: Frontdoor, killed: int) -> int:
    """The pid of the door process that is there now."""
    (pid,) = [pid for pid, command in door.processes().items() if "frontdoor.door" in command and pid != killed]
    return pid


def delay(pid: int) -> float:
    """Seconds for which it could have run, and another process did (Documentation/scheduler/sched-stats.rst)."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


def shown(seconds: list[float]) -> str:
    return ", ".join(f"{each * 1000:.0f}" for each in seconds)


@pytest.mark.alone
def test_a_client_waits_for_less_than_a_second(serve: Serve) -> None:
    door = serve()
    client = protected(door)
    seen, own, work = list[float](), list[float](), list[float]()
    for _ in range(TIMES):
        killed = kill_9(door)
        began = time.monotonic()
        assert client.ask("and now?") == "and now?"
        seen.append(time.monotonic() - began)
        pid = successor(door, killed)
        own.append(seen[-1] - delay(pid))
        work.append(cpu(pid))
        assert door.status()["door_pid"] == pid
    print(
        f"an echo after kill -9 takes {shown(seen)} ms, of which others had the processors for all but {shown(own)} ms;"
    )
    print(f"up to then the new door process works for {shown(work)} ms")
    assert statistics.median(own) < GAP


def test_what_is_compiled_once_is_not_compiled_again(prepare: Serve, place: str) -> None:
    """There are no .pyc files, nor may any be written: as where an installer does not compile, and root owns all."""
    door = prepare().launch(PYTHONPYCACHEPREFIX=place, PYTHONDONTWRITEBYTECODE="1")
    until(door._serves, "all is compiled, and it serves", within=60)
    first = cpu(door.status()["door_pid"])
    client = protected(door)
    killed = kill_9(door)
    assert client.ask("and now?") == "and now?"
    then = cpu(successor(door, killed))
    print(f"a first start takes {first:.2f} s of CPU; up to its first byte, one after a crash takes {then:.2f} s")
    assert then < first / 2

    assert door.run("upgrade").returncode == 0
    killed = kill_9(door)
    assert client.ask("and now?") == "and now?"
    later = cpu(successor(door, killed))
    print(f"after an upgrade, with which the keeper has renewed itself, it takes {later:.2f} s")
    assert later < first / 2
    assert os.listdir(place) == []


def test_traffic_goes_on_when_a_library_of_the_control_api_is_gone(prepare: Serve, place: str) -> None:
    """An installer is in the midst of replacing it, or has failed to."""
    door = prepare().start(PYTHONPATH=place)
    client = protected(door)
    broken = os.path.join(place, "hypercorn.py")
    with open(broken, "w") as file:
        file.write("raise ImportError('half of it is not there')")
    killed = kill_9(door)
    assert client.ask("still here?") == "still here?"
    said = door.logs("control.unavailable", level="error")
    assert said["error"] == "ImportError: half of it is not there"
    assert "traffic goes on" in said["reason"]
    assert door.connect().generation == "v1#1", "who comes now is served, too"

    os.unlink(broken)
    door.logs("control.available")
    status = door.status()
    assert status["door_pid"] == successor(door, killed)
    assert status["streams"]["open"] == 2
    assert client.ask("all is well?") == "all is well?"
    assert door.run("swap", "v2").returncode == 0
    assert len(door.logged("control.unavailable")) == 1


def test_a_first_start_without_a_library_of_the_control_api_is_refused(prepare: Serve, place: str) -> None:
    """Nobody waits yet: somebody who looks on should see what is wrong."""
    with open(os.path.join(place, "hypercorn.py"), "w") as file:
        file.write("raise ImportError('half of it is not there')")
    door = prepare().launch(PYTHONPATH=place)
    door.excused.add("Traceback")
    assert door.ends() == 1
    assert "frontdoor: the code cannot be loaded: ImportError: half of it is not there" in door.messages
