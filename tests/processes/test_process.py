from __future__ import annotations

import os
import resource
import signal
import sys
import time

import pytest
import trio

from frontdoor.keeper.link import ChildReport
from frontdoor.policy import backoff
from frontdoor.processes.backend import Backend
from frontdoor.processes.member import Life
from frontdoor.processes.process import Process
from keeper.watching import alive, children, descriptors, stat
from processes.house import APP, House, until, write_line


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)


# -- becoming ready -----------------------------------------------------------------------------------------------


async def test_it_is_started_and_proved_ready(house: House) -> None:
    backend = house.start("listen", "say:here", "wait")
    (process,) = backend.processes
    assert (process.life, process.seat.up) == (Life.STARTING, False)
    await house.ready(backend)
    assert [event for event, _ in house.events] == ["backend.starting", "backend.ready"]
    assert house.of("backend.starting") == [{"pid": process.pid, "process": 0}]
    ready = house.of("backend.ready")[0]
    assert ready["pid"] == process.pid
    assert 0 < ready["after_s"] < 10
    assert (process.life, process.seat.up, process.reason, backend.alive()) == (Life.UP, True, "", True)
    assert repr(process) == f"<Process v1#1/0 up pid={process.pid}>"


async def test_it_is_told_who_it_is(house: House) -> None:
    names = ("FRONTDOOR_SOCKET", "FRONTDOOR_VERSION", "FRONTDOOR_GENERATION", "FRONTDOOR_PROCESS", "NOTIFY_SOCKET")
    backend = house.start(*(f"env:{name}" for name in names), "listen", "wait")
    await house.line(backend, 4)
    assert backend.ring.last(5) == [f"{house.folder}/g1/0.sock", "v1", "1", "0", "None"]


async def test_it_gets_no_stream_before_it_listens(house: House) -> None:
    fifo = house.fifo()
    backend = house.start(f"read:{fifo}", "listen", "wait")
    (process,) = backend.processes
    await until(lambda: process.reason)
    assert process.reason == f"it has not made its socket yet ({house.folder}/g1/0.sock)"
    assert not process.seat.up
    await write_line(fifo)
    await house.ready(backend)
    assert process.reason == ""


async def test_a_page_proves_it_ready(house: House) -> None:
    backend = house.start("listen", r"serve:HTTP/1.1 204 No\r\n\r\n", ready='check = "http:/healthz"')
    await house.ready(backend)
    assert backend.alive()


async def test_so_many_successes_in_a_row_are_needed(house: House) -> None:
    backend = house.start("listen", "serve:", ready="successes = 5")
    await house.ready(backend)
    assert house.of("backend.ready")[0]["after_s"] >= 4 * 0.005


async def test_a_notification_proves_it_ready_however_early_it_comes(house: House) -> None:
    for _ in range(3):
        backend = house.start("notify:READY=1", "wait", ready='check = "notify"')
        await house.ready(backend)


async def test_notifications_after_the_first_do_not_block_it(house: House) -> None:
    # A datagram socket takes about ten messages that nobody reads (net.unix.max_dgram_qlen); then its senders wait.
    talk = ["notify:STATUS=all is well"] * 50
    backend = house.start(
        "notify:STATUS=soon", r"notify:STATUS=\nREADY=1", *talk, "say:said all", "wait", ready='check = "notify"'
    )
    assert await house.line(backend) == "said all"
    await backend.ready()
    assert backend.alive()


# -- not becoming ready -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ["connect", "http:/", "notify"])
async def test_a_crash_before_it_is_ready_is_final_and_its_reason_is_kept(house: House, check: str) -> None:
    for number in range(3):
        backend = house.start("say:cannot do it", "exit:3", ready=f'check = "{check}"\n')
        assert await house.failed(backend) == "it exited with code 3 before it was ready"
        await house.ended(backend)
        assert backend.problem() == "it exited with code 3 before it was ready"
        assert backend.ring.last(5) == ["cannot do it"]
        exited = house.of("backend.exited")[number]
        assert (exited["status"], exited["reason"], exited["asked_for"]) == (3, "exited with code 3", None)
        assert backend.processes[0].life is Life.EXITED
    assert house.of("backend.ready") == house.of("backend.restarting") == []


