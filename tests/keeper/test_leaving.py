"""A door process that was replaced, and finishes what it has: puppets, so that each moment is the test's."""

from __future__ import annotations

import os
import signal

import pytest

from frontdoor import __version__
from keeper.stage import Puppet, Stage
from keeper.stage import stage as open_stage
from keeper.test_hang import TIMEOUT, answer
from keeper.test_upgrade import Two
from keeper.watching import alive, descriptors, until


def replaced(stage: Stage, door: Puppet) -> Puppet:
    """``door`` is upgraded, and stays; the one that serves now."""
    two = Two(stage, door)
    hello = two.ready()
    door.say({"op": "yielded", "stays": True})
    two.new.greeted(hello)
    assert not door.is_answered(), "it stands still until the new one serves"
    two.new.ask("served")
    assert door.hear().body == {"op": "leave"}
    return two.new


def reaped(pid: int) -> None:
    until(lambda: not os.path.exists(f"/proc/{pid}"), "that it is reaped")


def test_one_that_stays_is_told_to_leave_and_ends_when_it_has_finished(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    new = replaced(stage, door)
    new.ask("note", key="a", note=1)
    assert alive(door.pid)
    door.leave(0)
    reaped(door.pid)
    assert stage.nobody_enters()
    assert stage.errors == ""
    until(lambda: len(descriptors(stage.pid)) <= len(before) + 1)  # the new one's stderr still ends with the keeper


def test_one_that_does_not_say_so_is_killed(stage: Stage, door: Puppet) -> None:
    two = Two(stage, door)
    hello = two.ready()
    door.say({"op": "yielded", "stays": 1})
    two.new.greeted(hello)
    two.new.ask("served")
    reaped(door.pid)


def test_it_is_told_nothing_and_asks_nothing(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000")
    two = Two(stage, door)
    hello = two.ready()
    door.say({"op": "yielded", "stays": True})
    two.new.greeted(hello)
    os.kill(pid, signal.SIGKILL)
    assert two.new.hear_of("exited")["status"] == -9
    two.new.ask("served")
    assert door.hear().body == {"op": "leave"}, "and not of what has happened while it stood still"
    stage.signal(signal.SIGHUP)
    assert two.new.hear_of("signal")["number"] == signal.SIGHUP
    for op, fields in (("note", {"key": "a"}), ("bye", {"code": 3}), ("upgrade", {}), ("served", {}), ("put", {})):
        assert door.ask(op, **fields).body["error"] == "another door process serves"
    assert not door.heard
    two.new.die()
    assert set(stage.enter().greet()) == {"child", "output/child"}, "it has left no note"
    os.close(output)


def test_its_end_is_no_crash_however_it_ends(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    door.die()
    reaped(door.pid)
    until(lambda: "ended (signal 9): what it still had to finish is lost" in stage.errors)
    assert new.ask("note", key="a").body.keys() == {"re"}
    assert stage.nobody_enters()
    assert "started again" not in stage.errors


def test_it_outlives_the_one_that_has_replaced_it(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    new.die()
    third = stage.enter()
    third.greet()
    third.ask("served")
    assert alive(door.pid)
    door.leave(0)
    reaped(door.pid)
    assert third.ask("note", key="a").body.keys() == {"re"}


def test_two_of_them(stage: Stage, door: Puppet) -> None:
    second = replaced(stage, door)
    third = replaced(stage, second)
    for each in (second, door):
        assert alive(each.pid)
        each.leave(0)
        reaped(each.pid)
    assert third.ask("note", key="a").body.keys() == {"re"}


def test_of_too_many_another_upgrade_is_refused_until_one_has_ended() -> None:
    with open_stage(hurry="from frontdoor.keeper import leaving; leaving.MOST = 1\n") as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        new = replaced(stage, door)
        assert "earlier door processes still finish requests" in new.ask("upgrade").body["error"]
        door.leave(0)
        reaped(door.pid)
        replaced(stage, new)


@pytest.mark.parametrize("resumes", [True, False])
def test_when_the_new_one_fails_it_goes_on_and_does_not_leave(stage: Stage, door: Puppet, resumes: bool) -> None:
    two = Two(stage, door)
    hello = two.ready()
    door.say({"op": "yielded", "stays": True})
    two.new.greeted(hello)
    if resumes:
        two.new.die()
        assert "ended (signal 9)" in door.hear_of("resume")["why"]
        two.goes_on()
    else:
        door.die()
        two.new.ask("served")
        assert alive(two.new.pid)
        assert "is lost" not in stage.errors, "it has died before it was told to finish anything"


def test_everything_ends_with_the_keeper(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    new.say({"op": "bye", "code": 5})
    new.leave(0)
    assert stage.ended() == 5
    until(lambda: not alive(door.pid))


def test_a_third_stop_ends_it_too(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    for _ in range(2):
        stage.signal(signal.SIGTERM)
        new.hear_of("signal")
    stage.signal(signal.SIGTERM)
    assert stage.ended() == 1
    until(lambda: not alive(door.pid))


def test_one_that_hangs_is_killed_and_one_that_answers_is_not(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    door.ask("pulse", timeout=TIMEOUT)
    assert answer(door, 3 * TIMEOUT) >= 1
    assert alive(door.pid)
    reaped(door.pid)
    assert "has not answered for 0." in stage.errors
    assert new.ask("note", key="a").body.keys() == {"re"}
    assert stage.nobody_enters()


def test_it_outlives_a_renewal_of_the_keeper(stage: Stage, door: Puppet) -> None:
    new = replaced(stage, door)
    assert new.ask("renew").body["version"] == __version__
    door.ask("pulse", timeout=TIMEOUT)
    assert answer(door, 3 * TIMEOUT) >= 1, "it is still asked, by the new code"
    third = replaced(stage, new)
    door.leave(0)
    reaped(door.pid)
    assert third.ask("note", key="a").body.keys() == {"re"}
    assert "is lost" not in stage.errors


def test_two_of_them_outlive_a_renewal(stage: Stage, door: Puppet) -> None:
    """Numbers of descriptors that are free in the trial of the new code are those of the wires."""
    second = replaced(stage, door)
    third = replaced(stage, second)
    assert third.ask("renew").body["version"] == __version__
    for each in (door, second):
        assert alive(each.pid)
        each.leave(0)
        reaped(each.pid)
