"""A hang is a crash: the keeper asks, and puppets answer, or do not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keeper.stage import Puppet, Stage
from keeper.stage import stage as open_stage
from keeper.test_upgrade import Two
from keeper.watching import alive, stat, until

TIMEOUT = 0.4
CLK_TCK = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def hasty() -> Iterator[Stage]:
    """A keeper that gives a door process 0.4 s, also for its start."""
    with open_stage(hurry=f"from frontdoor.keeper import pulse; pulse.TIMEOUT = {TIMEOUT}\n") as it:
        yield it


def serve(stage: Stage, **pulse: Any) -> Puppet:
    puppet = stage.enter()
    puppet.greet()
    puppet.ask("served")
    if pulse:
        assert puppet.ask("pulse", **pulse).body.keys() == {"re"}
    return puppet


def answer(puppet: Puppet, seconds: float) -> int:
    """Answer whatever is asked, for a while; how often that was."""
    count, until_then = 0, time.monotonic() + seconds
    while time.monotonic() < until_then:
        if puppet.is_answered():
            assert puppet.hear().body == {"op": "ping"}
            puppet.say({"op": "pong"})
            count += 1
        time.sleep(0.005)
    return count


def test_who_answers_lives(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    asked = answer(door, 3 * TIMEOUT)
    assert 1 <= asked <= 12, "a quarter of the time apart"
    assert alive(door.pid)
    assert stage.errors == ""


def test_who_does_not_answer_is_killed_and_the_next_one_has_everything(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    door.ask("note", key="a", note=1)
    began = time.monotonic()
    second = stage.enter()
    assert time.monotonic() - began >= TIMEOUT
    assert not alive(door.pid)
    held = second.greet()
    assert set(held) == {"a"}
    said, ended = stage.errors.splitlines()
    assert said.startswith("frontdoor: the door process has not answered for 0."), said
    assert said.endswith(" s: it is killed")
    assert "the door process ended (killed, for it had not answered for 0." in ended
    assert stage.nobody_enters()


def test_whatever_it_says_is_an_answer(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    for _ in range(12):
        time.sleep(TIMEOUT / 4)
        door.say({"op": "note", "key": "a"})
    assert alive(door.pid)


def test_before_anything_was_served_it_has_all_the_time(hasty: Stage) -> None:
    """There is nothing to restore, and who waits for the start of frontdoor has a limit of his own."""
    door = hasty.enter()
    door.greet()
    time.sleep(3 * TIMEOUT)
    door.ask("served")
    assert not hasty.errors


def started(pid: int) -> float:
    """When the kernel says that it was, in seconds from boot: when the test hears of it is later, on a busy machine."""
    return int(stat(pid)[21]) / CLK_TCK


def test_a_start_after_a_crash_that_hangs_is_killed_and_the_next_one_has_longer(hasty: Stage) -> None:
    serve(hasty).die()
    hung = hasty.enter()
    first = started(hung.pid)
    longer = hasty.enter()
    second = started(longer.pid)
    assert not alive(hung.pid)
    third = started(hasty.enter().pid)
    assert not alive(longer.pid)
    assert second - first >= TIMEOUT - 2 / CLK_TCK
    assert third - second >= 2 * TIMEOUT - 2 / CLK_TCK


def test_never_is_never(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    door.ask("pulse", timeout=None)
    time.sleep(3 * TIMEOUT)
    assert alive(door.pid)


@pytest.mark.parametrize("timeout", [0, -1, "soon", [], float("nan")])
def test_a_time_that_is_none_is_refused(stage: Stage, timeout: object) -> None:
    door = serve(stage)
    assert "no time to wait" in door.ask("pulse", timeout=timeout).body["error"]


def test_one_that_stands_still_in_an_upgrade_is_not_judged(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    two = Two(stage, door)
    with talking(door):  # it takes a while until the new one may be ready
        hello = two.ready()
    door.say({"op": "yielded"})
    two.new.greeted(hello)
    time.sleep(3 * TIMEOUT)
    assert alive(door.pid)
    assert not door.is_answered(), "nor asked"
    two.new.die()
    assert door.hear_of("resume")
    answer(door, TIMEOUT)
    assert alive(door.pid), "and it begins anew when it goes on"
    began = time.monotonic()
    until(lambda: not alive(door.pid), "but then it must answer")
    assert time.monotonic() - began >= TIMEOUT / 2


def test_the_new_one_must_answer_as_soon_as_it_serves(stage: Stage) -> None:
    two = Two(stage, serve(stage))
    two.hand_over()
    two.new.ask("pulse", timeout=TIMEOUT)
    two.new.ask("served")
    assert two.new.hear_of("ping")
    until(lambda: not alive(two.new.pid))


def test_one_that_hangs_while_the_keeper_is_stopped_is_not_killed_for_that(stage: Stage) -> None:
    """Both were stopped, as a container is: the keeper comes back first, and the other one has had no time."""
    door = serve(stage, timeout=TIMEOUT)
    assert door.hear_of("ping")
    stage.signal(signal.SIGSTOP)
    until(lambda: stopped(stage.pid))
    time.sleep(3 * TIMEOUT)
    stage.signal(signal.SIGCONT)
    time.sleep(TIMEOUT / 4)
    assert alive(door.pid)
    door.say({"op": "pong"})
    assert door.hear_of("ping")
    answer(door, TIMEOUT)
    assert alive(door.pid)


def test_what_has_come_while_the_keeper_was_stopped_is_read_before_the_verdict(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    assert door.hear_of("ping")
    time.sleep(0.8 * TIMEOUT)  # one more quarter, and it is dead
    stage.signal(signal.SIGSTOP)
    until(lambda: stopped(stage.pid))
    door.say({"op": "pong"})
    time.sleep(TIMEOUT)
    stage.signal(signal.SIGCONT)
    answer(door, TIMEOUT)
    assert alive(door.pid)
    assert stage.errors == ""


def test_one_that_is_stopped_is_killed(stage: Stage) -> None:
    door = serve(stage, timeout=TIMEOUT)
    os.kill(door.pid, signal.SIGSTOP)
    stage.enter()
    assert not alive(door.pid)


@contextmanager
def talking(puppet: Puppet) -> Iterator[None]:
    """It has something to say all the time, meanwhile."""
    enough = threading.Event()

    def talk() -> None:
        while not enough.wait(TIMEOUT / 10):
            puppet.say({"op": "pong"})

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"
