"""Whatever comes from outside, the keeper goes on: its end is the end of everything."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import Any

import pytest

from frontdoor.keeper import wire
from frontdoor.keeper.children import Child, Children
from frontdoor.keeper.custody import Custody
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.renewal import Renewal, Trial
from frontdoor.keeper.signals import Signals
from frontdoor.keeper.succession import Succession
from frontdoor.keeper.upgrade import Step, Upgrade
from keeper.stage import Puppet, Stage
from keeper.stage import stage as open_stage
from keeper.test_renewal import install
from keeper.test_upgrade import Two
from keeper.watching import alive, descriptors, stat, until


def goes_on(stage: Stage, door: Puppet) -> None:
    assert door.ask("note", key="a", note=1).body.keys() == {"re"}
    assert stage.keeper.poll() is None
    assert alive(door.pid)
    assert "Traceback" not in stage.errors


# -- answers that do not fit into a message ---------------------------------------------------------------------------


def test_a_put_that_is_refused_and_has_no_room_to_be_named(stage: Stage, door: Puppet) -> None:
    """The words about it are longer than it is."""
    door.say(b'{"op":"put","entries":[["' + b"x" * (wire.MAX_BYTES - 40) + b'"]]}')
    goes_on(stage, door)


def test_words_in_another_encoding_are_garbage(stage: Stage, door: Puppet) -> None:
    """json(3) takes UTF-16, in which there are fewer bytes of some characters than in the answer to them."""
    names = [f"{number:03}" + "\u20ac" * 700 for number in range(90)]
    for name in names:
        door.ask("note", key=name)
    request = '{"op":"drop","id":7,"keys":["' + '","'.join(names) + '"]}'
    door.say(request.encode("utf-16-le"))
    goes_on(stage, door)


def test_an_answer_that_does_not_fit_is_a_refusal(stage: Stage, door: Puppet) -> None:
    two = Two(stage, door)
    two.new.say(b'{"op":"ready","version":"' + b"x" * (wire.MAX_BYTES - 40) + b'"}')
    body = door.answer(two.asked).body
    assert "more than" in body["error"]
    goes_on(stage, door)


def test_a_trial_that_prints_what_is_no_text(stage: Stage, door: Puppet) -> None:
    install(stage, "import os; os.write(2, bytes([255, 0]) * 30_000); os._exit(1)\n")
    answer = door.ask("renew").body
    assert "(exit code 1)" in answer["error"]
    assert answer["output"]
    goes_on(stage, door)


# -- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [10**400, 1e300, 1e10, 400 * 86400])
def test_a_time_that_is_longer_than_any_clock(stage: Stage, door: Puppet, timeout: float) -> None:
    door.ask("pulse", timeout=timeout)
    until(lambda: stat(stage.pid)[2] == "S", "that it waits for what comes next")
    goes_on(stage, door)


# -- what never ends --------------------------------------------------------------------------------------------------


def test_a_signal_is_heard_while_the_door_process_talks_and_talks(stage: Stage, door: Puppet) -> None:
    """The keeper finds hundreds of messages and a signal: it does not read all of them before that."""
    stage.signal(signal.SIGSTOP)
    until(lambda: stat(stage.pid)[2] == "T")
    for number in range(200):
        door.say({"op": "note", "key": "a", "note": number})
    last = door.begin("note", key="a", note="the last one")
    stage.signal(signal.SIGHUP)
    stage.signal(signal.SIGCONT)
    assert door.hear().body == {"op": "signal", "number": signal.SIGHUP}
    assert door.hear().body == {"re": last}


def test_last_words_are_heard_however_many_they_are(stage: Stage, door: Puppet) -> None:
    stage.signal(signal.SIGSTOP)
    until(lambda: stat(stage.pid)[2] == "T")
    for number in range(200):
        door.say({"op": "note", "key": "a", "note": number})
    door.die()
    stage.signal(signal.SIGCONT)
    assert stage.enter().greet()["a"][0].body["note"] == 199


def test_one_that_prints_without_end_does_not_hold_up_the_one_that_serves(stage: Stage, door: Puppet) -> None:
    """A new door process, in an upgrade: its stderr ends here."""
    read, write = os.pipe()
    told = DoorProcess(os.getpid(), None, read)
    os.set_blocking(read, False)
    with _Noise(read, write) as noise:
        told.listen()
        assert noise.reads < 1000, "it reads on and on"
    assert told.last_words()[-1:] == ["x" * 8192]
    told.let_go()


class _Noise:
    """A writer that is never slower than the reader: whenever the pipe is read, it is full again."""

    def __init__(self, read: int, write: int) -> None:
        self.reads = 0
        self._read, self._write, self._original = read, write, os.read

    def __enter__(self) -> _Noise:
        os.set_blocking(self._write, False)
        os.read = self._refilled
        self._fill()
        return self

    def __exit__(self, *_: object) -> None:
        os.read = self._original
        os.close(self._write)

    def _refilled(self, fd: int, count: int) -> bytes:
        said = self._original(fd, count)
        self.reads += 1
        if self.reads < 2000:
            self._fill()
        return said

    def _fill(self) -> None:
        with suppress(BlockingIOError):
            while True:
                os.write(self._write, b"x" * 65536)


def test_one_that_stands_still_is_not_looked_after_without_end() -> None:
    """It was told something for which the kernel had no room; then it yielded."""
    door = DoorProcess(0, None)
    door.flush_at, door.standing = 0.0, True
    door.flush()
    assert door.flush_at is None, "else the keeper would not sleep again"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_signals_for_nobody_do_not_pile_up(number: int) -> None:
    signals = Signals()
    for _ in range(1000):
        assert signals.came(number, 0.0)
    assert signals.came(signal.SIGTERM, 0.0)
    assert signals.came(signal.SIGTERM, 0.0)
    assert signals.take() == [number, signal.SIGTERM, signal.SIGTERM], "and each stop counts"


def test_a_stop_is_obeyed_although_nobody_can_be_started_to_carry_it_out(stage: Stage, door: Puppet) -> None:
    """The virtual environment is gone, and the door process has crashed."""
    pid, output = door.spawn("child", "sleep", "1000")
    os.rename(f"{stage.folder}/puppet", f"{stage.folder}/gone")
    door.die()
    until(lambda: "trying again" in stage.errors)
    assert alive(pid)
    stage.signal(signal.SIGTERM)
    assert stage.ended() == 1
    assert "everything is ended now" in stage.errors
    until(lambda: not alive(pid))
    os.close(output)


# -- what has ended ---------------------------------------------------------------------------------------------------


def test_the_number_of_a_group_that_has_gone_is_nobody_to_be_signalled() -> None:
    """All that was left of a child has left its group; by now its number is that of others."""
    shell = subprocess.Popen(["sh", "-c", "setsid sleep 1000 & echo $!"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    other = int(shell.stdout.readline())
    shell.wait()
    shell.stdout.close()
    until(lambda: int(stat(other)[4]) == other, "that it has a group of its own, and is no child of this process")
    said: list[Child] = []
    children = Children(said.append)
    children.recall([{"key": "a", "pid": other, "note": None, "signalled": True, "status": 0, "gone": False}])
    children.kill_all()
    assert children.signal("a", signal.SIGKILL) is False
    assert [child.gone for child in said] == [True]
    time.sleep(0.05)  # a signal would have come by then
    assert alive(other)
    os.kill(other, signal.SIGKILL)


def test_two_that_end_at_once_are_not_killed_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new code is broken all through: the trial and the new door process end together, and are reaped together."""
    killed: list[int] = []
    succession = broken_upgrade()
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    succession.on_ends({101: 1, 102: 1})
    assert killed == []
    assert succession.upgrade is None