async def test_a_signal_is_named(house: House) -> None:
    backend = house.start("die")
    assert await house.failed(backend) == "it was ended by SIGKILL before it was ready"


async def test_a_command_that_does_not_exist_is_said(house: House) -> None:
    backend = house.start(command=["no-such-command"])
    assert await house.failed(backend) == "it could not be started: command not found: no-such-command"
    await house.ended(backend)
    assert house.events == []


# -- restarts -----------------------------------------------------------------------------------------------------


async def test_a_crash_after_it_was_ready_is_answered_with_a_restart(house: House) -> None:
    backend = house.start("listen", "wait")
    (process,) = backend.processes
    await house.ready(backend)
    first = process.pid
    os.kill(first, signal.SIGKILL)
    await house.said("backend.ready", 2)
    assert process.pid != first
    assert process.restarts == 1
    assert backend.alive()
    assert not process.failed.is_set()
    names = [event for event, _ in house.events]
    assert names == [
        "backend.starting",
        "backend.ready",
        "backend.exited",
        "backend.restarting",
        "backend.starting",
        "backend.ready",
    ]
    assert house.of("backend.restarting") == [{"delay_s": 0.01, "reason": "it was ended by SIGKILL"}]


async def test_the_delay_doubles_with_every_crash(house: House) -> None:
    backend = house.start("listen", "wait")
    for number in range(1, 5):
        await house.said("backend.ready", number)
        os.kill(backend.processes[0].pid, signal.SIGKILL)
    await house.said("backend.restarting", 4)
    assert [event["delay_s"] for event in house.of("backend.restarting")] == [0.01, 0.02, 0.04, 0.08]


async def test_it_takes_no_stream_while_it_is_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 1000.0)
    backend = house.start("listen", "wait")
    (process,) = backend.processes
    await house.ready(backend)
    os.kill(process.pid, signal.SIGKILL)
    await until(process.seat.gone)  # known at once, before the keeper has said anything
    assert not backend.alive()
    await until(lambda: process.life is Life.BACKING_OFF)
    assert (process.seat.up, process.seat.gone()) == (False, True)
    backend.stop()  # which does not wait for the delay
    await house.ended(backend)
    assert house.of("backend.starting") == [{"pid": process.pid, "process": 0}]


async def test_restart_never_means_never(house: House) -> None:
    backend = house.start("listen", "wait", backend='restart = "never"')
    await house.ready(backend)
    os.kill(backend.processes[0].pid, signal.SIGTERM)
    await house.ended(backend)
    assert backend.problem() == "it was ended by SIGTERM"
    assert house.of("backend.restarting") == []


async def test_a_restart_that_cannot_be_started_is_tried_again(house: House) -> None:
    program = f"{house.folder}/python"
    os.symlink(sys.executable, program)
    backend = house.start(command=[program, "-IS", APP, "{socket}", "listen", "wait"])
    await house.ready(backend)
    os.unlink(program)
    os.kill(backend.processes[0].pid, signal.SIGKILL)
    why = (await house.said("backend.restarting", 2))["reason"]
    assert why == f"it could not be started: command not found: {program}"
    os.symlink(sys.executable, program)
    await house.said("backend.ready", 2)
    assert backend.alive()


async def test_a_restarted_one_that_does_not_become_ready_in_time_is_ended(house: House) -> None:
    backend = house.backend("wait", ready='deadline = "50ms"')
    backend.processes[0].proved.set()  # as after a first start that went well
    house.run(backend)
    why = (await house.said("backend.restarting"))["reason"]
    assert why == f"it was not ready within 0.05 s (it has not made its socket yet ({house.folder}/g1/0.sock))"
    assert house.of("backend.exited")[0]["status"] == -9


# -- what whoever judges the release is told ----------------------------------------------------------------------


async def test_a_crash_is_told_in_the_instant_in_which_the_keeper_says_so(house: House) -> None:
    backend = house.start("listen", "wait")
    (process,) = backend.processes
    await house.ready(backend)
    told: list[tuple[int, list[str]]] = []
    conduct = backend.generation.conduct
    conduct.told = lambda: told.append((conduct.crashes, [event for event, _ in house.events]))
    for number in (1, 2):
        before = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        await house.said("backend.ready", 1 + number)
        assert conduct.crashes == len(conduct.crash_times) == number
        assert before < conduct.crash_times[-1] < time.monotonic()
    assert [crashes for crashes, _ in told] == [1, 2]
    assert [events.count("backend.exited") for _, events in told] == [0, 1], "it is told before anything else is done"


