from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from frontdoor.config import HealthSettings
from frontdoor.policy.generation import State
from frontdoor.processes import health
from frontdoor.processes.member import Life
from keeper.watching import children
from processes.house import House, until

OURS = 'socket = "app-{process}.sock"'
IN_A_HURRY = 'timeout = "30ms"'


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK", 0.005)
    monkeypatch.setattr(health, "UNASKED_LOOK", 0.005)


@pytest.fixture
def path(house: House) -> str:
    return f"{house.folder}/app-0.sock"


@pytest.fixture
def server(path: str) -> Iterator[socket.socket]:
    """Somebody else's app."""
    with listening(path) as it:
        yield it


def listening(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


async def test_it_is_dialled_and_that_is_all(house: House, path: str, server: socket.socket) -> None:
    backend = house.start(backend=OURS)
    await house.ready(backend)
    (external,) = backend.processes
    assert (external.seat.address, external.seat.up, external.life, external.pid) == (path, True, Life.UP, 0)
    assert repr(external) == "<External v1#1/0 up>"
    assert [name for name, _ in house.events] == ["backend.starting", "backend.ready"]
    assert backend.alive()
    assert os.listdir(house.folder) == ["app-0.sock"], "no folder is made for it"
    backend.stop(5.0)
    await house.ended(backend)
    assert (external.seat.up, external.life) == (False, Life.EXITED)
    assert house.has("app-0.sock")
    server.accept()[0].close()
    assert children(house.keeper) == []


async def test_it_has_as_many_sockets_as_processes(house: House, server: socket.socket) -> None:
    backend = house.start(backend=f'{OURS}\nprocesses = 2\nproxy_protocol = "v2"')
    await until(lambda: backend.processes[0].seat.up)
    await until(lambda: backend.problem() == f"there is no socket at {house.folder}/app-1.sock")
    with listening(f"{house.folder}/app-1.sock"):
        await house.ready(backend)
    assert [seat.proxy_protocol for seat in backend.generation.seats] == ["v2", "v2"]


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ("nothing", "there is no socket at {path}"),
        ("file", "what is there is not a socket ({path})"),
        ("folder", "what is there is not a socket ({path})"),
        ("link to nowhere", "there is no socket at {path}"),
        ("socket of nobody", "nobody listens on its socket ({path})"),
        ("datagram socket", "its socket cannot be reached: Protocol wrong type for socket ({path})"),
        ("who never answers", "no answer within 0.03 s ({path})"),
    ],
)
async def test_what_is_wrong_with_it_is_said_with_its_path(house: House, path: str, there: str, problem: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if "datagram" in there else socket.SOCK_STREAM) as sock:
        if there == "file":
            house.file("app-0.sock")
        elif there == "folder":
            os.mkdir(path)
        elif there == "link to nowhere":
            os.symlink("/nowhere/s", path)
        elif there != "nothing":
            sock.bind(path)
        if there == "who never answers":
            sock.listen()
        backend = house.start(backend=OURS, ready='check = "http:/"\n' + IN_A_HURRY)
        await until(lambda: backend.problem() == problem.format(path=path))
        assert not backend.alive()
        assert not backend.processes[0].failed.is_set(), "it may come yet"
        backend.stop()
        await house.ended(backend)
        assert house.has("app-0.sock") is (there != "nothing")


async def test_gone_it_gets_no_stream_until_it_is_back(house: House, path: str, server: socket.socket) -> None:
    house.health = HealthSettings.model_validate({"interval": "5ms", "failures": 2})
    backend = house.start(backend=OURS)
    await house.ready(backend)
    backend.generation.state = State.ACTIVE
    (external,) = backend.processes
    server.close()
    os.unlink(path)
    exited = await house.said("backend.exited")
    why = f"failed its health check 2 times in a row: there is no socket at {path}"
    assert exited == {"process": 0, "reason": why}
    assert backend.generation.conduct.crashes == 1
    assert (external.seat.up, external.life) == (False, Life.DOWN)
    assert path in external.reason
    assert not external.failed.is_set()
    backend.generation.state = State.DRAINING  # a rollback to it must find it well
    with listening(path):
        await house.said("backend.ready", 2)
        await until(backend.alive)
    backend.stop()
    await house.ended(backend)


async def test_after_a_crash_of_the_door_process_it_goes_on_as_it_was(house: House) -> None:
    backend = house.backend(backend=OURS)
    backend.adopt({})
    house.run(backend)
    await until(backend.alive)
    assert house.events == []


async def test_stopped_before_it_runs_it_gets_no_stream(house: House, server: socket.socket) -> None:
    backend = house.backend(backend=OURS)
    backend.stop()
    house.run(backend)
    await house.ended(backend)
    assert house.events == []
    assert not backend.processes[0].proved.is_set()
