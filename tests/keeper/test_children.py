from __future__ import annotations

import os
import signal

from keeper.stage import Puppet, Stage, read_all, read_line
from keeper.watching import alive, children, descriptors, has_zombies, stat, until


def test_a_child_is_started_and_its_end_reported(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("a", "sh", "-c", "echo hello; exit 3", note={"my": "note"})
    assert door.hear_of("exited") == {
        "op": "exited",
        "key": "a",
        "pid": pid,
        "note": {"my": "note"},
        "status": 3,
        "gone": True,
    }
    assert read_all(output) == "hello\n"
    assert not has_zombies(stage.pid)
    os.close(output)


def test_a_child_that_is_killed_is_reported_with_its_signal(door: Puppet) -> None:
    pid, output = door.spawn("a", "sleep", "1000")
    os.kill(pid, signal.SIGKILL)
    assert door.hear_of("exited")["status"] == -9
    os.close(output)


def test_a_crash_takes_the_rest_of_the_group_with_it_at_once(stage: Stage, door: Puppet) -> None:
    pid, output = door.spawn("a", "sh", "-c", "trap '' TERM; sleep 1000 & echo $!; kill -9 $$")
    helper = int(read_line(output))
    assert door.hear_of("exited", status=-9)["pid"] == pid
    until(lambda: not alive(helper), "that the helper ended too")
    os.close(output)


def test_an_exit_that_nobody_asked_for_is_a_crash_too(door: Puppet) -> None:
    _, output = door.spawn("a", "sh", "-c", "sleep 1000 & echo $!; exit 0")
    helper = int(read_line(output))
    last = door.hear_of("exited", status=0)
    if not last["gone"]:
        last = door.hear_of("exited", gone=True)
    until(lambda: not alive(helper))
    os.close(output)


def test_after_a_requested_signal_the_rest_of_the_group_may_finish(stage: Stage, door: Puppet) -> None:
    fifo = f"{stage.folder}/fifo"
    os.mkfifo(fifo)
    # The helper does not mind TERM, and ends when it has read a line; the leader ends at TERM.
    program = f"trap '' TERM; (read line < {fifo}) & trap 'exit 0' TERM; echo $!; while :; do wait; done"
    pid, output = door.spawn("a", "sh", "-c", program)
    helper = int(read_line(output))
    assert door.ask("signal", key="a", number=signal.SIGTERM).body["sent"] is True
    first = door.hear_of("exited")
    assert (first["pid"], first["status"], first["gone"]) == (pid, 0, False)
    assert alive(helper)
    assert door.ask("forget", key="a").body.get("error") is None
    assert door.ask("signal", key="a", number=0).body["sent"] is True, "it is not forgotten while something is left"
    with open(fifo, "w") as file:
        file.write("finish\n")
    assert door.hear_of("exited")["gone"] is True
    assert not alive(helper)
    assert door.ask("signal", key="a", number=signal.SIGTERM).body["sent"] is False
    os.close(output)


def test_a_signal_reaches_the_whole_group(door: Puppet) -> None:
    _, output = door.spawn("a", "sh", "-c", "sleep 1000 & echo $!; wait")
    helper = int(read_line(output))
    door.ask("signal", key="a", number=signal.SIGKILL)
    assert door.hear_of("exited", gone=True)["status"] == -9
    assert not alive(helper)
    os.close(output)


def test_a_child_is_told_alone_and_its_end_is_a_crash_like_any_other(door: Puppet) -> None:
    _, output = door.spawn("a", "sh", "-c", "trap 'echo told' USR1; sleep 1000 & echo $!; while :; do wait; done")
    helper = int(read_line(output))
    assert door.ask("tell", key="a", number=signal.SIGUSR1).body["sent"] is True
    assert read_line(output) == "told"
    assert alive(helper), "SIGUSR1 would have ended it"
    assert door.ask("tell", key="a", number=12345).body["error"] == "Invalid argument"
    assert door.ask("tell", key="a", number=signal.SIGKILL).body["sent"] is True
    door.hear_of("exited", status=-9)
    until(lambda: not alive(helper), "that the rest goes with it: nobody had asked it to end")
    assert door.ask("tell", key="a", number=signal.SIGUSR1).body["sent"] is False
    assert door.ask("tell", key="nobody", number=signal.SIGUSR1).body["sent"] is False
    os.close(output)


def test_a_number_that_is_no_signal_changes_nothing(door: Puppet) -> None:
    _, output = door.spawn("a", "sh", "-c", "sleep 1000 & echo $!; wait")
    helper = int(read_line(output))
    assert door.ask("signal", key="a", number=12345).body["error"] == "Invalid argument"
    os.kill(int(stat(helper)[3]), signal.SIGKILL)  # the leader crashes: nobody has asked for that
    door.hear_of("exited", status=-9)
    until(lambda: not alive(helper))
    os.close(output)


def test_a_signal_to_nobody_is_said(door: Puppet) -> None:
    assert door.ask("signal", key="nobody", number=15).body["sent"] is False


def test_orphans_are_reaped(stage: Stage, door: Puppet) -> None:
    _, output = door.spawn(
        "a", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do (true & exec true) & done; wait; exec sleep 1000"
    )
    # Two children there are also before the first orphan has come.
    until(lambda: len(children(stage.pid)) == 2 and not has_zombies(stage.pid), "that only two are left, both alive")
    os.close(output)


def test_who_leaves_the_group_is_not_waited_for(stage: Stage, door: Puppet) -> None:
    fifo = f"{stage.folder}/fifo"
    os.mkfifo(fifo)
    _, output = door.spawn("a", "sh", "-c", f"setsid sleep 1000 & echo $!; read line < {fifo}")
    daemon = int(read_line(output))
    until(lambda: int(stat(daemon)[5]) == daemon, "that it has a session of its own")
    with open(fifo, "w") as file:
        file.write("exit\n")
    assert door.hear_of("exited")["gone"] is True
    assert alive(daemon)
    until(lambda: int(stat(daemon)[3]) == stage.pid, "that the keeper has adopted it")
    os.kill(daemon, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{daemon}"), "that it is reaped")
    os.close(output)


def test_who_leaves_the_group_when_its_leader_has_gone_is_not_waited_for(stage: Stage, door: Puppet) -> None:
    fifo = f"{stage.folder}/fifo"
    os.mkfifo(fifo)
    # The helper does not mind TERM, and leaves the group when it has read a line: no end that anybody could report.
    helper = f"(read line < {fifo}; exec setsid sleep 1000)"
    _, output = door.spawn(
        "a", "sh", "-c", f"trap '' TERM; {helper} & trap 'exit 0' TERM; echo $!; while :; do wait; done"
    )
    daemon = int(read_line(output))
    assert door.ask("signal", key="a", number=signal.SIGTERM).body["sent"] is True
    assert door.hear_of("exited")["gone"] is False
    with open(fifo, "w") as file:
        file.write("leave\n")
    until(lambda: int(stat(daemon)[5]) == daemon, "that it has a session of its own")
    assert door.ask("signal", key="a", number=signal.SIGKILL).body["sent"] is False
    assert [message.body["gone"] for message in door.heard] == [True], "that is how it is found out"
    assert alive(daemon)
    assert door.ask("forget", key="a").body.get("error") is None
    os.close(output)
    _, output = door.spawn("a", "true")  # the key is free
    os.close(output)
    os.kill(daemon, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{daemon}"), "that it is reaped")


def test_a_key_is_taken_until_its_child_is_forgotten(stage: Stage, door: Puppet) -> None:
    _, output = door.spawn("a", "true")
    os.close(output)
    assert door.ask("spawn", key="a", argv=["true"], env={}).body["error"] == "KeyError: 'a'"
    door.hear_of("exited")
    assert door.ask("spawn", key="a", argv=["true"], env={}).body["error"] == "KeyError: 'a'"
    before = descriptors(stage.pid)
    door.ask("forget", key="a")
    assert len(descriptors(stage.pid)) == len(before) - 1, "its output is closed"
    _, output = door.spawn("a", "true")
    os.close(output)


def test_a_command_that_cannot_be_started_leaves_nothing(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    assert door.ask("spawn", key="a", argv=["/no/such"], env={}).body["error"] == "command not found: /no/such"
    assert descriptors(stage.pid) == before
    assert not has_zombies(stage.pid)
    _, output = door.spawn("a", "true")  # the key is free
    os.close(output)


def test_a_child_without_a_reader_of_its_output_does_not_get_a_sigpipe(stage: Stage, door: Puppet) -> None:
    fifo = f"{stage.folder}/fifo"
    os.mkfifo(fifo)
    pid, output = door.spawn("a", "sh", "-c", f"read line < {fifo}; echo printed meanwhile; exec sleep 1000")
    os.close(output)
    door.die()
    with open(fifo, "w") as file:
        file.write("print\n")
    until(lambda: stat(pid)[1] == "sleep")
    (held,) = stage.enter().greet()["output/a"]
    assert read_line(held.fds[0]) == "printed meanwhile"
    held.close()
