"""A door process that hangs is killed, and everything goes on with the next one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.crowded import backends, door_pid, door_processes
from e2e.harness import Frontdoor, until
from e2e.shared import Shared

Prepare = Callable[..., Frontdoor]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with closing(Shared(frontdoor={"hang_timeout": "1s", "protect_after": "100ms"})) as frontdoor:
        yield frontdoor


@pytest.fixture
def door(anew: Prepare) -> Frontdoor:
    return anew()


def protected(door: Frontdoor, count: int) -> None:
    until(lambda: door.status()["vault"]["streams"] == count, f"{count} streams are protected")


def test_one_that_is_stopped_is_replaced_and_its_streams_go_on(door: Frontdoor) -> None:
    client, before, hangs = door.connect(), backends(door), door_pid(door)
    assert client.ask("hello") == "hello"
    protected(door, 1)
    began = time.monotonic()
    os.kill(hangs, signal.SIGSTOP)
    assert client.ask("are you there?") == "are you there?"
    print(f"answered {time.monotonic() - began:.2f} s after it was stopped, with hang_timeout = 1s")
    assert hangs not in door_processes(door)
    assert "frontdoor: the door process has not answered for 1." in door.log_text
    assert door.logs("door_process.died")["reason"].startswith("killed, for it had not answered for 1.")
    assert backends(door) == before
    assert door.status()["streams"]["ended"] == {}


def test_one_that_answers_is_left_alone_while_it_idles(door: Frontdoor) -> None:
    pid = door_pid(door)
    time.sleep(3)
    assert (door_pid(door), door.messages) == (pid, [])


def test_when_all_of_it_was_stopped_nobody_is_killed(door: Frontdoor) -> None:
    """As in a container that is frozen, or with Ctrl-Z."""
    client, pid = door.connect(), door_pid(door)
    assert client.ask("hello") == "hello"
    both = (pid, door.pid)
    for process in both:
        os.kill(process, signal.SIGSTOP)
    time.sleep(3)
    for process in reversed(both):  # the keeper is back first
        os.kill(process, signal.SIGCONT)
    assert client.ask("still there?") == "still there?"
    time.sleep(1.5)
    assert door_pid(door) == pid


def test_both_keys_hold_from_a_reload_on(prepare: Prepare) -> None:
    changes = {"frontdoor": {"hang_timeout": "never", "protect_after": "1000s"}}
    door = prepare(**changes).start()
    client, pid = door.connect(), door_pid(door)
    assert client.ask("hello") == "hello"
    time.sleep(1.6)  # the default has passed
    assert door.status()["vault"]["streams"] == 0
    with open(door.path("config.toml")) as file:
        text = file.read()
    door.write(text.replace('"never"', '"1s"').replace('"1000s"', '"100ms"'))
    reloaded = door.run("reload")
    assert reloaded.returncode == 0, reloaded
    assert "frontdoor.hang_timeout, frontdoor.protect_after" in reloaded.stdout + reloaded.stderr
    protected(door, 1)
    os.kill(pid, signal.SIGSTOP)
    assert client.ask("are you there?") == "are you there?"
    assert door_pid(door) != pid
