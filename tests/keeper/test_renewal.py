"""The keeper goes on with the code that is on disk, in place. Its door process is a puppet, its ``exec`` is real."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from frontdoor import __version__
from frontdoor.keeper import wire
from keeper.stage import Puppet, Stage, read_line
from keeper.stage import stage as open_stage
from keeper.test_upgrade import Two, any_pending
from keeper.watching import alive, children, descriptors, has_zombies, until

COUNTED = """
import os, sys
if "--resume" in sys.argv:
    with open(os.path.dirname(sys.argv[1]) + "/renewed", "a") as file:
        file.write("once more\\n")
"""
"""Code of a keeper that tells when it goes on."""

HELD_UP = """
import os, sys, time
if {word!r} in sys.argv:
    folder = os.path.dirname(sys.argv[1])
    open(folder + "/is-there", "w").close()
    while not os.path.exists(folder + "/go"):
        time.sleep(0.005)
"""
"""Code that waits in its trial, or right after the ``exec``, until the test lets it go on."""

ROUNDS = 3

STORM = """
import os, random, signal, sys, time
while True:
    os.kill(int(sys.argv[1]), signal.SIGUSR1)
    time.sleep(random.random() / 1000)
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Its keeper has been started from code that did not tell that it goes on."""
    with open_stage() as it:
        install(it, COUNTED)
        yield it


def install(stage: Stage, code: str) -> None:
    """From here on that is on disk, in front of what was there."""
    with open(stage.program) as file:
        before = file.read()
    with open(f"{stage.program}.new", "w") as file:
        file.write(code + before)
    os.rename(f"{stage.program}.new", stage.program)


def renewals(stage: Stage) -> int:
    """How often it has gone on with the code on disk."""
    try:
        with open(f"{stage.folder}/renewed") as file:
            return len(file.readlines())
    except FileNotFoundError:
        return 0


def renew(stage: Stage, door: Puppet) -> None:
    """Have the keeper renewed; it must work."""
    before = renewals(stage)
    answer = door.ask("renew").body
    assert answer == {"re": door.last, "version": __version__}
    assert renewals(stage) == before + 1


def held_up(stage: Stage, word: str) -> None:
    """The code on disk stops there until ``let_go``: after ``--try``, ``--resume``."""
    install(stage, HELD_UP.format(word=word))


def is_there(stage: Stage) -> None:
    until(lambda: os.path.exists(f"{stage.folder}/is-there"), "that it is there")


def let_go(stage: Stage) -> None:
    open(f"{stage.folder}/go", "w").close()


def summary(held: dict[str, list[wire.Message]]) -> dict[str, Any]:
    """What is held, in a form that can be compared; sockets and files by their inodes."""
    found = {}
    for key, messages in held.items():
        found[key] = [(message.body, [os.fstat(fd).st_ino for fd in message.fds]) for message in messages]
        for message in messages:
            message.close()
    return found


def inheritable(pid: int) -> list[str]:
    """Descriptors of that process that a program which it starts would have, too; the standard ones apart."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with open(f"/proc/{pid}/fdinfo/{name}") as file:
            flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
        if int(name) > 2 and not flags & os.O_CLOEXEC:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def signal_sets(pid: int) -> dict[str, str]:
    """Which signals it has blocked, which it ignores, and which it has a handler for (proc(5))."""
    with open(f"/proc/{pid}/status") as file:
        return {line.split()[0]: line.split()[1] for line in file if line.startswith(("SigBlk", "SigIgn", "SigCgt"))}


def is_as_before(stage: Stage, door: Puppet) -> None:
    """It does all that it did, and a renewal may work the next time."""
    assert renewals(stage) == 0
    assert inheritable(stage.pid) == []
    assert door.ask("note", key="a", note=1).body.keys() == {"re"}
    stage.signal(signal.SIGHUP)
    assert door.hear_of("signal")["number"] == signal.SIGHUP
    until(lambda: not has_zombies(stage.pid))


# -- what stays -------------------------------------------------------------------------------------------------------


def test_everything_is_as_it_was(stage: Stage, door: Puppet) -> None:
    listener = door.ask("listen", key="listen/a", address="127.0.0.1:0", note={"n": 1}).fds[0]
    pid, output = door.spawn("child", "sh", "-c", "echo first; exec sleep 1000", note=[1, "mine"])
    ours, theirs = socket.socketpair()
    door.put(("stream/1", {"client": ["::1", 5]}, [theirs.fileno(), theirs.fileno()]), ("empty", None, []))
    door.ask("note", key="path", note="a path that is no UTF-8: \udcff")
    before, held, signals = descriptors(stage.pid), summary(door.greet()), signal_sets(stage.pid)

    renew(stage, door)

    assert stage.keeper.poll() is None
    assert summary(door.greet()) == held
    assert descriptors(stage.pid) == before
    assert inheritable(stage.pid) == []
    assert signal_sets(stage.pid) == signals
    assert set(children(stage.pid)) == {door.pid, pid}
    assert read_line(output) == "first"
    again = door.ask("listen", key="listen/a", address="127.0.0.1:0").fds[0]
    assert os.fstat(again).st_ino == os.fstat(listener).st_ino
    os.kill(pid, signal.SIGKILL)
    assert door.hear_of("exited", key="child")["status"] == -9
    door.die()
    third = stage.enter()
    assert summary(third.greet())["stream/1"] == held["stream/1"], "a crash is a crash as ever"
    assert "Traceback" not in stage.errors
    for fd in (listener, again, output):
        os.close(fd)
    ours.close()
    theirs.close()