async def test_a_crash_is_one_however_often_the_keeper_speaks_of_it(house: House) -> None:
    backend = house.start("helper", "listen", "wait")
    helper = int(await house.line(backend))
    await house.ready(backend)
    (process,) = backend.processes
    key = process.key if isinstance(process, Process) else ""
    for gone in (False, True):
        process.on_report(ChildReport(key, process.pid, None, 3, gone=gone))
    assert backend.generation.conduct.crashes == 1
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not alive(helper))


@pytest.mark.parametrize("code", [0, 3])
async def test_an_exit_that_nobody_has_asked_for_is_a_crash_whatever_its_code(house: House, code: int) -> None:
    fifo = house.fifo()
    backend = house.start("listen", f"read:{fifo}", f"exit:{code}", backend='restart = "never"')
    await house.ready(backend)
    await write_line(fifo)
    await house.ended(backend)
    assert backend.generation.conduct.crashes == 1


async def test_what_was_never_ready_or_was_asked_to_end_has_not_crashed(house: House) -> None:
    never = house.start("exit:3")
    await house.ended(never)
    for patience in ("1h", "10ms"):  # it leaves by itself, and it is killed
        asked = house.start(
            "deaf" if patience == "10ms" else "say:x", "listen", "wait", backend=f'stop_timeout = "{patience}"'
        )
        await house.ready(asked)
        asked.stop()
        await house.ended(asked)
        assert asked.generation.conduct.crashes == 0
    assert never.generation.conduct.crashes == 0
    assert house.of("backend.exited")[-1]["status"] == -9


async def test_a_restart_that_does_not_become_ready_in_time_is_one_more_crash(house: House) -> None:
    backend = house.backend("wait", ready='deadline = "50ms"')
    backend.processes[0].proved.set()  # as after a first start that went well
    house.run(backend)
    await house.said("backend.restarting", 2)
    assert backend.generation.conduct.crashes == 2


# -- stopping -----------------------------------------------------------------------------------------------------


async def test_stop_is_the_stop_signal_and_then_nothing_is_left(house: House) -> None:
    backend = house.start("polite:SIGINT", "listen", "wait", backend='stop_signal = "SIGINT"')
    await house.ready(backend)
    backend.stop()
    await house.ended(backend)
    assert backend.ring.last(1) == ["bye at 2"]
    exited = house.of("backend.exited")[0]
    assert (exited["pid"], exited["status"]) == (backend.processes[0].pid, 0)
    assert (exited["reason"], exited["asked_for"]) == ("exited with code 0", True)
    assert backend.processes[0].life is Life.EXITED
    assert children(house.keeper) == []


async def test_what_does_not_stop_is_killed_with_its_whole_group(house: House) -> None:
    backend = house.start("deaf", "helper", "listen", "wait", backend='stop_timeout = "50ms"')
    helper = int(await house.line(backend))
    await house.ready(backend)
    began = time.monotonic()
    backend.stop()
    await house.ended(backend)
    assert time.monotonic() - began >= 0.05
    assert house.of("backend.exited")[0]["status"] == -9
    assert not alive(helper)


async def test_a_helper_that_outlives_its_leader_is_waited_for_and_then_killed(house: House) -> None:
    backend = house.start("deaf", "helper", "polite:SIGTERM", "listen", "wait", backend='stop_timeout = "200ms"')
    helper = int(await house.line(backend))
    await house.ready(backend)
    backend.stop()
    process = backend.processes[0]
    await until(lambda: not alive(process.pid))
    assert alive(helper), "it has its time"
    assert process.life is Life.STOPPING
    await house.ended(backend)
    assert not alive(helper)
    assert house.of("backend.exited")[0]["status"] == 0


