"""kill -9 of the door process: streams that have lived for a second live on, with all that is on its way in them."""

import hashlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from e2e.crowded import (
    APP,
    EVERYBODY,
    FILLING,
    SOME,
    at_rest,
    backends,
    crowd_beside,
    door_pid,
    door_processes,
    kill_9,
    random_seed,
    the_ledger_adds_up,
)
from e2e.harness import Client, Frontdoor, until
from e2e.test_crash import until_protected
from load.endless import CHUNK, noise

Serve = Callable[..., Frontdoor]

KILLS = 2
FULL = 32 << 20
"""Bytes: more than all buffers between two processes hold."""


# -- everything at once -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_kill_9_at_random_moments_is_noticed_by_nobody(serve: Serve) -> None:
    seed = random_seed()
    rng = random.Random(seed)
    door = serve(**APP)
    ours, theirs = door.pid, backends(door)

    with crowd_beside(door, FILLING, seed, size=0) as crowd:
        kill_9(door)
        crowd.has_seen_nothing()
    before = at_rest(door)

    took = []
    with crowd_beside(door, EVERYBODY, seed + 1) as crowd:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0, 1.0))
            took.append(kill_9(door))
            crowd.has_seen_nothing()
        cut = crowd.crowd.cut
        streams = len(crowd.crowd)
    print(f"{KILLS} x kill -9; another one served after {max(took):.2f} s at the most")

    after = at_rest(door, before)
    print(f"before:\n{before}\nafter:\n{after}")
    assert after.more_than(before) == []
    assert (door.status()["pid"], backends(door)) == (ours, theirs)
    lost = the_ledger_adds_up(door).get("lost", 0)
    assert cut <= lost, "whoever was cut was counted as lost"
    young = EVERYBODY.visitors * KILLS + FILLING.visitors
    assert lost <= young, f"only visitors can have been too young: {young}, and there were {streams} streams"


def test_kill_9_of_the_one_that_restores(serve: Serve) -> None:
    """A door process that dies before it serves has lost nothing either."""
    seed = random_seed()
    rng = random.Random(seed)
    door = serve(**APP)
    with crowd_beside(door, SOME, seed, size=0) as crowd:
        for _ in range(2):
            killed = door_pid(door)
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: door_processes(door) - {killed}, "another one is started")  # type: ignore[misc]
            time.sleep(rng.uniform(0, 0.6))  # it takes about so long to start and restore
            there = door_processes(door)
            assert len(there) == 1, f"{killed} was killed, there is {door.processes()}"
            (restoring,) = there
            os.kill(restoring, signal.SIGKILL)
            until(lambda restoring=restoring: door_processes(door) - {restoring}, "and another one")  # type: ignore[misc]
            until(door._serves, "which serves")
            crowd.has_seen_nothing()


# -- one thing at a time ---------------------------------------------------------------------------------------------


@pytest.fixture
def app(anew: Serve) -> Frontdoor:
    return anew(**APP)


