"""Socket activation: frontdoor owns the listener of each process, and whoever waits there outlives the process."""

import os
import signal
from collections.abc import Callable

from e2e.doors import Changing, OneDoor
from e2e.harness import Client, greeter, until
from e2e.swarm import READY, UVICORN
from keeper.watching import stat

Only = Callable[..., OneDoor]

PASSED = {"*": {"command": greeter("--passed"), "listen_fd": True}}


def stop(pid: int) -> None:
    """SIGSTOP: clients that come now wait in its accept queue."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stat(pid)[2] == "T", "it is stopped")


def queued(door: OneDoor, count: int) -> list[Client]:
    """Clients in the accept queue of a process that is stopped; they have said something already."""
    clients = [door.connect() for _ in range(count)]
    for client in clients:
        client.say("hello?")
    until(lambda: door.generation("v1#1")["bytes"]["up"] == count * len("hello?\n"), "all of it is there")
    return clients


def test_the_listener_is_passed_as_systemd_would(only: Only) -> None:
    door = only(backends=PASSED)
    client = door.connect()
    pid = door.pid("v1#1")
    assert client.pid == pid
    assert client.ask("env LISTEN_FDS") == "1"
    assert client.ask("env LISTEN_PID") == str(pid)
    assert client.ask("env LISTEN_FDNAMES") == "frontdoor"
    path = client.ask("env FRONTDOOR_SOCKET")
    assert os.readlink(f"/proc/{pid}/fd/3").startswith("socket:")
    assert os.path.exists(path)

    client.say("exit 1")
    again = door.connect()
    assert again.ask("env LISTEN_PID") == str(again.pid) != str(pid)
    assert again.ask("env FRONTDOOR_SOCKET") == path


def test_kill_9_loses_nobody_who_waits_in_its_accept_queue(only: Only) -> None:
    door = only(backends=PASSED)
    pid = door.pid("v1#1")
    inside = door.connect()
    assert inside.pid == pid
    stop(pid)
    waiting = queued(door, 20)
    os.kill(pid, signal.SIGKILL)
    assert inside.hear() == "", "whom it had accepted is lost with it"
    for client in waiting:
        assert client.generation == "v1#1"
        assert client.hear() == "hello?"
    assert {client.pid for client in waiting} == {door.pid("v1#1")}
    inside.close()
    until(lambda: door.status()["streams"]["ended"] == {"backend_gone": 1}, "and nobody else")


def test_swaps_and_restart(only: Only) -> None:
    door = only(backends=PASSED)
    first = door.connect()
    sockets = [first.ask("env FRONTDOOR_SOCKET")]
    for verb, active in ((["swap", "v2"], "v2#2"), (["restart"], "v2#3"), (["swap", "v1"], "v1#4")):
        assert door.run(*verb).returncode == 0
        client = door.connect()
        assert client.generation == active
        sockets.append(client.ask("env FRONTDOOR_SOCKET"))
        client.close()
    assert len(set(sockets)) == 4, "each has a listener of its own"
    until(lambda: not any(map(os.path.exists, sockets[1:3])), "those of what has ended are removed")
    assert first.ask("still there?") == "still there?"
    assert os.path.exists(sockets[0])


def test_kill_9_of_the_door_process_and_of_the_process(only: Only, changing: Changing) -> None:
    door = only(backends=PASSED)
    pid = door.pid("v1#1")
    stop(pid)
    changing.kill_door_process()
    assert door.pid("v1#1") == pid, "it was taken up as it was"
    waiting = queued(door, 5)
    os.kill(pid, signal.SIGKILL)
    assert [client.ask("served?") for client in waiting] == ["hello?"] * 5

    # Both at once: nobody is there to see the process die, and nobody is there to start another one.
    pid, door_process = door.pid("v1#1"), changing.control.ask("/v1/status")["door_pid"]
    changing.hang_up()
    os.kill(door_process, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    os.kill(door_process, signal.SIGKILL)
    after = door.connect()
    assert after.generation == "v1#1"
    assert after.pid == door.pid("v1#1") != pid
    door.swap("v2")
    assert door.connect().generation == "v2#2"


def test_uvicorn(only: Only) -> None:
    """A real server that takes a listener: its users see a pause where there would be errors."""
    command = [word for word in UVICORN if word not in ("--uds", "{socket}")]
    command[-1:-1] = ["--fd", "3"]
    door = only(backends={"*": {"command": command, "listen_fd": True}}, ready=READY)
    pid = door.pid("v1#1")
    stop(pid)
    clients = [door.connect() for _ in range(5)]
    for client in clients:
        client.say("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r")
    os.kill(pid, signal.SIGKILL)
    assert [client.hear() for client in clients] == ["HTTP/1.1 200 OK\r"] * 5