async def test_a_helper_that_leaves_the_group_after_the_stop_signal_does_not_hold_up_the_end(house: House) -> None:
    fifo = house.fifo()
    helper = f"(read line < {fifo}; exec setsid sleep 1000)"
    backend = house.start(
        command=["sh", "-c", f"trap '' TERM; {helper} & trap 'exit 0' TERM; echo $!; while :; do wait; done"],
        backend='stop_timeout = "1h"',
    )
    daemon = int(await house.line(backend))
    backend.stop()
    await until(lambda: not alive(backend.processes[0].pid))
    await write_line(fifo)
    await until(lambda: int(stat(daemon)[5]) == daemon)
    assert not backend.finished.is_set()
    backend.stop(0.01)
    await house.ended(backend)
    assert alive(daemon), "it is nobody's any more"
    os.kill(daemon, signal.SIGKILL)


async def test_at_most_is_an_end_to_the_patience(house: House) -> None:
    backend = house.start("deaf", "listen", "wait", backend='stop_timeout = "1h"')
    await house.ready(backend)
    backend.stop(0.01)
    await house.ended(backend)
    assert house.of("backend.exited")[0]["status"] == -9


async def test_a_stop_that_is_under_way_can_be_hurried(house: House) -> None:
    backend = house.start("deaf", "listen", "wait", backend='stop_timeout = "never"')
    await house.ready(backend)
    backend.stop()
    await until(lambda: backend.processes[0].life is Life.STOPPING)
    backend.stop(3600.0)  # more patience is not given, and none is lost
    backend.stop(0.01)
    await house.ended(backend)
    assert house.of("backend.exited")[0]["status"] == -9


async def test_stopped_while_it_starts_it_never_becomes_ready(house: House) -> None:
    fifo = house.fifo()
    acts = ["deaf", "say:deaf", f"read:{fifo}", "listen", "say:listens", "wait"]
    backend = house.start(*acts, backend='stop_timeout = "never"')
    assert await house.line(backend) == "deaf"
    backend.stop()
    await until(lambda: backend.processes[0].life is Life.STOPPING)
    await write_line(fifo)
    assert await house.line(backend, 1) == "listens"
    backend.stop(0.05)  # time for ten checks, if there were any
    await house.ended(backend)
    assert house.of("backend.ready") == []
    assert not backend.processes[0].proved.is_set()


async def test_stopped_before_it_runs_it_is_not_started(house: House) -> None:
    backend = house.backend("listen", "wait")
    backend.stop()
    house.run(backend)
    await house.ended(backend)
    assert house.events == []


# -- output -------------------------------------------------------------------------------------------------------


async def test_the_last_lines_before_an_exit_are_kept(house: House) -> None:
    backend = house.start("flood:3000", "exit:1")
    await house.ended(backend)
    assert backend.ring.last(2) == ["line 2998", "line 2999"]
    assert len(backend.ring) == 1000


async def test_who_keeps_the_output_open_does_not_hold_up_the_end(house: House) -> None:
    backend = house.start(
        command=["sh", "-c", "setsid sleep 1000 & echo $!; while ! kill -0 -$!; do :; done 2>&-; exit 3"]
    )
    daemon = int(await house.line(backend))
    await house.ended(backend)
    assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)


# -- taken over from the door process before ----------------------------------------------------------------------


async def spawned(house: House, backend: Backend, *argv: str) -> tuple[ChildReport, int]:
    """A process as the door process before this one would have left it."""
    note = {"door": "main", "version": "v1", "number": 1, "process": 0, "starts": 7, "restarts": 6}
    reply = await house.link.request("spawn", key="main/g1/0.7", argv=argv, env={}, note=note)
    return ChildReport("main/g1/0.7", reply.body["pid"], note, None, gone=False), reply.fds[0]


async def test_an_adopted_process_goes_on(house: House) -> None:
    backend = house.backend("listen", "wait")
    report, output = await spawned(house, backend, "sh", "-c", "echo hello; exec sleep 1000")
    backend.adopt({0: (report, output, True)})
    house.run(backend)
    assert await house.line(backend) == "hello"
    (process,) = backend.processes
    assert (process.pid, process.life, process.seat.up) == (report.pid, Life.UP, True)
    assert house.events == [], "nothing was started"
    os.kill(report.pid, signal.SIGKILL)
    await house.said("backend.ready")
    assert isinstance(process, Process)
    assert (process.restarts, process.key) == (7, "main/g1/0.8")
    backend.stop()
    await house.ended(backend)
    assert children(house.keeper) == []


