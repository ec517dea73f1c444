from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest
import trio
import trio.testing

from frontdoor.keeper.link import ChildReport
from frontdoor.policy import backoff
from frontdoor.processes.listener import socket_key
from frontdoor.processes.member import Life
from keeper.watching import children, descriptors, stat
from processes.house import House, until, write_line

PASSED = "listen_fd = true"
OK = r"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)


def path(house: House) -> str:
    return f"{house.folder}/g1/0.sock"


async def ask(house: House) -> bytes:
    """A client's question; the answer."""
    with trio.fail_after(10):
        client = await trio.open_unix_socket(path(house))
        async with client:
            await client.send_all(b"anybody there?")
            return await client.receive_some()


async def test_the_process_finds_its_socket_open(house: House) -> None:
    backend = house.start("take", f"serve:{OK}", backend=PASSED)
    await house.ready(backend)
    assert await ask(house) == OK.encode().decode("unicode_escape").encode()


@pytest.mark.parametrize("check", ["connect", "http:/"])
async def test_that_there_is_a_queue_does_not_make_it_ready(house: House, check: str) -> None:
    fifo = house.fifo()
    ready = f'check = "{check}"\ntimeout = "20ms"'
    backend = house.start("say:soon", f"read:{fifo}", "take", f"serve:{OK}", backend=PASSED, ready=ready)
    await until(lambda: backend.problem() == "no answer within 0.02 s")
    assert await house.line(backend) == "soon"
    assert not backend.alive()
    await write_line(fifo)
    await house.ready(backend)


@pytest.mark.parametrize("acts", [("exit:0",), ("take", "exit:1"), ("listen", "wait")], ids=str)
async def test_one_that_exits_at_once_is_not_taken_for_ready(house: House, acts: tuple[str, ...]) -> None:
    backend = house.start(*acts, backend=PASSED)
    assert "before it was ready" in await house.failed(backend)
    await house.ended(backend)
    assert house.of("backend.ready") == []


async def test_who_waits_when_it_crashes_is_served_by_the_next_one(house: House, nursery: trio.Nursery) -> None:
    backend = house.start("take", f"serve:{OK}", backend=PASSED)
    await house.ready(backend)
    (process,) = backend.processes
    os.kill(process.pid, signal.SIGSTOP)
    await until(lambda: stat(process.pid)[2] == "T")
    answers: list[bytes] = []

    async def client() -> None:
        answers.append(await ask(house))

    for _ in range(5):
        nursery.start_soon(client)
    await trio.testing.wait_all_tasks_blocked(0.01)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: len(answers) == 5)
    assert all(answers)
    assert process.restarts == 1


async def test_its_end_is_the_end_of_the_queue(house: House) -> None:
    before = descriptors(), descriptors(house.keeper)
    backend = house.start("take", f"serve:{OK}", backend=f'{PASSED}\nrestart = "never"\nprocesses = 2')
    await house.ready(backend)
    one, other = backend.processes
    os.kill(one.pid, signal.SIGKILL)
    await until(one.failed.is_set)
    assert not house.has("g1/0.sock"), "nobody would ever serve who waits there"
    assert house.has("g1/1.sock")
    assert other.seat.up
    backend.stop()
    await house.ended(backend)
    assert not house.has("g1")
    await until(lambda: (descriptors(), descriptors(house.keeper)) == before)


async def test_a_socket_whose_file_was_removed_is_made_anew(house: House) -> None:
    backend = house.start("take", f"serve:{OK}", backend=PASSED)
    await house.ready(backend)
    os.unlink(path(house))
    os.kill(backend.processes[0].pid, signal.SIGKILL)
    await house.said("backend.ready", 2)
    assert await ask(house)


async def test_a_file_in_its_place_is_said(house: House) -> None:
    house.file("g1/0.sock", "dear to somebody")
    backend = house.start("take", "wait", backend=PASSED)
    why = "it could not be started: there is a file of that name, and it is not a socket"
    assert await house.failed(backend) == why
    await house.ended(backend)


# -- the door process dies ----------------------------------------------------------------------------------------


def note(**more: Any) -> dict[str, Any]:
    return {"door": "main", "version": "v1", "number": 1, "process": 0, "starts": 1, "restarts": 0, **more}


async def test_the_queue_outlives_the_door_process_and_the_process_behind_it(house: House) -> None:
    """Killed between the two: the keeper has the socket, and there is no process."""
    os.mkdir(f"{house.folder}/g1")
    key = socket_key("main", 1, 0)
    (copy,) = (await house.link.request("listen", key=key, address=f"unix:{path(house)}")).fds
    os.close(copy)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path(house))
        client.send(b"waiting")
        backend = house.backend("take", f"serve:{OK}", backend=PASSED)
        backend.adopt({})
        house.run(backend)
        assert await trio.to_thread.run_sync(client.recv, 100)
    assert backend.alive()


async def test_an_adopted_process_hands_its_queue_on(house: House) -> None:
    backend = house.backend("take", f"serve:{OK}", backend=PASSED)
    os.mkdir(f"{house.folder}/g1")
    key = socket_key("main", 1, 0)
    (copy,) = (await house.link.request("listen", key=key, address=f"unix:{path(house)}")).fds
    inode = os.fstat(copy).st_ino
    reply = await house.link.request("spawn", key="main/g1/0.1", argv=["sleep", "9"], env={}, note=note(), listener=key)
    report = ChildReport("main/g1/0.1", reply.body["pid"], note(), None, gone=False)
    backend.adopt({0: (report, reply.fds[0], True)})
    house.run(backend)
    await until(backend.alive)
    os.kill(report.pid, signal.SIGKILL)
    await house.said("backend.ready")
    (again,) = (await house.link.request("listen", key=key, address=f"unix:{path(house)}")).fds
    assert os.fstat(again).st_ino == inode
    assert await ask(house)
    os.close(copy)
    os.close(again)


async def test_a_candidate_that_is_stopped_before_it_was_started_leaves_nothing(house: House) -> None:
    before = descriptors(house.keeper)
    os.mkdir(f"{house.folder}/g1")
    reply = await house.link.request("listen", key=socket_key("main", 1, 0), address=f"unix:{path(house)}")
    os.close(reply.fds[0])
    backend = house.backend("take", "wait", backend=PASSED)
    backend.adopt({})
    backend.stop()
    house.run(backend)
    await house.ended(backend)
    assert backend.processes[0].life is Life.EXITED
    assert children(house.keeper) == []
    assert descriptors(house.keeper) == before
    assert os.listdir(house.folder) == []
