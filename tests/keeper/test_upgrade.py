"""Two door processes: puppets, so that each failure comes at the moment when a test says so."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from frontdoor.keeper import wire
from keeper.stage import Puppet, Stage
from keeper.stage import stage as open_stage
from keeper.watching import alive, descriptors, until


def hurry(**times: float) -> str:
    """Python that sets the time limits of an upgrade."""
    return "from frontdoor.keeper import upgrade\n" + "".join(f"upgrade.{name} = {at}\n" for name, at in times.items())


class Two:
    """An upgrade under way: the old puppet has asked for it, and the new one has been started."""

    def __init__(self, stage: Stage, old: Puppet) -> None:
        self.stage = stage
        self.old = old
        self.asked = old.begin("upgrade")
        self.new = stage.enter()

    def ready(self, **said: Any) -> int:
        """The new one is ready, and says hello, which is not answered yet; its number."""
        self.new.ask("ready", version="9.9")
        assert self.old.answer(self.asked).body["ready"]
        self.old.hear_of("yield")
        return self.new.begin("hello", protocol=wire.PROTOCOL, **said)

    def hand_over(self) -> dict[str, list[wire.Message]]:
        """The old one has yielded, and the new one knows what is held."""
        hello = self.ready()
        assert not self.new.is_answered()
        self.old.say({"op": "yielded"})
        return self.new.greeted(hello)

    def goes_on(self) -> None:
        """The old one is as it was, and there is no other."""
        until(lambda: not alive(self.new.pid))
        assert self.old.ask("note", key="a", note=1).body.keys() == {"re"}
        self.stage.signal(signal.SIGHUP)
        assert self.old.hear_of("signal")["number"] == signal.SIGHUP
        assert self.stage.nobody_enters()
        assert Two(self.stage, self.old).hand_over(), "and another upgrade may work"


@pytest.fixture
def two(stage: Stage, door: Puppet) -> Two:
    return Two(stage, door)


# -- one that succeeds --------------------------------------------------------------------------------------------


def test_the_new_one_gets_all_that_is_held_and_then_the_old_one_is_killed(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000", note="mine")
    file = os.open("/etc/passwd", os.O_RDONLY)
    door.put(("file", {"n": 1}, [file]))
    two = Two(stage, door)
    door.ask("note", key="late", note="told while the new one was loading")
    held = two.hand_over()
    assert set(held) == {"output/child", "file", "late", "child"}
    assert held["child"][0].body["pid"] == pid
    assert os.fstat(held["file"][0].fds[0]).st_ino == os.fstat(file).st_ino
    assert alive(door.pid), "the new one has not served yet"

    assert two.new.ask("served").body.keys() == {"re"}
    until(lambda: not alive(door.pid))
    assert alive(pid)
    stage.signal(signal.SIGHUP)
    assert two.new.hear_of("signal")["number"] == signal.SIGHUP
    assert stage.nobody_enters()
    assert stage.errors == ""
    for fd in (output, file, *held["file"][0].fds, *held["output/child"][0].fds):
        os.close(fd)


def test_the_one_that_asked_is_told_who_is_ready(two: Two) -> None:
    two.new.ask("ready", version="9.9")
    body = two.old.answer(two.asked).body
    assert (body["ready"], body["version"], body["pid"]) == (True, "9.9", two.new.pid)


def test_one_after_the_other(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    for _ in range(3):
        two = Two(stage, door)
        two.hand_over()
        two.new.ask("served")
        old, door = door.pid, two.new
        until(lambda pid=old: not os.path.exists(f"/proc/{pid}"), "that it is reaped")  # type: ignore[misc]
        door.say({"op": "note", "key": "a"})
        assert door.ask("note", key="a").body.keys() == {"re"}
    until(lambda: len(descriptors(stage.pid)) <= len(before) + 1)  # the puppet's stderr still ends with the keeper


def test_afterwards_a_death_is_a_death_as_ever(two: Two) -> None:
    two.hand_over()
    two.new.ask("served")
    two.new.die()
    third = two.stage.enter()
    third.greet()
    assert "the door process ended (signal 9) and is started again" in two.stage.errors


def test_what_a_good_one_says_on_stderr_is_not_swallowed(two: Two) -> None:
    two.hand_over()
    two.new.ask("served")
    two.new.leave(3, "a warning\n")
    until(lambda: "a warning\n" in two.stage.errors)


# -- whose turn it is ---------------------------------------------------------------------------------------------


def test_a_new_one_can_do_nothing_before_it_is_its_turn(two: Two) -> None:
    for op, fields in (("drop", {"keys": ["a"]}), ("note", {"key": "a"}), ("served", {}), ("bye", {"code": 0})):
        assert "another door process serves" in two.new.ask(op, **fields).body["error"] or op == "bye"
    assert two.new.ask("upgrade").body["errno"], "nor ask for another one"
    two.hand_over()
    assert "it has not served" in two.new.ask("bye", code=0).body["error"]
    two.new.ask("served")
    two.new.say({"op": "bye", "code": 6})
    two.new.leave(0)
    assert two.stage.ended() == 6


def test_one_that_stands_still_is_told_afterwards_what_has_happened(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000")
    two = Two(stage, door)
    two.hand_over()
    os.kill(pid, signal.SIGKILL)
    assert two.new.hear_of("exited")["status"] == -9
    stage.signal(signal.SIGHUP)
    door.say({"op": "note", "key": "too late", "id": 77})
    assert not door.is_answered()
    two.new.die()
    ops = [door.hear().body for _ in range(4)]
    assert [body.get("op") for body in ops[:2]] == ["exited", "resume"]
    # The signal and the message have come by two ways: which of them is looked at first is nobody's promise.
    assert {(body.get("op"), body.get("re")) for body in ops[2:]} == {("signal", None), (None, 77)}
    os.close(output)


def test_a_signal_while_the_old_one_yields_is_for_the_one_that_goes_on(two: Two) -> None:
    hello = two.ready()
    two.stage.signal(signal.SIGTERM)
    two.old.say({"op": "yielded"})
    two.new.greeted(hello)
    two.new.ask("served")
    assert two.new.hear_of("signal")["number"] == signal.SIGTERM
    two.new.ask("note", key="a")
    assert not two.new.heard, "once"


def test_a_second_upgrade_is_refused(two: Two) -> None:
    body = two.old.ask("upgrade").body
    assert "another upgrade is under way" in body["error"]
    two.hand_over()
    two.new.ask("served")


def test_one_that_does_not_serve_yet_cannot_be_upgraded(stage: Stage) -> None:
    door = stage.enter()
    door.greet()
    assert "does not serve yet" in door.ask("upgrade").body["error"]


# -- each failure leaves the old one ------------------------------------------------------------------------------


def test_a_new_one_that_exits_before_it_is_ready(two: Two) -> None:
    two.new.leave(1, "Traceback (most recent call last):\nSyntaxError: invalid syntax\n")
    body = two.old.answer(two.asked).body
    assert body["why"] == "the new door process ended (exit code 1) before it was ready"
    assert body["output"] == ["Traceback (most recent call last):", "SyntaxError: invalid syntax"]
    assert "SyntaxError" not in two.stage.errors, "the old one's log has it"
    two.goes_on()


def test_only_the_last_of_many_words(two: Two) -> None:
    two.new.leave(1, "".join(f"line {number}\n" for number in range(200)))
    output = two.old.answer(two.asked).body["output"]
    assert (len(output), output[-1]) == (20, "line 199")


def test_a_new_one_that_is_killed_before_it_is_ready(two: Two) -> None:
    two.new.die()
    assert "(signal 9) before it was ready" in two.old.answer(two.asked).body["why"]
    two.goes_on()


def test_a_new_one_that_hangs_up_before_it_is_ready(two: Two) -> None:
    two.new.wire.close()
    assert "(signal 9) before it was ready" in two.old.answer(two.asked).body["why"]


def test_a_new_one_that_never_becomes_ready() -> None:
    with open_stage(hurry=hurry(READY_WITHIN=2)) as stage:
        two = in_service(stage)
        assert two.old.answer(two.asked).body["why"] == "the new door process was not ready within 2 s"
        until(lambda: not alive(two.new.pid))


def test_an_old_one_that_does_not_yield() -> None:
    with open_stage(hurry=hurry(SERVED_WITHIN=0.2)) as stage:
        two = in_service(stage)
        two.ready()
        assert two.old.hear_of("resume")["why"] == "the old door process did not yield within 0.2 s"
        assert two.old.ask("yielded").body.keys() == {"re"}, "too late, and nothing follows"
        until(lambda: not alive(two.new.pid))
        assert two.old.ask("note", key="a").body.keys() == {"re"}


def test_an_old_one_that_says_that_it_cannot(two: Two) -> None:
    two.ready()
    two.old.ask("yielded", error="frontdoor is being stopped")
    assert two.old.hear_of("resume")["why"] == "frontdoor is being stopped"
    two.goes_on()


@pytest.mark.parametrize("greets", [False, True])
def test_a_new_one_that_dies_after_the_old_one_has_yielded(two: Two, greets: bool) -> None:
    if greets:
        two.hand_over()
    else:
        two.new.ask("ready")
        two.old.hear_of("yield")
        two.old.say({"op": "yielded"})
    two.new.die()
    assert two.old.hear_of("resume")["why"] == "the new door process ended (signal 9) before it served"
    two.goes_on()


def test_a_new_one_that_says_why_it_dies(two: Two) -> None:
    two.hand_over()
    two.new.leave(1, "KeyError: 'lock'\n")
    assert two.old.hear_of("resume")["output"] == ["KeyError: 'lock'"]


def test_a_new_one_that_never_serves() -> None:
    with open_stage(hurry=hurry(SERVED_WITHIN=0.3)) as stage:
        two = in_service(stage)
        two.hand_over()
        assert two.old.hear_of("resume")["why"] == "the new door process did not serve within 0.3 s"
        until(lambda: not alive(two.new.pid))
        assert two.old.ask("note", key="a").body.keys() == {"re"}


def test_a_new_one_that_speaks_another_protocol(two: Two) -> None:
    two.new.ask("ready")
    hello = two.new.begin("hello", protocol=99)
    two.old.hear_of("yield")
    two.old.say({"op": "yielded"})
    assert "protocol" in two.new.answer(hello).body["error"]
    two.new.leave(1)
    two.old.hear_of("resume")
    two.goes_on()


def test_there_is_no_program_any_more(stage: Stage, door: Puppet) -> None:
    os.rename(f"{stage.folder}/puppet", f"{stage.folder}/gone")
    before = descriptors(stage.pid)
    assert "command not found" in door.ask("upgrade").body["error"]
    assert descriptors(stage.pid) == before
    assert door.ask("note", key="a").body.keys() == {"re"}


def test_a_failed_upgrade_leaves_nothing_open(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    for _ in range(3):
        two = Two(stage, door)
        read, write = os.pipe()
        two.new.say({"op": "hello", "protocol": wire.PROTOCOL}, [read, write])
        two.new.leave(1, "oops")
        door.answer(two.asked)
        assert len(descriptors(stage.pid)) == len(before)
        os.close(read)
        os.close(write)


# -- the old one dies meanwhile -----------------------------------------------------------------------------------


def test_the_old_one_dies_before_the_new_one_is_ready(two: Two) -> None:
    two.old.die()
    third = two.stage.enter()
    assert not alive(two.new.pid), "a start as after any other death"
    third.greet()
    assert third.ask("note", key="a").body.keys() == {"re"}


@pytest.mark.parametrize("yielded", [False, True])
@pytest.mark.parametrize("greets", [False, True])
def test_the_old_one_dies_when_the_new_one_is_ready(two: Two, yielded: bool, greets: bool) -> None:
    two.old.ask("note", key="mine", note=1)
    hello = two.ready() if greets else None
    if hello is None:
        two.new.ask("ready")
        two.old.hear_of("yield")
    two.old.say({"op": "note", "key": "last words", "note": 2})
    if yielded:
        two.old.say({"op": "yielded"})
    two.old.die()
    held = two.new.greet() if hello is None else two.new.greeted(hello)
    assert {key: messages[0].body["note"] for key, messages in held.items()} == {"mine": 1, "last words": 2}
    two.new.ask("served")
    assert two.stage.nobody_enters()
    assert "started again" not in two.stage.errors


def test_both_die(two: Two) -> None:
    two.hand_over()
    os.kill(two.old.pid, signal.SIGKILL)
    two.new.die()
    third = two.stage.enter()
    third.greet()
    third.ask("served")


def test_a_stop_outlives_an_old_one_that_dies(two: Two) -> None:
    two.stage.signal(signal.SIGTERM)
    two.old.hear_of("signal")
    hello = two.ready()
    two.old.die()
    two.new.greeted(hello)
    assert two.new.hear_of("signal")["number"] == signal.SIGTERM


def test_the_old_one_leaves_on_purpose(two: Two) -> None:
    two.ready()
    two.old.say({"op": "bye", "code": 4})
    two.old.leave(0)
    assert two.stage.ended() == 4
    until(lambda: not alive(two.new.pid))


def test_a_third_stop_ends_both(two: Two) -> None:
    two.hand_over()
    for _ in range(3):
        two.stage.signal(signal.SIGTERM)
        until(lambda: not any_pending(two.stage.pid))
    assert two.stage.ended() == 1
    until(lambda: not alive(two.old.pid) and not alive(two.new.pid))


def test_when_the_keeper_dies_both_do(two: Two) -> None:
    two.hand_over()
    two.stage.keeper.kill()
    until(lambda: not alive(two.old.pid) and not alive(two.new.pid))


def any_pending(pid: int) -> bool:
    """Whether the kernel has a signal for the process that it has not taken yet."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return any(int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd")))
    except OSError:
        return False


def in_service(stage: Stage) -> Two:
    door = stage.enter()
    door.greet()
    door.ask("served")
    return Two(stage, door)
