from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from frontdoor.keeper import wire
from frontdoor.keeper.deaths import DELAYS
from keeper.stage import Puppet, Stage, read_line
from keeper.stage import stage as open_stage
from keeper.watching import PATIENCE, alive, descriptors, until

# -- the life of the door process ---------------------------------------------------------------------------------


def test_bye_ends_everything_with_its_exit_code(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("a", "sleep", "1000")
    door.ask("bye", code=6)
    assert stage.keeper.poll() is None, "not before the door process has ended"
    door.leave(0)
    assert stage.ended() == 6
    until(lambda: not alive(pid))
    os.close(output)
    assert stage.errors == ""


def test_bye_as_the_very_last_words_is_heard(stage: Stage, door: Puppet) -> None:
    door.say({"op": "bye", "code": 3})
    door.die()
    assert stage.ended() == 3


def test_one_that_never_served_is_not_started_again(stage: Stage) -> None:
    door = stage.enter()
    door.greet()
    door.leave(2)
    assert stage.ended() == 2
    assert stage.nobody_enters()


def test_one_that_leaves_with_0_before_it_served_has_failed_all_the_same(stage: Stage) -> None:
    stage.enter().leave(0)
    assert stage.ended() == 1


def test_one_that_is_killed_before_it_served_is_not_started_again_and_that_is_said(stage: Stage) -> None:
    stage.enter().die()
    assert stage.ended() == 1
    assert stage.errors == "frontdoor: the door process was ended by signal 9 before it served\n"


@pytest.mark.parametrize("how", ["killed", "exits"])
def test_one_that_served_is_started_again_and_finds_everything(stage: Stage, door: Puppet, how: str) -> None:
    listener = door.ask("listen", key="listen/a", address="127.0.0.1:0", note={"n": 1}).fds[0]
    pid, output = door.spawn("child", "sh", "-c", "echo first; exec sleep 1000", note="mine")
    assert read_line(output) == "first"
    door.ask("note", key="state", note=[1, 2, 3])
    door.die() if how == "killed" else door.leave(7)

    second = stage.enter()
    assert second.pid != door.pid
    held = second.greet()
    assert set(held) == {"listen/a", "output/child", "state", "child"}
    (entry,) = held["listen/a"]
    assert os.fstat(entry.fds[0]).st_ino == os.fstat(listener).st_ino, "the very same socket"
    assert entry.body == {"key": "listen/a", "note": {"n": 1}}
    assert held["state"][0].body["note"] == [1, 2, 3]
    child = {"op": "child", "key": "child", "pid": pid, "note": "mine", "status": None, "gone": False}
    assert held["child"][0].body == child
    assert alive(pid)
    ended = "signal 9" if how == "killed" else "exit code 7"
    said = f"frontdoor: the door process ended ({ended}) and is started again; listeners and backends are kept\n"
    assert stage.errors == said
    for fd in (listener, output, *entry.fds, *held["output/child"][0].fds):
        os.close(fd)


def test_a_child_that_ended_meanwhile_is_told_until_it_is_forgotten(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("child", "sleep", "1000")
    os.close(output)
    door.die()
    second = stage.enter()  # it has not said hello yet: nothing can be told
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    for _ in range(2):
        held = second.greet()
        assert (held["child"][0].body["status"], held["child"][0].body["gone"]) == (-15, True)
    second.ask("forget", key="child")
    assert "child" not in second.greet()


@pytest.mark.parametrize("served", [True, False])
def test_one_that_fails_by_itself_is_started_at_once_and_then_with_growing_delays(served: bool) -> None:
    delays = (0.0, 0.1, 0.2, 0.3)
    assert len(delays) == len(DELAYS)
    with open_stage(hurry=f"from frontdoor.keeper import deaths; deaths.DELAYS = {delays}") as stage:
        stage.enter().ask("served")
        if not served:
            stage.puppets[-1].die()
            stage.enter()
        for delay in (*delays, delays[-1]):
            failed = time.monotonic()
            stage.puppets[-1].leave(1) if served else stage.puppets[-1].die()
            stage.enter().greet()
            assert time.monotonic() - failed >= delay
            if served:
                stage.puppets[-1].ask("served")


def test_one_that_is_killed_is_started_at_once_however_often(stage: Stage, door: Puppet) -> None:
    took = []
    for _ in range(50):
        killed = time.monotonic()
        stage.puppets[-1].die()
        door = stage.enter()
        took.append(time.monotonic() - killed)
        door.greet()
        door.ask("served")
    assert sum(took) < 50 * DELAYS[-2], "with delays between them it would be 98 s"
    print(f"50 x kill -9: the next one there after {sorted(took)[25]:.3f} s (median), {max(took):.3f} s at the most")


def test_the_next_one_is_told_how_those_before_it_have_ended(stage: Stage, door: Puppet) -> None:
    door.leave(3)
    door = stage.enter()
    door.greet()
    door.ask("served")
    door.die()
    third = stage.enter()
    ended = third.ask("hello", protocol=wire.PROTOCOL).body
    assert [death["status"] for death in ended["deaths"]] == [3, -9]
    assert ended["quarantine"] == []


WORDS = {"in_hand": 16}
"""The note of words whose third one says which stream is in hand."""


@pytest.fixture
def words(door: Puppet) -> Iterator[mmap.mmap]:
    """Words that the keeper has, too."""
    fd = os.memfd_create("words")
    os.ftruncate(fd, 64)
    door.put(("words", WORDS, [fd]))
    with mmap.mmap(fd, 64) as memory:
        yield memory
    os.close(fd)


def dies_with(puppet: Puppet, words: mmap.mmap, stream: int) -> None:
    """A door process that serves, takes a stream in hand, and fails."""
    puppet.greet()
    puppet.ask("served")
    words[16:24] = (stream << 1 | 1).to_bytes(8, sys.byteorder)
    puppet.leave(1)


def test_a_stream_that_was_in_hand_each_time_is_in_quarantine(stage: Stage, door: Puppet, words: mmap.mmap) -> None:
    for puppet in (door, stage.enter, stage.enter):
        dies_with(puppet if isinstance(puppet, Puppet) else puppet(), words, 7)
    fourth = stage.enter()
    hello = fourth.ask("hello", protocol=wire.PROTOCOL).body
    assert [death["suspect"] for death in hello["deaths"]] == [7, 7, 7]
    assert hello["quarantine"] == [7]
    assert words[16:24] == bytes(8), "it is not held against whoever dies before it has done anything"
    assert fourth.ask("hello", protocol=wire.PROTOCOL).body["quarantine"] == [7], "until it has served"
    fourth.ask("served")
    assert fourth.ask("hello", protocol=wire.PROTOCOL).body["quarantine"] == []


@pytest.mark.parametrize(
    "note", [None, 7, {}, {"in_hand": "x"}, {"in_hand": -1}, {"in_hand": 64}, {"in_hand": 1 << 80}]
)
def test_words_that_nobody_can_read_tell_against_nobody(
    stage: Stage, door: Puppet, words: mmap.mmap, note: object
) -> None:
    door.ask("note", key="words", note=note)
    dies_with(door, words, 7)
    assert stage.enter().ask("hello", protocol=wire.PROTOCOL).body["deaths"][0]["suspect"] == 0


def test_words_that_are_no_memory_tell_against_nobody(stage: Stage, door: Puppet) -> None:
    read, write = os.pipe()
    door.put(("words", WORDS, [read]))
    door.leave(1)
    assert stage.enter().ask("hello", protocol=wire.PROTOCOL).body["deaths"][0]["suspect"] == 0
    os.close(read)
    os.close(write)


def test_one_that_hangs_up_is_killed_and_started_again(stage: Stage, door: Puppet) -> None:
    door.wire.close()
    second = stage.enter()
    assert not alive(door.pid)
    second.greet()
    assert "signal 9" in stage.errors


def test_each_start_leaves_nothing_open(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    for _ in range(2):
        stage.puppets[-1].die()
        stage.enter().greet()
    assert len(descriptors(stage.pid)) == len(before)


# -- what it is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[]", b"[" * 100_000, b'{"op":', b"null", b"{}", b'{"op": {}}'])
def test_garbage_is_ignored(stage: Stage, door: Puppet, data: bytes) -> None:
    before = descriptors(stage.pid)
    read, write = os.pipe()
    door.say(data, [read, write])
    assert door.ask("note", key="a").body.get("error") is None
    assert descriptors(stage.pid) == before
    assert ("ignored" in stage.errors) == (data[:1] != b"{" or data.endswith(b":"))
    os.close(read)
    os.close(write)


def test_a_number_that_is_none_gets_no_answer(door: Puppet) -> None:
    for number in (None, "7", "x" * 100_000, [1], 1.5):
        door.say({"op": "note", "key": "a", "id": number})
    assert door.ask("note", key="a").body.keys() == {"re"}
    assert door.heard == []


def test_hello_in_another_protocol_is_refused_and_a_signal_waits_for_one_that_is_understood(stage: Stage) -> None:
    door = stage.enter()
    stage.signal(signal.SIGHUP)
    until(lambda: not pending(stage.pid))
    for _ in range(2):  # by the second answer it has read what the signal left behind
        door.ask("note", key="a")
    refused = door.ask("hello", protocol=99).body
    assert "protocol" in refused["error"]
    assert refused["protocol"] == wire.PROTOCOL, "so that it may ask again in this one"
    assert door.heard == []
    door.greet()
    assert door.hear_of("signal")["number"] == signal.SIGHUP


def test_a_stderr_that_nobody_reads_does_not_stop_it() -> None:
    read, write = os.pipe()
    while select.select([], [write], [], 0)[1]:
        os.write(write, b"x" * 4096)
    with open_stage(stderr=write) as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        for _ in range(100):
            door.say(b"garbage")
        door.ask("note", key="a")
        door.die()
        stage.enter().greet()
    os.close(read)
    os.close(write)


def test_one_that_asks_and_does_not_listen_does_not_fill_the_keepers_memory(stage: Stage, door: Puppet) -> None:
    door.ask("note", key="a", note="x" * 100_000)
    asked = 0
    while select.select([], [door.wire], [], 0.1)[1]:  # time enough for the keeper to read on, if it did
        door.say({"op": "hello", "protocol": wire.PROTOCOL, "id": 1000 + asked})
        asked += 1
        assert asked < 10_000, "it reads on and on"
    answers = 0
    while answers < asked:
        answers += "re" in door.hear().body
    assert door.ask("note", key="b").body.keys() == {"re"}, "and then it goes on"


def test_what_was_handed_out_is_not_closed_before_it_is_sent(stage: Stage, door: Puppet) -> None:
    """A drop that comes while the answer waits for room in the wire."""
    for number in range(10):
        door.ask("note", key=f"note/{number}", note="x" * 100_000)
    fd = os.open("/etc/passwd", os.O_RDONLY)
    door.put(("file", None, [fd]))
    door.say({"op": "hello", "protocol": wire.PROTOCOL, "id": 1})  # more than fits into the wire
    door.say({"op": "drop", "keys": ["file"], "id": 2})
    while not (message := door.hear()).fds:
        pass
    assert message.body["entries"][-1] == ["file", None, 1]
    assert os.fstat(message.fds[0]).st_ino == os.fstat(fd).st_ino
    while door.hear().body.get("re") != 2:
        pass
    message.close()
    os.close(fd)


# -- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_signals_are_passed_on(stage: Stage, door: Puppet, name: str) -> None:
    stage.signal(signal.Signals[name])
    assert door.hear_of("signal")["number"] == signal.Signals[name]


def test_signals_wait_until_there_is_somebody_to_tell(stage: Stage) -> None:
    first = stage.enter()
    stage.signal(signal.SIGHUP)
    until(lambda: not pending(stage.pid))
    first.greet()
    assert first.hear_of("signal")["number"] == signal.SIGHUP
    first.ask("served")
    first.die()
    stage.enter().greet()
    stage.puppets[-1].die()
    stage.signal(signal.SIGUSR1)
    last = stage.enter()
    last.greet()
    assert last.hear_of("signal")["number"] == signal.SIGUSR1


def pending(pid: int) -> bool:
    """Whether the kernel has a signal for the process that it has not taken yet."""
    with open(f"/proc/{pid}/status") as file:
        return any(int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd")))


@pytest.mark.parametrize("stops", [1, 2])
def test_a_stop_outlives_the_door_process_that_was_told_of_it(stage: Stage, door: Puppet, stops: int) -> None:
    for _ in range(stops):
        stage.signal(signal.SIGTERM)
        door.hear_of("signal")
    door.die()
    second = stage.enter()
    second.greet()
    assert [second.hear_of("signal")["number"] for _ in range(stops)] == [signal.SIGTERM] * stops
    second.ask("note", key="a")
    assert second.heard == []


def test_a_third_stop_ends_everything(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("a", "sh", "-c", "trap '' TERM INT; exec sleep 1000")
    os.close(output)
    for _ in range(2):
        stage.signal(signal.SIGINT)
        door.hear_of("signal")
    assert stage.keeper.poll() is None
    stage.signal(signal.SIGTERM)
    assert stage.ended() == 1
    assert stage.errors == "frontdoor: stopped three times: everything is ended now\n"
    until(lambda: not alive(pid) and not alive(door.pid))


def test_a_second_stop_ends_everything_after_a_while() -> None:
    with open_stage(hurry="from frontdoor.keeper import signals; signals.FORCED_AFTER = 0.05") as stage:
        door = stage.enter()
        door.greet()
        stage.signal(signal.SIGTERM)
        door.hear_of("signal")
        stage.signal(signal.SIGTERM)
        assert stage.ended() == 1
        assert "when it was asked a second time: everything is ended now" in stage.errors


@pytest.mark.parametrize(
    "shell",
    [
        "trap '' HUP INT TERM USR1 USR2 CHLD;",  # ignored, and ignored signals stay ignored over exec
        "exec <&-;",
        "exec <&- >&-;",
        "exec <&- >&- 2>&-;",
    ],
)
def test_what_the_starter_left_behind_does_not_matter(shell: str) -> None:
    with open_stage(shell=shell) as stage:
        works_as_ever(stage)


def test_a_signal_mask_of_the_starter_does_not_matter() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with open_stage() as stage:
            works_as_ever(stage)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def works_as_ever(stage: Stage) -> None:
    door = stage.enter()
    door.greet()
    door.ask("served")
    stage.signal(signal.SIGHUP)
    assert door.hear_of("signal")["number"] == signal.SIGHUP
    door.say(b"garbage")  # it says something on its stderr
    assert door.ask("note", key="a").body.keys() == {"re"}
    _, output = door.spawn("a", "sh", "-c", "ls -l /proc/$$/fd; echo end; exit 5")
    lines = [read_line(output)]
    while lines[-1] != "end":
        lines.append(read_line(output))
    assert [line.split()[-3] for line in lines if "->" in line] == ["0", "1", "2"]
    assert door.hear_of("exited")["status"] == 5
    os.close(output)
    door.die()
    stage.enter().greet()


# -- the end of the keeper ----------------------------------------------------------------------------------------


def test_when_the_keeper_is_killed_its_children_die(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("a", "sh", "-c", "trap '' TERM HUP; echo ready; exec sleep 1000")
    assert read_line(output) == "ready"
    stage.keeper.kill()
    until(lambda: not alive(pid) and not alive(door.pid), "that its children died")
    with pytest.raises(EOFError):
        door.hear()
    os.close(output)


# -- descriptors under way ----------------------------------------------------------------------------------------

NOT_ROOT = """
import os, resource, socket, sys
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.keeper import Keeper

if os.getuid() == 0:
    os.setuid(65534)  # root may have any number under way
resource.setrlimit(resource.RLIMIT_NOFILE, (900, 900))
keeper = Keeper("")
keeper.succession.door = DoorProcess(0, socket.socket(fileno=int(sys.argv[1])))
keeper.succession.door.running = False  # there is none that could be killed
keeper.run()
"""


@pytest.fixture
def limited() -> Iterator[tuple[int, socket.socket]]:
    """The pid of a keeper with few descriptors and no door process, and the other end of its wire."""
    ours, theirs = wire.pair()
    with ours, theirs:
        keeper = subprocess.Popen([sys.executable, "-c", NOT_ROOT, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        yield keeper.pid, ours
        keeper.kill()
        keeper.wait()


def test_too_many_descriptors_under_way_is_waited_out(limited: tuple[int, socket.socket]) -> None:
    pid, end = limited
    wire.send(end, wire.encode({"op": "served", "id": 0}))
    assert hear(end).body == {"re": 0}
    for number in range(2):
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(250)]
        wire.send(end, wire.encode({"op": "put", "entries": [[f"many/{number}", None, len(fds)]]}), fds)
        for fd in fds:
            os.close(fd)
    for number in (1, 2, 3):  # 500 descriptors each: those of the second answer are too many
        wire.send(end, wire.encode({"op": "hello", "protocol": wire.PROTOCOL, "id": number}))
    before = switches(pid)
    until(lambda: switches(pid) > before + 5, "that the keeper tries again and again")
    came, answers = 0, 0
    while answers < 3:
        message = hear(end)
        came += len(message.fds)
        answers += "re" in message.body
        assert not message.truncated
        message.close()
    assert came == 1500


def hear(sock: socket.socket) -> wire.Message:
    assert select.select([sock], [], [], PATIENCE)[0]
    return wire.receive(sock)


def switches(pid: int) -> int:
    """How often the process has gone to sleep."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