def ask(door: Frontdoor, head: str, *, buffer: int = 0) -> socket.socket:
    """A client that has said this, and has come of age."""
    sock = socket.socket()
    sock.settimeout(20)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(door.address)
    sock.sendall(f"{head} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return sock


def rest_of(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def stuffed(sock: socket.socket, data: bytes) -> int:
    """Send as much of it as anybody takes; how much."""
    sent = 0
    sock.settimeout(0.5)
    try:
        while sent < len(data):
            sent += sock.send(data[sent : sent + (1 << 16)])
    except TimeoutError:
        pass
    sock.settimeout(20)
    return sent


def test_what_is_in_full_pipes_on_its_way_to_a_client_comes(app: Frontdoor) -> None:
    with closing(ask(app, "GET /pour", buffer=4096)) as sock:
        until_protected(app, 1)  # meanwhile all that there is between the two of them is full
        kill_9(app)
        sock.shutdown(socket.SHUT_WR)
        came = rest_of(sock).partition(b"\r\n\r\n")[2]
    said = int.from_bytes(came[-8:], "big")
    assert len(came) == said + 8 > 100_000
    assert all(came[at : at + CHUNK] == noise(at) for at in range(0, said, CHUNK))


def test_what_is_in_full_pipes_on_its_way_to_the_app_comes(app: Frontdoor) -> None:
    data = b"".join(noise(start) for start in range(0, FULL, CHUNK))
    (backend,) = backends(app)["v1#1"]
    with closing(ask(app, "POST /drink")) as sock:
        until_protected(app, 1)
        os.kill(backend, signal.SIGSTOP)
        sent = stuffed(sock, data)
        assert 100_000 < sent < FULL
        killed = door_pid(app)
        os.kill(killed, signal.SIGKILL)
        until(lambda: door_processes(app) - {killed}, "another one is started")
        os.kill(backend, signal.SIGCONT)
        sock.shutdown(socket.SHUT_WR)
        said = rest_of(sock).decode()
    digest = hashlib.sha256(data[:sent]).hexdigest()
    assert said == f'{{"length": {sent}, "sha256": "{digest}"}}'


def test_a_fin_on_its_way_comes(app: Frontdoor) -> None:
    """It was sent while there was no door process to pass it on."""
    with closing(ask(app, "POST /drink")) as sock:
        until_protected(app, 1)
        killed = door_pid(app)
        os.kill(killed, signal.SIGSTOP)
        sock.sendall(b"the last words")
        sock.shutdown(socket.SHUT_WR)
        os.kill(killed, signal.SIGKILL)
        digest = hashlib.sha256(b"the last words").hexdigest()
        assert rest_of(sock).decode() == f'{{"length": 14, "sha256": "{digest}"}}'


def test_who_leaves_while_there_is_no_door_process_is_counted_as_what_it_is(anew: Serve) -> None:
    door = anew()
    clients = [door.connect() for _ in range(3)]
    assert {client.generation for client in clients} == {"v1#1"}
    until_protected(door, 3)
    killed = door_pid(door)
    os.kill(killed, signal.SIGSTOP)
    clients[0].close()
    os.kill(killed, signal.SIGKILL)
    until(door._serves, "another one serves")
    until(lambda: door.status()["streams"]["open"] == 2, "its end was seen")
    assert door.status()["streams"]["ended"] == {"client_closed": 1}
    assert [client.ask("still there?") for client in clients[1:]] == ["still there?"] * 2


def test_a_stream_goes_on_as_the_one_that_it_was(anew: Serve) -> None:
    """Its age, its client and its bytes are those from before."""
    door = anew()
    client = door.connect()
    client.ask("x" * 1000)
    until_protected(door, 1)
    time.sleep(1.2)  # bytes are written down once a second
    (before,) = door.control.ask("/v1/streams")["streams"]
    kill_9(door)
    (after,) = door.control.ask("/v1/streams")["streams"]
    changing = ("age_s", "idle_s")
    assert {**after, **dict.fromkeys(changing)} == {**before, **dict.fromkeys(changing)}
    assert after["age_s"] >= before["age_s"]
    assert client.ask("and on") == "and on"
    assert the_lost(door) == 0


def the_lost(door: Frontdoor) -> int:
    return int(door.status()["streams"]["ended"].get("lost", 0))


def test_who_is_young_may_be_lost_and_is_counted(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"
    until_protected(door, 1)
    young = [door.connect() for _ in range(3)]
    assert {client.generation for client in young} == {"v1#1"}
    kill_9(door)
    assert old.ask("still there?") == "still there?"
    gone = [client for client in young if client.has_ended()]
    assert (the_lost(door), door.status()["streams"]["open"]) == (len(gone), 1 + len(young) - len(gone))


def test_who_is_in_the_backlog_when_the_door_process_dies_is_served(anew: Serve) -> None:
    door = anew()
    killed = door_pid(door)
    address = door.address
    os.kill(killed, signal.SIGSTOP)
    waiting = [Client(address) for _ in range(5)]
    os.kill(killed, signal.SIGKILL)
    assert {client.generation for client in waiting} == {"v1#1"}
    assert the_lost(door) == 0
    for client in waiting:
        client.close()


def test_a_backend_that_dies_with_the_door_process_ends_its_streams_alone(anew: Serve) -> None:
    door = anew(backends={"*": {"processes": 2}})
    clients = [door.connect() for _ in range(4)]
    first, second = backends(door)["v1#1"]
    assert sorted(client.pid for client in clients) == sorted([first, first, second, second])
    until_protected(door, 4)
    killed = door_pid(door)
    os.kill(killed, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    os.kill(killed, signal.SIGKILL)
    assert [client.ask("hello") for client in clients if client.pid == second] == ["hello"] * 2
    assert [client.hear() for client in clients if client.pid == first] == [""] * 2
    door.hang_up()
    ended = the_ledger_adds_up(door)
    assert ended.get("lost", 0) + ended.get("backend_gone", 0) == 2


# -- what ends it all ------------------------------------------------------------------------------------------------


@pytest.fixture
def old_clients(serve: Serve) -> Iterator[tuple[Frontdoor, list[Client]]]:
    door = serve()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(Client(door.address))) for _ in range(3)]
        assert {client.generation for client in clients} == {"v1#1"}
        until_protected(door, 3)
        yield door, clients


def test_kill_9_of_the_keeper_ends_every_stream(old_clients: tuple[Frontdoor, list[Client]]) -> None:
    door, clients = old_clients
    os.kill(door_pid(door), signal.SIGSTOP)
    in_the_backlog = Client(door.address)
    door.signal(signal.SIGKILL)
    for pid in door_processes(door):
        os.kill(pid, signal.SIGCONT)
    assert [client.hear() for client in clients] == [""] * 3
    assert door.ends() == -signal.SIGKILL
    with closing(in_the_backlog), suppress(ConnectionResetError):
        while in_the_backlog.hear():
            pass  # it may have been taken in the last moment: its end comes all the same


def test_a_stop_ends_what_had_lived_through_a_crash(old_clients: tuple[Frontdoor, list[Client]]) -> None:
    door, clients = old_clients
    kill_9(door)
    assert door.run("stop", "--now").returncode == 0
    assert [client.hear() for client in clients] == [""] * 3
    assert door.ends() == 0
