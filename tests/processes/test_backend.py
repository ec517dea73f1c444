from __future__ import annotations

import os
import signal
import stat
import sys

import pytest

from frontdoor.keeper.link import ChildReport
from frontdoor.policy import backoff
from frontdoor.processes.member import Life
from keeper.watching import children
from processes.house import APP, House, until, write_line

TWO = "processes = 2"


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)


async def test_it_has_a_seat_for_each_process_and_a_folder_of_its_own(house: House) -> None:
    backend = house.start("listen", "wait", backend=TWO)
    await house.ready(backend)
    assert backend.generation.seats == [process.seat for process in backend.processes]
    assert [seat.address for seat in backend.generation.seats] == [f"{house.folder}/g1/{n}.sock" for n in (0, 1)]
    assert stat.S_IMODE(os.stat(f"{house.folder}/g1").st_mode) == 0o700
    assert repr(backend) == "<Backend v1#1 of 2>"
    assert len({process.pid for process in backend.processes}) == 2
    backend.stop()
    await house.ended(backend)
    assert not house.has("g1")
    assert children(house.keeper) == []


async def test_what_a_killed_frontdoor_left_in_its_folder_is_no_hindrance(house: House) -> None:
    house.file("g1/0.sock")
    await house.ready(house.start("listen", "wait"))


async def test_it_is_ready_when_all_are(house: House) -> None:
    fifo = house.fifo()
    # Of the two only one can be the first to make the mark; the other one waits for the test.
    script = f'if mkdir {house.folder}/mark 2>&-; then :; else read line < {fifo}; fi; exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-IS", APP, "{socket}", "listen", "wait"]
    backend = house.start(command=command, backend=TWO)
    await until(lambda: sum(process.seat.up for process in backend.processes) == 1)
    assert not backend.alive()
    assert not all(process.proved.is_set() for process in backend.processes)
    await write_line(fifo)
    await house.ready(backend)
    assert backend.alive()


async def test_one_that_fails_is_enough_to_fail(house: House) -> None:
    script = f"if mkdir {house.folder}/mark 2>&-; then exec sleep 1000; else echo no luck; exit 4; fi"
    backend = house.start(command=["sh", "-c", script], backend=TWO)
    assert await house.failed(backend) == "it exited with code 4 before it was ready"
    assert backend.ring.last(1) == ["no luck"]
    assert not backend.finished.is_set()
    backend.stop()
    await house.ended(backend)
    assert children(house.keeper) == []


async def test_a_crash_of_one_leaves_the_other_alone(house: House) -> None:
    backend = house.start("listen", "wait", backend=TWO)
    await house.ready(backend)
    one, other = backend.processes
    pid = other.pid
    os.kill(one.pid, signal.SIGKILL)
    await until(lambda: not backend.alive())
    assert other.seat.up
    await until(backend.alive)
    assert (one.restarts, other.restarts, other.pid) == (1, 0, pid)


async def test_a_report_about_somebody_else_is_not_taken(house: House) -> None:
    backend = house.start("listen", "wait")
    await house.ready(backend)
    (process,) = backend.processes
    assert not backend.on_report(ChildReport("main/g9/0.1", 1, None, 0, gone=True))
    assert not backend.on_report(ChildReport("main/g1/0.99", process.pid, None, 0, gone=True))
    assert process.life is Life.UP


async def test_of_two_processes_that_were_there_the_missing_one_is_started(house: House) -> None:
    backend = house.backend("listen", "wait", backend=TWO)
    note = {"door": "main", "version": "v1", "number": 1, "process": 1, "starts": 1, "restarts": 0}
    reply = await house.link.request("spawn", key="main/g1/1.1", argv=["sleep", "1000"], env={}, note=note)
    report = ChildReport("main/g1/1.1", reply.body["pid"], note, None, gone=False)
    backend.adopt({1: (report, reply.fds[0], True)})
    house.run(backend)
    assert (await house.said("backend.ready"))["pid"] == backend.processes[0].pid
    assert backend.processes[1].pid == report.pid
    assert backend.alive()


async def test_nothing_known_is_said_so(house: House) -> None:
    assert house.backend("wait").problem() == "it did not answer"
