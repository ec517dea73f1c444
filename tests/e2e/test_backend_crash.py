"""kill -9 of backends under load: who comes afterwards waits, or goes to a sibling, and is served. None is refused."""

import os
import signal
from collections.abc import Callable
from datetime import datetime

import pytest

from e2e.harness import Client, Frontdoor, greeter, until
from e2e.kill import kill
from e2e.shared import Shared
from e2e.visitors import Visitors

Serve = Callable[..., Frontdoor]

HOLD = {"hold_timeout": "30s"}
VISITORS = 10


@pytest.fixture
def on_call(shared: Shared, anew: Serve) -> Callable[..., Frontdoor]:
    """A door whose backends start only while the file "go" is there: whoever is to be restarted waits for the test."""

    def started(processes: int = 1) -> Frontdoor:
        command = greeter("--wait-for", "go")
        shared.touch("go")
        return anew(backends={"*": {"command": command, "processes": processes}}, limits=HOLD)

    return started


def pids(door: Frontdoor, generation: str = "v1#1") -> list[int]:
    return [process["pid"] for process in door.generation(generation)["processes"]]


def open_streams(door: Frontdoor, count: int) -> None:
    """Wait until so many are open, at a backend or waiting for one."""
    until(lambda: door.status()["streams"]["open"] == count, f"{count} streams are open")


def nobody_noticed(visitors: Visitors, dead: float) -> None:
    """None was refused, and all who came when the backend was dead have been greeted."""
    assert visitors.refused == 0
    assert visitors.since(dead)
    assert [visit for visit in visitors.since(dead) if visit.cut] == []


def the_ledger_adds_up(door: Frontdoor, cut: int) -> None:
    """`cut`: at least so many were inside when the backend died; others had got what they came for."""
    open_streams(door, 0)
    ended = door.status()["streams"]["ended"]
    assert door.status()["streams"]["accepted"] == sum(ended.values())
    assert set(ended) <= {"client_closed", "client_reset", "backend_gone"}
    assert ended.get("backend_gone", 0) >= cut


def test_kill_9_of_the_only_process_under_load(on_call: Serve) -> None:
    door = on_call()
    (pid,) = pids(door)
    with Visitors(door, VISITORS) as visitors:
        visitors.all_come_again()
        os.unlink(door.path("go"))
        dead = kill(pid, signal.SIGKILL)
        open_streams(door, VISITORS)  # they all have come again, and wait
        assert visitors.since(dead) == [], "nobody was sent away"
        door.touch("go")
        visitors.all_come_again()
    nobody_noticed(visitors, dead)
    assert {visit.pid for visit in visitors.since(dead)} == set(pids(door))
    assert pids(door) != [pid]
    the_ledger_adds_up(door, cut=visitors.cut)


def test_kill_9_of_one_of_three_under_load(on_call: Serve) -> None:
    door = on_call(processes=3)
    stay = {client.pid: client for client in (door.connect() for _ in range(3))}
    pid, *siblings = pids(door)
    assert set(stay) == {pid, *siblings}
    with Visitors(door, VISITORS) as visitors:
        visitors.all_come_again()
        os.unlink(door.path("go"))
        dead = kill(pid, signal.SIGKILL)
        visitors.all_come_again()
        assert {visit.pid for visit in visitors.since(dead)} == set(siblings), "they carry the load"
        door.touch("go")
        until(lambda: door.process("v1#1")["state"] == "up", "it is up again")
        restarted = pids(door)[0]
        until(lambda: ("v1#1", restarted) in visitors.greeted_by, "and takes its part of it")
    nobody_noticed(visitors, dead)
    assert stay[pid].hear() == ""
    assert {stay[sibling].ask("still there?") for sibling in siblings} == {"still there?"}
    door.hang_up()
    the_ledger_adds_up(door, cut=visitors.cut + 1)


