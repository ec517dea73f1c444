"""`frontdoor upgrade` with http doors: no request is lost, and no kept connection either."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from e2e.codebase import Codebase
from e2e.crowded import backends, door_pid, door_processes, kill_9, random_seed, the_ledger_adds_up
from e2e.harness import Frontdoor, until
from e2e.kept import APP, HALF, Kept, load, request

Serve = Callable[..., Frontdoor]
Connect = Callable[[Frontdoor], Kept]

UPGRADES = 10 if os.environ.get("FRONTDOOR_LONG") else 2
MANY = 1000


def upgrade(door: Frontdoor) -> int:
    """`frontdoor upgrade`, which must work; the old door process, which may still be there."""
    before = door_pid(door)
    done = door.run("upgrade")
    assert done.returncode == 0, done
    assert door_pid(door) != before
    return before


def ends(door: Frontdoor, pid: int) -> None:
    until(lambda: pid not in door_processes(door), "the old door process ends")


def streams(door: Frontdoor) -> int:
    return int(door.status()["streams"]["open"])


@contextmanager
def follower(door: Frontdoor) -> Iterator[socket.socket]:
    """Somebody who follows the events, and has heard that he is there."""
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(20)
        sock.connect(door.path("run/control.sock"))
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: frontdoor\r\n\r\n")
        while b"\r\n\r\n" not in sock.recv(65536):
            pass
        yield sock


def sockets(pid: int) -> int:
    """How many the process has, its standard ones apart."""
    links = [(int(name), os.readlink(f"/proc/{pid}/fd/{name}")) for name in os.listdir(f"/proc/{pid}/fd")]
    return sum(1 for number, link in links if number > 2 and link.startswith("socket:"))


def test_under_a_load_of_kept_connections_no_request_is_lost(anew: Serve) -> None:
    seed = random_seed()
    rng = random.Random(seed)
    door = anew(**APP)
    theirs = backends(door)
    with load(door, 16, seed, rest=0.02) as them:
        for _ in range(UPGRADES):
            time.sleep(rng.uniform(0, 0.2))
            ends(door, upgrade(door))
            them.goes_on()
    print(f"{UPGRADES} upgrades, {them.answers} answers; the slowest took {them.longest:.2f} s")
    assert them.announced == 0, "nobody is sent away"
    ended = the_ledger_adds_up(door)
    assert ended.keys() <= {"answered", "client_closed"}, ended
    assert backends(door) == theirs


def test_an_idle_connection_goes_on_and_half_a_request_is_not_asked_for_twice(anew: Serve, kept: Connect) -> None:
    door = anew(**APP, http={"max_head": "1MiB"})
    idle, fresh, asking, second, long = (kept(door) for _ in range(5))
    assert idle.ask() == b"v1#1"
    assert second.ask() == b"v1#1"
    said = request("/big?50", "GET")
    asking.say(said[:20])
    second.say(said[:-1])
    long.say(b"GET /big?3 HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * 400_000)  # more than fits into a message
    until(lambda: streams(door) == 3, "three connections were accepted that have had no answer")
    ends(door, upgrade(door))
    assert streams(door) == 3
    asking.say(said[20:])
    second.say(said[-1:])
    long.say(b"c" * 100_000 + b"\r\n\r\n")
    assert [client.hear() for client in (asking, second, long)] == [(200, b"x" * 50)] * 2 + [(200, b"x" * 3)]
    assert (idle.ask(), fresh.ask()) == (b"v1#1", b"v1#1")
    assert streams(door) == 0
    assert the_ledger_adds_up(door) == {"answered": 7}


def test_what_is_under_way_ends_in_the_old_process_and_its_connection_goes_on_in_the_new_one(
    anew: Serve, kept: Connect
) -> None:
    door = anew(**APP)
    half, waiting, echo = (kept(door) for _ in range(3))
    half.begin("/half")
    _, length = half.head()
    assert half.body(HALF) == b"a" * HALF
    waiting.begin("/wait")
    echo.begin("/wait", Connection="Upgrade", Upgrade="echo")
    until(lambda: door.generation("v1#1")["streams"]["open"] == 3, "all are with the app")
    with follower(door) as follows:
        old = upgrade(door)
        while follows.recv(65536):  # whoever follows the control API hears its end, though the process stays
            pass
    assert old in door_processes(door)
    assert sockets(old) == 2 + 2 * 3, "the wire, the channel, and those of the three; it listens nowhere"
    assert door.control.ask("/v1/status")["earlier"] == [{"pid": old, "requests": 3}]
    assert f"the door process before (pid {old}) finishes 3 requests" in door.run("status").stdout
    assert door.generation("v1#1")["streams"]["open"] == 3
    half.begin("/big?7")  # behind it, on the same connection
    door.touch("go")
    assert half.body(length - HALF) == b"b" * HALF
    assert half.hear() == (200, b"x" * 7)
    assert waiting.hear() == (200, b"v1#1")
    assert not waiting.closing
    assert echo.head() == (101, 0)
    ends(door, old)
    assert door.logs("predecessor.ended")["lost"] == 0
    assert door.control.ask("/v1/status")["earlier"] == []
    assert waiting.ask() == b"v1#1", "the connection is kept"
    echo.say(b"hello")
    assert echo.body(5) == b"hello"
    assert streams(door) == 1
    echo.close()
    assert the_ledger_adds_up(door) == {"answered": 4, "client_closed": 1}
    assert door.generation("v1#1")["bytes"]["down"] >= 2 * HALF + 12


def test_a_swap_after_the_upgrade_waits_for_what_the_old_process_has(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    client = kept(door)
    client.begin("/half")
    _, length = client.head()
    client.body(HALF)
    old = upgrade(door)
    door.swap("v2")
    assert door.generation("v1#1")["state"] == "draining"
    door.touch("go")
    assert client.body(length - HALF) == b"b" * HALF
    assert client.ask() == b"v2#2"
    ends(door, old)
    until(lambda: door.generation("v1#1").get("state") in (None, "stopped"), "v1 is stopped")
    assert door.logs("drain.finished", generation="v1#1")["closed"] == 0


def test_a_drain_that_is_cut_short_ends_what_the_old_process_has(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    client = kept(door)
    client.begin("/half")
    client.head()
    old = upgrade(door)
    door.swap("v2")
    assert door.run("drain", "v1", "--now").returncode == 0
    with pytest.raises((AssertionError, ConnectionResetError)):
        client.body(2 * HALF)
    client.close()  # else it is heard out, as anybody who is told goodbye
    ends(door, old)
    assert the_ledger_adds_up(door) == {"drain_closed": 1}


def test_what_is_left_is_closed_after_the_time_that_a_drain_has(anew: Serve, kept: Connect) -> None:
    door = anew(**APP, drain={"timeout": "1s", "close_over": "0s"})
    client = kept(door)
    client.begin("/half")
    client.head()
    old = upgrade(door)
    with pytest.raises((AssertionError, ConnectionResetError)):
        client.body(2 * HALF)
    client.close()
    ends(door, old)
    assert the_ledger_adds_up(door) == {"drain_closed": 1}


def test_two_upgrades_and_a_crash_while_an_answer_is_under_way(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    client, other = kept(door), kept(door)
    client.begin("/half")
    _, length = client.head()
    client.body(HALF)
    first = upgrade(door)
    other.begin("/half")
    other.head()
    other.body(HALF)
    second = upgrade(door)
    assert {first, second} < door_processes(door)
    kill_9(door)
    assert {first, second} < door_processes(door)
    assert streams(door) == 2, "the next process knows of them"
    door.touch("go")
    for one in (client, other):
        assert one.body(length - HALF) == b"b" * HALF
        assert one.ask() == b"v1#1"
    ends(door, first)
    ends(door, second)
    assert the_ledger_adds_up(door) == {"answered": 4}


def test_who_waits_in_a_pause_is_answered_by_the_new_process(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    client = kept(door)
    assert client.ask() == b"v1#1"
    door.run("pause")
    client.begin(method="POST", body=b"12345")
    until(lambda: streams(door) == 1, "it waits")
    ends(door, upgrade(door))
    assert streams(door) == 1
    door.run("resume")
    assert client.hear() == (200, b"5")
    assert the_ledger_adds_up(door) == {"answered": 2}


def test_a_request_that_has_to_be_tried_again_is_the_new_processes(anew: Serve, kept: Connect) -> None:
    """It was sent on a kept connection, and the app has died without a word: so it may be asked once more."""
    door = anew(**APP, limits={"hold_timeout": "30s"})
    client = kept(door)
    assert client.ask() == b"v1#1"
    client.begin("/wait")
    until(lambda: streams(door) == 1, "it is with the app")
    old = upgrade(door)
    assert old in door_processes(door)
    (backend,) = backends(door)["v1#1"]
    os.kill(backend, signal.SIGKILL)
    door.touch("go")
    assert client.hear() == (200, b"v1#1")
    ends(door, old)
    assert backends(door)["v1#1"] != [backend]
    assert the_ledger_adds_up(door) == {"answered": 2}


def test_kill_9_of_the_old_process_loses_what_it_had_and_nothing_else(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    client, idle = kept(door), kept(door)
    assert idle.ask() == b"v1#1"
    client.begin("/half")
    client.head()
    old = upgrade(door)
    os.kill(old, signal.SIGKILL)
    with pytest.raises((AssertionError, ConnectionResetError)):
        client.body(2 * HALF)
    assert idle.ask() == b"v1#1"
    assert door.logs("predecessor.ended")["lost"] == 1
    assert the_ledger_adds_up(door) == {"answered": 2, "lost": 1}
    assert door.logged("door.restored") == [] or len(door.logged("door.restored")) == 1
    assert door_pid(door) != old


def test_a_thousand_idle_connections_go_along(anew: Serve, kept: Connect) -> None:
    """More than fit into a message, and than the channel between the two takes at once."""
    door = anew(**APP)
    many = [kept(door) for _ in range(MANY)]
    busy = kept(door)
    for client in many[: MANY // 2]:
        client.begin()
    for client in many[: MANY // 2]:
        assert client.hear() == (200, b"v1#1")
    busy.begin("/half")
    busy.head()
    until(lambda: door.status()["connections"] == {"open": MANY + 1, "idle": MANY // 2}, "all are there")
    began = time.monotonic()
    old = upgrade(door)
    until(lambda: door.status()["connections"]["idle"] == MANY // 2, "those that are idle are here")
    print(f"{MANY} connections: the upgrade took {time.monotonic() - began:.2f} s")
    for client in many:
        client.begin()
    assert {client.hear() for client in many} == {(200, b"v1#1")}
    door.touch("go")
    assert busy.body(2 * HALF).endswith(b"b")
    ends(door, old)
    until(lambda: door.status()["connections"] == {"open": MANY + 1, "idle": MANY + 1}, "all of them are idle")
    assert the_ledger_adds_up(door) == {"answered": MANY // 2 + MANY + 1}


def test_new_code_that_fails_when_it_has_taken_over_changes_nothing(prepare: Serve) -> None:
    seed = random_seed()
    with closing(Codebase()) as code:
        door = prepare(**APP).start(PYTHONPATH=code.path)
        door.excused.add("Traceback")
        with load(door, 8, seed, rest=0.02) as them:
            before = door_pid(door)
            code.end_with("door/restore.py", "def restore(*_):\n    1 / 0")
            failed = door.run("upgrade")
            assert failed.returncode == 1
            assert "ZeroDivisionError" in failed.stderr
            assert door_processes(door) == {before}
            them.goes_on()
            code.mend()
            ends(door, upgrade(door))
            them.goes_on()
        assert the_ledger_adds_up(door).keys() <= {"answered", "client_closed"}