async def test_an_adopted_process_that_was_not_ready_gets_no_stream_before_its_check_holds(house: House) -> None:
    fifo = house.fifo()
    backend = house.backend("listen", "wait")
    report, output = await spawned(
        house, backend, sys.executable, "-IS", APP, f"{house.folder}/g1/0.sock", f"read:{fifo}", "listen", "wait"
    )
    backend.adopt({0: (report, output, False)})
    house.run(backend)
    (process,) = backend.processes
    await until(lambda: process.reason or process.seat.up)
    assert process.reason == f"it has not made its socket yet ({house.folder}/g1/0.sock)"
    assert (process.life, process.seat.up, backend.alive()) == (Life.STARTING, False, False)
    await write_line(fifo)
    assert (await house.said("backend.ready"))["pid"] == report.pid
    await until(backend.alive)
    assert process.restarts == 6, "it was not started again"


async def test_an_adopted_process_can_be_stopped_before_anything_else(house: House) -> None:
    backend = house.backend("listen", "wait")
    backend.adopt({0: (*await spawned(house, backend, "sleep", "1000"), True)})
    backend.stop()
    house.run(backend)
    await house.ended(backend)
    assert house.of("backend.exited")[0]["status"] == -15
    assert backend.generation.conduct.crashes == 0
    assert children(house.keeper) == []


async def test_one_that_ended_while_there_was_no_door_process_is_started_again_and_never_up_before(
    house: House, nursery: trio.Nursery
) -> None:
    backend = house.backend("listen", "wait")
    report, output = await spawned(house, backend, "sh", "-c", "echo last words; exit 5")
    await until(lambda: children(house.keeper) == [])
    ended = ChildReport(report.key, report.pid, report.note, 5, gone=True)
    backend.adopt({0: (ended, output, True)})
    (process,) = backend.processes
    assert process.seat.gone(), "its streams end because of that"
    assert backend.generation.conduct.crashes == 1, "whoever was judging it did not live to hear of it"
    before = time.monotonic()
    ups: list[int] = []

    async def watch() -> None:
        while True:
            if process.seat.up:
                ups.append(process.pid)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(watch)
    house.run(backend)
    await house.said("backend.ready")
    assert not process.seat.gone()
    assert process.seat.born > before, "a stream that is older was with the one before"
    await until(lambda: ups)
    assert [name for name, _ in house.events] == [
        "backend.exited",
        "backend.restarting",
        "backend.starting",
        "backend.ready",
    ]
    assert report.pid not in ups
    assert backend.ring.last(1) == ["last words"]
    nursery.cancel_scope.cancel()


# -- descriptors --------------------------------------------------------------------------------------------------


async def test_no_descriptor_and_no_file_is_left(house: House) -> None:
    before = descriptors(), descriptors(house.keeper)
    for check, word in (("connect", "say:x"), ("http:/", "say:x"), ("notify", "notify:READY=1")):
        backend = house.start("listen", word, r"serve:HTTP/1.1 200 OK\r\n\r\n", ready=f'check = "{check}"')
        await house.ready(backend)
        (process,) = backend.processes
        os.kill(process.pid, signal.SIGKILL)
        await house.said("backend.ready", len(house.of("backend.ready")) + 1)
        assert process.restarts == 1
        backend.stop()
        await house.ended(backend)
    await house.ended(house.start("exit:1", ready='check = "notify"'))
    await house.ended(house.start(command=["no-such-command"], ready='check = "notify"'))
    await until(lambda: (descriptors(), descriptors(house.keeper)) == before)
    assert os.listdir(house.folder) == []


async def test_without_a_descriptor_for_its_output_it_is_not_left_running(house: House) -> None:
    backend = house.backend("listen", "wait", backend="")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    filled: list[int] = []
    try:
        try:
            while True:
                filled.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass  # full
        house.run(backend)
        assert await house.failed(backend) == "it could not be started: this process is at its limit of open files"
        await house.ended(backend)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)
    assert children(house.keeper) == []
    other = house.start("listen", "wait")
    await house.ready(other)
