"""A stream that kills the door process again and again is left out, and nobody else with it.

Frontdoor has no stream that does so. So the door process of these tests has a fault, which Python puts into it as it
starts (``sitecustomize``, site(5)): it looks at what it is about to relay, and fails at a certain word.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from e2e.crowded import backends, door_pid
from e2e.harness import Client, Frontdoor, until

Prepare = Callable[..., Frontdoor]

FAULT = """
import os, signal, socket, stat, time
_splice = os.splice

def said(fd):
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return b""
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            return sock.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return b""

def splice(source, *others, **more):
    if b"poison" in said(source):
        {fails}
    return _splice(source, *others, **more)

os.splice = splice
"""

FAILS = {
    "crashes": "os.kill(os.getpid(), signal.SIGSEGV)",
    "raises": "raise RuntimeError('there was poison in it')",
    "hangs": "while True: pass",
}


def with_fault(door: Frontdoor, fails: str) -> Frontdoor:
    os.mkdir(door.path("fault"))
    door.write(FAULT.format(fails=FAILS[fails]), "fault/sitecustomize.py")
    return door.start(PYTHONPATH=door.path("fault"))


def protected(door: Frontdoor, count: int) -> None:
    until(lambda: door.status()["vault"]["streams"] == count, f"{count} streams are protected")


def served_by_another(door: Frontdoor, killed: int) -> int:
    """Wait for a door process that serves, and is not that one; its pid."""
    until(lambda: killed not in door.processes() and door._serves(), "another one serves", within=30)
    return door_pid(door)


def is_closed(client: Client) -> None:
    """By a reset, mostly: what it had said last was not read."""
    with suppress(ConnectionResetError):
        while client.hear():
            pass


def address(client: Client) -> str:
    host, port = client.sock.getsockname()[:2]
    return f"{host}:{port}"


@pytest.mark.parametrize("fails", FAILS)
def test_who_kills_the_door_process_three_times_is_left_out_and_all_others_live(prepare: Prepare, fails: str) -> None:
    door = with_fault(prepare(frontdoor={"hang_timeout": "1s", "protect_after": "100ms"}), fails)
    door.excused |= {"Traceback"}
    before, first = backends(door), door_pid(door)
    others = [door.connect() for _ in range(5)]
    for number, client in enumerate(others):
        assert client.ask(f"hello {number}") == f"hello {number}"
    killer = door.connect()
    assert killer.ask("good day") == "good day"
    protected(door, 6)

    killer.say("poison")
    until(lambda: door.logged("stream.quarantined"), "it is left out", within=60)
    is_closed(killer)
    for number, client in enumerate(others):
        assert client.ask(f"again {number}") == f"again {number}"
    (said,) = door.logged("stream.quarantined")
    assert (said["door"], said["client"]) == ("main", address(killer))
    assert (
        said["reason"] == "the door process died with it in hand, 3 times of late: it is closed, and the others go on"
    )
    died = door.logged("door_process.died")
    assert [entry["stream"] for entry in died] == [said["stream"]] * 3
    streams = door.status()["streams"]
    assert (streams["open"], streams["ended"]) == (5, {"lost": 1})
    assert backends(door) == before
    assert door_pid(door) != first
    deaths = [line for line in door.messages if line.startswith("frontdoor: the door process ended")]
    assert len(deaths) == 3, "and no fourth"
    print("\n".join(deaths))


def test_a_client_that_comes_back_with_it_costs_nobody_else_his_stream(prepare: Prepare) -> None:
    """Young streams end with the door process, and each of them is another one."""
    door = with_fault(prepare(frontdoor={"protect_after": "100ms"}), "crashes")
    other = door.connect()
    assert other.ask("hello") == "hello"
    protected(door, 1)
    for _ in range(3):
        killed = door_pid(door)
        killer = door.connect()
        killer.say("poison")  # at once: nobody protects it
        is_closed(killer)
        served_by_another(door, killed)
        assert other.ask("again") == "again"
    assert door.logged("stream.quarantined") == []


def test_if_nobody_knows_of_which_stream_it_dies_all_are_left_out_and_it_serves(prepare: Prepare) -> None:
    door = prepare(frontdoor={"protect_after": "100ms"}).start()
    before = backends(door)
    clients = [door.connect() for _ in range(3)]
    for client in clients:
        assert client.ask("hello") == "hello"
    protected(door, 3)
    for deaths in range(3):
        assert [client.has_ended() for client in clients] == [False] * 3, f"after {deaths} deaths"
        killed = door_pid(door)
        os.kill(killed, signal.SIGSEGV)  # it idles: nothing is in hand
        served_by_another(door, killed)
    for client in clients:
        assert client.hear() == ""
    entries = door.logged("stream.quarantined")
    assert sorted(entry["client"] for entry in entries) == sorted(map(address, clients))
    assert {entry["reason"] for entry in entries} == {
        "the door process died again and again, and nobody knows of which stream: all are closed"
    }
    assert door.status()["streams"]["ended"] == {"lost": 3}
    assert backends(door) == before
    assert door.connect().ask("new here") == "new here"


def test_kill_9_from_outside_makes_nobody_a_suspect(prepare: Prepare) -> None:
    door = prepare(frontdoor={"protect_after": "100ms"}).start()
    client = door.connect()
    assert client.ask("hello") == "hello"
    protected(door, 1)
    for number in range(4):
        killed = door_pid(door)
        os.kill(killed, signal.SIGKILL)
        served_by_another(door, killed)
        assert client.ask(f"{number}") == f"{number}"
    assert door.logged("stream.quarantined") == []