def broken_upgrade() -> Succession:
    """Process 100 serves; 101 is the new one, and 102 the trial."""

    def none(*_: Any) -> Any:
        return None

    it = Succession(
        "", Custody(none, (1024, 1024)), Signals(), remember=dict, hear_out=none, answer=none, resumed=lambda: None
    )
    it.door = DoorProcess(100, None)
    trial, upgrade = Trial.__new__(Trial), Upgrade.__new__(Upgrade)
    trial.pid, trial.running, trial.why, trial.output, trial.deadline = 102, True, None, [], None
    trial._late, trial._said = False, os.open(os.devnull, os.O_RDONLY)
    upgrade.old, upgrade.new, upgrade.trial, upgrade.step = it.door, DoorProcess(101, None), trial, Step.STARTING
    upgrade._request, upgrade._hello = 1, None
    it.upgrade = upgrade
    return it


def test_one_that_may_not_be_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose root has no CAP_KILL, a door process of another user: it is told by the end of its wire."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "kill", refuse)
    DoorProcess(1, None).kill()


# -- what must not happen, and happens --------------------------------------------------------------------------------


def test_a_fault_of_this_code_is_answered() -> None:
    with open_stage(hurry="from frontdoor.keeper import notify; notify.Notifier.reported = None\n") as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        assert "TypeError" in door.ask("report", line="all is well").body["error"]
        assert "could not be carried out (TypeError" in stage.errors
        goes_on(stage, door)


def test_what_cannot_be_written_down_is_no_end_after_the_trial_either() -> None:
    """What is known may have changed since."""
    deep: Any = None
    for _ in range(2000):
        deep = [deep]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = descriptors()
    Renewal(DoorProcess(0, ours), 7, Trial.__new__(Trial)).carry_out("", {"descriptors": [], "deep": deep})
    assert "could not be started" in wire.receive(theirs).body["error"]
    assert descriptors() == before
    ours.close()
    theirs.close()