def test_four_of_them_leave_nothing_behind(stage: Stage, door: Puppet) -> None:
    renew(stage, door)
    before = descriptors(stage.pid)
    for _ in range(3):
        renew(stage, door)
    assert descriptors(stage.pid) == before
    assert set(children(stage.pid)) == {door.pid}


def test_everybody_dies_with_it_as_before(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000")
    renew(stage, door)
    stage.keeper.kill()
    until(lambda: not alive(door.pid) and not alive(pid))
    os.close(output)


def test_a_stop_ends_it_with_its_exit_code(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000")
    renew(stage, door)
    stage.signal(signal.SIGTERM)
    assert door.hear_of("signal")["number"] == signal.SIGTERM
    door.say({"op": "bye", "code": 6})
    door.leave(0)
    assert stage.ended() == 6
    until(lambda: not alive(pid))
    os.close(output)


def test_stops_before_it_and_after_it_count_together(stage: Stage, door: Puppet) -> None:
    for _ in range(2):
        stage.signal(signal.SIGTERM)
        door.hear_of("signal")
    renew(stage, door)
    stage.signal(signal.SIGTERM)
    assert stage.ended() == 1
    assert "stopped three times" in stage.errors


def test_what_was_said_on_a_stderr_that_ends_here_goes_on(stage: Stage, door: Puppet) -> None:
    """Of a door process that has come by an upgrade."""
    two = Two(stage, door)
    two.hand_over()
    two.new.ask("served")
    renew(stage, two.new)
    two.new.leave(3, "a warning\n")
    until(lambda: "a warning\n" in stage.errors)


def test_five_thousand_streams(stage: Stage, door: Puppet) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11_000:
        pytest.skip(f"RLIMIT_NOFILE is {hard}")
    ours, theirs = socket.socketpair()
    note = {
        "door": "main",
        "generation": 1,
        "process": 2,
        "client": ["127.0.0.1", 54321],
        "since": 12345.6789,
        "slot": 1,
    }
    for first in range(0, 5000, 100):
        door.put(*((f"stream/{first + n}", note, [ours.fileno(), theirs.fileno()]) for n in range(100)))
    before = len(descriptors(stage.pid))
    assert before >= 10_000

    held_up(stage, "--resume")
    let_go(stage)
    number = door.begin("renew")
    began = time.monotonic()
    is_there(stage)
    execed = time.monotonic()
    assert door.answer(number).body["version"] == __version__
    print(
        f"5,000 entries: {execed - began:.3f} s for the trial and the exec, and {time.monotonic() - execed:.3f} s more"
    )

    assert len(descriptors(stage.pid)) == before
    assert inheritable(stage.pid) == []
    number = door.begin("hello", protocol=wire.PROTOCOL)
    assert len([key for key in summary(door.greeted(number)) if key.startswith("stream/")]) == 5000
    ours.close()
    theirs.close()


# -- what comes in that moment ----------------------------------------------------------------------------------------


def test_signals_while_nobody_can_handle_them_are_not_lost(stage: Stage, door: Puppet) -> None:
    children_of_it = [door.spawn(f"child/{n}", "sleep", "1000") for n in range(5)]
    held_up(stage, "--resume")
    number = door.begin("renew")
    is_there(stage)
    for _ in range(100):
        stage.signal(signal.SIGUSR1)
    for pid, _ in children_of_it:
        os.kill(pid, signal.SIGKILL)
    stage.signal(signal.SIGTERM)
    let_go(stage)

    assert door.answer(number).body["version"] == __version__
    heard = [door.hear().body for _ in range(7)]
    told = [body["number"] for body in heard if body["op"] == "signal"]
    assert sorted(told) == [signal.SIGUSR1, signal.SIGTERM], "of many the kernel keeps one"
    assert {body["key"] for body in heard if body["op"] == "exited"} == {f"child/{n}" for n in range(5)}
    for _, output in children_of_it:
        os.close(output)


def test_a_storm_of_signals_and_dying_children_and_one_stop(stage: Stage, door: Puppet) -> None:
    stopped = 0
    storm = subprocess.Popen([sys.executable, "-c", STORM, str(stage.pid)])
    try:
        for each in range(ROUNDS):
            mortal = [door.spawn(f"{each}/{n}", "sleep", "0.0" + str(n)) for n in range(1, 10)]
            number = door.begin("renew")
            if each == ROUNDS - 1:
                stage.signal(signal.SIGTERM)
            ended = {f"{each}/{n}" for n in range(1, 10)}
            while ended or number:
                body = door.hear().body
                if body.get("re") == number:
                    assert body["version"] == __version__
                    number = 0
                elif body.get("op") == "exited" and body["gone"]:
                    assert body["status"] == 0
                    ended.remove(body["key"])
                elif body.get("number") == signal.SIGTERM:
                    assert each == ROUNDS - 1, "and once"
                    stopped += 1
            for _, output in mortal:
                os.close(output)
        while not stopped:
            stopped += door.hear_of("signal")["number"] == signal.SIGTERM
    finally:
        storm.kill()
        storm.wait()
    assert stopped == 1
    assert renewals(stage) == ROUNDS
    assert set(children(stage.pid)) == {door.pid}


def test_a_door_process_that_dies_in_that_moment_is_started_again(stage: Stage, door: Puppet) -> None:
    door.ask("note", key="a", note=1)
    held_up(stage, "--resume")
    door.begin("renew")
    is_there(stage)
    os.kill(door.pid, signal.SIGKILL)
    let_go(stage)
    assert summary(stage.enter().greet())["a"][0][0]["note"] == 1


def test_a_door_process_that_dies_in_the_trial_takes_it_with_it(stage: Stage, door: Puppet) -> None:
    held_up(stage, "--try")
    door.begin("renew")
    is_there(stage)
    door.die()
    second = stage.enter()
    second.greet()
    second.ask("served")
    until(lambda: set(children(stage.pid)) == {second.pid}, "the end of the trial")
    assert renewals(stage) == 0
    let_go(stage)
    renew(stage, second)


def test_what_the_door_process_has_not_read_yet_comes_all_the_same(stage: Stage, door: Puppet) -> None:
    held_up(stage, "--try")
    number = door.begin("renew")
    is_there(stage)
    for _ in range(600):  # more than the wire holds
        stage.signal(signal.SIGUSR1)
        until(lambda: not any_pending(stage.pid))
    let_go(stage)
    until(lambda: renewals(stage), "the renewal")
    assert door.answer(number).body["version"] == __version__
    heard = [message.body for message in door.heard if message.body["op"] == "signal"]
    assert [body["number"] for body in heard] == [signal.SIGUSR1] * 600


def test_a_request_behind_it_waits(stage: Stage, door: Puppet) -> None:
    held_up(stage, "--resume")
    first, read = door.begin("renew"), os.open("/etc/passwd", os.O_RDONLY)
    is_there(stage)
    second = door.begin("put", [read], entries=[["file", 1, 1]])
    let_go(stage)
    assert door.answer(first).body["version"] == __version__
    assert door.answer(second).body == {"re": second}
    assert summary(door.greet())["file"] == [({"key": "file", "note": 1}, [os.fstat(read).st_ino])]
    os.close(read)


# -- code that is no good ---------------------------------------------------------------------------------------------

LOSES = """
from frontdoor.keeper.vault import Vault
Vault.recall = lambda self, remembered: None
"""
BROKEN = {
    "a syntax error": ("def (:\n", "(exit code 1)", "SyntaxError"),
    "a library that is missing": ("import nobody_has_this\n", "(exit code 1)", "ModuleNotFoundError"),
    "another format": ("from frontdoor.keeper import renewal; renewal.FORMAT = 99\n", "(exit code 1)", "reads 99"),
    "code that loses a stream": (LOSES, "(exit code 1)", "entries of vault"),
    "code that crashes": ("import os; os.abort()\n", "(signal 6)", ""),
    "code that ends": ("import os; os._exit(3)\n", "(exit code 3)", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_code_changes_nothing(stage: Stage, door: Puppet, what: str) -> None:
    code, how, said = BROKEN[what]
    door.ask("note", key="a", note=1)
    before = descriptors(stage.pid)
    install(stage, code)
    answer = door.ask("renew").body
    assert how in answer["error"]
    assert said in "\n".join(answer["output"])
    assert descriptors(stage.pid) == before
    is_as_before(stage, door)


@pytest.mark.parametrize("what", BROKEN)
def test_broken_code_fails_the_upgrade(stage: Stage, door: Puppet, what: str) -> None:
    code, how, said = BROKEN[what]
    door.ask("note", key="a", note=1)
    install(stage, code)
    # The new door process may be killed before it has come to say anything.
    body = door.answer(door.begin("upgrade")).body
    assert not body["ready"]
    assert how in body["why"]
    assert said in "\n".join(body["output"])
    until(lambda: children(stage.pid) == [door.pid])
    is_as_before(stage, door)


def test_code_that_hangs() -> None:
    with open_stage(hurry="from frontdoor.keeper import renewal; renewal.TRIED_WITHIN = 3") as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        before = descriptors(stage.pid)
        install(stage, "import time; print('I am', flush=True); time.sleep(1000)\n")
        answer = door.ask("renew").body
        assert answer["error"] == "the keeper's new code did not pass its trial within 3 s"
        assert answer["output"] == ["I am"]
        assert descriptors(stage.pid) == before
        two = Two(stage, door)
        two.new.ask("ready")
        assert door.answer(two.asked).body["why"] == "the keeper's new code did not pass its trial within 3 s"
        is_as_before(stage, door)


def test_code_that_prints_without_end() -> None:
    with open_stage(hurry="from frontdoor.keeper import renewal; renewal.TRIED_WITHIN = 3") as stage:
        door = stage.enter()
        door.greet()
        install(stage, "while True: print('and on')\n")
        answer = door.ask("renew").body
        assert "within 3 s" in answer["error"]
        assert answer["output"].count("and on") >= 19
        is_as_before(stage, door)


def test_a_program_that_is_gone_when_it_counts(stage: Stage, door: Puppet) -> None:
    """The trial has passed; the ``exec`` after it fails."""
    install(stage, "import os, sys\nif '--try' in sys.argv: os.rename(sys.argv[1], sys.argv[1] + '.gone')\n")
    before, signals = descriptors(stage.pid), signal_sets(stage.pid)
    answer = door.ask("renew").body
    assert "could not be started: [Errno 2]" in answer["error"]
    assert descriptors(stage.pid) == before
    assert signal_sets(stage.pid) == signals
    is_as_before(stage, door)
    os.rename(f"{stage.folder}/puppet.gone", f"{stage.folder}/puppet")
    renewed = stage.program
    with open(renewed) as file:
        text = file.read()
    with open(renewed, "w") as file:
        file.write(text.replace("'--try' in", "'never' in"))
    renew(stage, door)


def test_there_is_no_program_any_more(stage: Stage, door: Puppet) -> None:
    os.rename(f"{stage.folder}/puppet", f"{stage.folder}/gone")
    before = descriptors(stage.pid)
    assert "command not found" in door.ask("renew").body["error"]
    assert descriptors(stage.pid) == before
    is_as_before(stage, door)


def test_a_note_that_goes_to_the_limit_of_json_does_no_harm(stage: Stage, door: Puppet) -> None:
    """A door process that was taken over may put anything that fits; the worst is that there is no renewal."""
    said = []
    for depth in (980, 988, 992):  # sys.getrecursionlimit() is 1000: it is no message, no note, or cannot be loaded
        door.say(b'{"op":"note","key":"deep","note":' + b"[" * depth + b"]" * depth + b"}")
        said.append(door.ask("renew").body.get("error", "renewed"))
    assert stage.keeper.poll() is None
    print("\n".join(said))
    door.ask("drop", keys=["deep"])
    assert door.ask("renew").body["version"] == __version__


# -- with an upgrade --------------------------------------------------------------------------------------------------


def test_the_old_one_yields_only_when_the_trial_has_passed(stage: Stage, door: Puppet) -> None:
    held_up(stage, "--try")
    two = Two(stage, door)
    is_there(stage)
    two.new.ask("ready", version="9.9")
    assert "another door process serves" in two.new.ask("note", key="a").body["error"]
    assert not door.is_answered()
    let_go(stage)
    assert door.answer(two.asked).body["version"] == "9.9"
    door.hear_of("yield")


def test_an_upgrade_and_a_renewal_do_not_meet(stage: Stage, door: Puppet) -> None:
    two = Two(stage, door)
    assert "an upgrade is under way" in door.ask("renew").body["error"]
    assert "error" in two.new.ask("renew").body
    two.hand_over()
    two.new.ask("served")
    held_up(stage, "--try")
    number = two.new.begin("renew")
    is_there(stage)
    assert "is being renewed" in two.new.ask("upgrade").body["error"]
    assert "under way" in two.new.ask("renew").body["error"]
    let_go(stage)
    assert two.new.answer(number).body["version"] == __version__


def test_upgrades_one_after_the_other_each_with_a_renewal(stage: Stage, door: Puppet) -> None:
    for _ in range(3):
        two = Two(stage, door)
        two.hand_over()
        two.new.ask("served")
        old, door = door.pid, two.new
        renew(stage, door)
        until(lambda pid=old: not os.path.exists(f"/proc/{pid}"), "that it is reaped")  # type: ignore[misc]
    assert renewals(stage) == 3
    assert set(children(stage.pid)) == {door.pid}