def test_what_waits_in_the_accept_queue_of_a_process_is_lost_with_it(anew: Serve) -> None:
    door = anew()
    pid = door.process("v1#1")["pid"]
    os.kill(pid, signal.SIGSTOP)
    queued = [door.connect() for _ in range(5)]  # the kernel has connected them: for the door they are streams
    until(lambda: door.generation("v1#1")["streams"]["open"] == 5, "they all are in the queue")
    kill(pid, signal.SIGKILL)
    until(lambda: all(client.has_ended() for client in queued), "they are told so")
    door.hang_up()
    until(lambda: door.status()["streams"]["ended"] == {"backend_gone": 5}, "the ledger says why")
    assert door.connect().generation == "v1#1"


def test_restarts_back_off(anew: Serve) -> None:
    door = anew()
    for crash in (1, 2, 3):
        kill(door.process("v1#1")["pid"], signal.SIGKILL)
        client = door.connect()
        assert client.generation == "v1#1", "who comes while it backs off is served in the end"
        assert door.process("v1#1")["restarts"] == crash

    _, *starts = door.logged("backend.starting")
    exits, waits = door.logged("backend.exited"), door.logged("backend.restarting")
    assert [wait["delay_s"] for wait in waits] == [0.25, 0.5, 1.0]
    for exited, wait, start in zip(exits, waits, starts, strict=True):
        assert wait["reason"] == "it was ended by SIGKILL"
        was, began = (datetime.fromisoformat(entry["time"]).timestamp() for entry in (exited, start))
        assert wait["delay_s"] <= began - was < wait["delay_s"] + 5, "on a busy machine"


def test_a_swap_heals_what_is_never_restarted_under_load(anew: Serve) -> None:
    door = anew(backends={"v1": {"restart": "never"}}, limits=HOLD)
    with Visitors(door, VISITORS) as visitors:
        visitors.all_come_again()
        dead = kill(door.process("v1#1")["pid"], signal.SIGKILL)
        open_streams(door, VISITORS)
        until(lambda: door.process("v1#1")["state"] == "exited", "its end was seen")
        door.swap("v2")
        visitors.all_come_again()
    nobody_noticed(visitors, dead)
    assert {visit.generation for visit in visitors.since(dead)} == {"v2#2"}
    the_ledger_adds_up(door, cut=visitors.cut)


# -- a full backlog --------------------------------------------------------------------------------------------------

IN_THE_QUEUE = 2  # of a listen(1): unix(7) and Linux let in one more than was asked for
WAITING = 6


@pytest.fixture
def full(anew: Serve) -> tuple[Frontdoor, list[Client]]:
    """A door whose backend has stopped, and so many clients that not all of them fit into its accept queue."""
    door = anew(backends={"v1": {"command": greeter("--backlog", "1")}}, limits=HOLD)
    first = door.connect()
    pid = first.pid  # it has been greeted: by then the ready check has left the queue
    first.close()
    open_streams(door, 0)
    os.kill(pid, signal.SIGSTOP)
    clients = [door.connect() for _ in range(IN_THE_QUEUE + WAITING)]
    open_streams(door, len(clients))
    assert door.generation("v1#1")["streams"]["open"] == IN_THE_QUEUE
    return door, clients


def test_who_comes_while_the_backlog_is_full_waits(full: tuple[Frontdoor, list[Client]]) -> None:
    door, clients = full
    pid = door.process("v1#1")["pid"]
    os.kill(pid, signal.SIGCONT)
    assert {client.pid for client in clients} == {pid}
    door.hang_up()
    until(lambda: door.status()["streams"]["ended"] == {"client_closed": len(clients) + 1}, "as usual")


def test_who_waits_at_a_full_backlog_when_a_swap_comes_goes_to_the_new_version(
    full: tuple[Frontdoor, list[Client]],
) -> None:
    door, clients = full
    door.swap("v2")
    queued, waiting = clients[:IN_THE_QUEUE], clients[IN_THE_QUEUE:]
    assert {client.generation for client in waiting} == {"v2#2"}
    os.kill(door.process("v1#1")["pid"], signal.SIGCONT)
    assert {client.generation for client in queued} == {"v1#1"}, "what it had was not moved"
    door.hang_up()
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]
