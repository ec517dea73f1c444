"""kill -9 of the door process of an http door: what was under way ends and is counted, and nothing else is hurt."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from e2e.crowded import backends, come_of_age, door_pid, door_processes, kill_9, random_seed, the_ledger_adds_up
from e2e.harness import Frontdoor, until
from e2e.kept import APP, HALF, Kept, Load

Serve = Callable[..., Frontdoor]
Connect = Callable[[Frontdoor], Kept]

KILLS = 3


def streams(door: Frontdoor) -> int:
    return int(door.status()["streams"]["open"])


def ends(client: Kept) -> bool:
    """Whether the connection ends, in good order or with a reset."""
    try:
        return client.has_ended()
    except ConnectionResetError:
        return True


def test_requests_end_and_are_lost_websockets_live_and_the_app_notices_nothing(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    theirs = backends(door)
    half, idle, fresh, socket = (kept(door) for _ in range(4))
    assert idle.ask() == b"v1#1"
    socket.begin(Connection="Upgrade", Upgrade="echo")
    assert socket.head() == (101, 0)
    socket.say(b"hello")
    assert socket.body(5) == b"hello"
    half.begin("/half")
    half.head()
    assert half.body(HALF) == b"a" * HALF
    until(lambda: streams(door) == 3, "a request, a WebSocket, and one who has not said a word")
    come_of_age()

    kill_9(door)
    restored = door.logs("door.restored")
    assert (restored["streams"], restored["lost"]) == (1, 2)
    assert all(ends(client) for client in (half, idle, fresh))
    socket.say(b"again")
    assert socket.body(5) == b"again"
    door.touch("go")
    assert kept(door).ask() == b"v1#1"
    assert backends(door) == theirs
    assert door.status()["connections"]["open"] == 2, "the WebSocket, and the one who has just been answered"
    socket.close()
    assert the_ledger_adds_up(door) == {"answered": 2, "lost": 2, "client_closed": 1}


def test_who_comes_while_there_is_no_door_process_is_answered(anew: Serve, kept: Connect) -> None:
    door = anew(**APP)
    assert kept(door).ask() == b"v1#1"
    killed = door_pid(door)
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in door_processes(door), "it is dead")
    waiting = [kept(door) for _ in range(3)]
    for client in waiting:
        client.begin()
    assert [client.hear() for client in waiting] == [(200, b"v1#1")] * 3


def test_under_load_the_ledger_adds_up(anew: Serve) -> None:
    """Each client comes back; what it lost was one answer, and the door counts it."""
    seed = random_seed()
    rng = random.Random(seed)
    door = anew(**APP)
    theirs = backends(door)
    failures = 0
    for _ in range(KILLS):
        them = Load(door.address, 8, seed)
        them.begin()
        them.goes_on()
        time.sleep(rng.uniform(0, 0.1))
        kill_9(door)
        them.end()
        failures += len(them.failures)
        assert all("Reset" in why or "ended" in why or "Broken" in why for why in them.failures), them.failures
    ended = the_ledger_adds_up(door)
    print(f"{KILLS} kills: {failures} connections ended, {ended}")
    assert failures == KILLS * 8
    # Each of them had one request under way, two at the most: they may be sent together.
    assert ended.get("lost", 0) <= KILLS * 8
    assert ended.keys() <= {"answered", "client_closed", "client_reset", "lost"}
    assert backends(door) == theirs


@pytest.mark.parametrize("upgraded", [False, True])
def test_half_a_request_that_was_handed_over_ends_with_a_crash_too(
    anew: Serve, kept: Connect, *, upgraded: bool
) -> None:
    door = anew(**APP)
    client = kept(door)
    client.say(b"GET / HTTP/1.1\r\nHo")
    until(lambda: streams(door) == 1, "it was accepted")
    if upgraded:
        assert door.run("upgrade").returncode == 0
        assert streams(door) == 1
    kill_9(door)
    assert ends(client)
    assert the_ledger_adds_up(door) == {"lost": 1}
