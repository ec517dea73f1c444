"""frontdoor as PID 1: in a PID namespace of its own, as in a container."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest

from e2e.harness import Frontdoor, greeter, until
from keeper.watching import children, has_zombies, stat

Prepare = Callable[..., Frontdoor]

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not _may_unshare(), reason="this machine allows no PID namespace: unshare --pid --fork")

ORPHANS = ["sh", "-c", '(setsid sh -c "sleep 0.1" &); exec "$@"', "sh"]
"""Leaves a process that nobody but PID 1 can reap."""


def contain(door: Frontdoor) -> int:
    """Start it as PID 1; its number out here."""
    door.start(*UNSHARE)
    (pid,) = children(door.pid)
    assert door.status()["pid"] == 1
    return pid


def test_it_serves_survives_a_crash_and_is_upgraded(prepare: Prepare) -> None:
    door = prepare()
    pid = contain(door)
    client = door.connect()
    assert client.generation == "v1#1"
    until(lambda: door.status()["vault"]["streams"], "the stream is protected")
    inside = door.status()["door_pid"]
    (outside,) = [child for child in children(pid) if "frontdoor.door" in door.processes().get(child, "")]
    assert inside != outside
    os.kill(outside, signal.SIGKILL)
    until(lambda: door.connect().generation == "v1#1", "it serves again")
    upgraded = door.run("upgrade")
    assert upgraded.returncode == 0, upgraded
    assert door.status()["pid"] == 1
    assert client.ask("still here")
    door.hang_up()
    os.kill(pid, signal.SIGTERM)
    assert door.ends() == 0


def test_orphans_are_reaped(prepare: Prepare) -> None:
    door = prepare(backends={"*": {"command": [*ORPHANS, *greeter()]}})
    pid = contain(door)
    until(lambda: not any(stat(child)[1] == "sleep" for child in children(pid)), "the orphan has ended")
    until(lambda: not has_zombies(pid), "and was reaped")
    os.kill(pid, signal.SIGTERM)
    assert door.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_pid_1_would_not_get_by_default_stops_it(prepare: Prepare, number: int) -> None:
    door = prepare()
    pid = contain(door)
    os.kill(pid, number)
    assert door.ends() == 0


def test_its_end_is_the_end_of_all(prepare: Prepare) -> None:
    door = prepare()
    pid = contain(door)
    os.kill(pid, signal.SIGKILL)
    assert door.ends() != 0  # and looks that none of its processes is left
