"""The stop of a frontdoor with an http door: who has asked is answered, and told that this was the last answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.crowded import door_pid, door_processes
from e2e.harness import Frontdoor, until
from e2e.kept import APP, HALF, Kept

Serve = Callable[..., Frontdoor]
Connect = Callable[[Frontdoor], Kept]


def stop(door: Frontdoor) -> None:
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")


def begun(door: Frontdoor, client: Kept) -> int:
    """Half of an answer has come; how much is to come."""
    client.begin("/half")
    _, length = client.head()
    assert client.body(HALF) == b"a" * HALF
    return length - HALF


def test_who_is_idle_goes_at_once_and_who_has_asked_is_answered_and_told_to_go(serve: Serve, kept: Connect) -> None:
    door = serve(**APP)
    idle, half, waiting, fresh, asking = (kept(door) for _ in range(5))
    assert idle.ask() == b"v1#1"
    rest = begun(door, half)
    waiting.begin("/wait")
    asking.say(b"GET / HTTP/1.1\r\nHost")
    until(lambda: door.status()["streams"]["open"] == 4, "all but the idle one count")
    stop(door)
    assert idle.has_ended()
    asking.say(b": a\r\n\r\n")
    assert asking.hear() == (200, b"v1#1")
    assert asking.closing
    assert asking.has_ended()
    assert fresh.has_ended(), "nothing was lost: he has not asked for anything"
    door.touch("go")
    assert half.body(rest) == b"b" * HALF
    assert half.has_ended(), "its head had gone before"
    assert waiting.hear() == (200, b"v1#1")
    assert waiting.closing
    assert waiting.has_ended()
    ledger = door.last_ledger()
    assert door.ends() == 0
    assert ledger["accepted"] == 5
    assert door.messages == []


def test_who_is_in_the_backlog_is_answered(serve: Serve, kept: Connect) -> None:
    door = serve(**APP)
    assert kept(door).ask() == b"v1#1"
    door_process = door_pid(door)
    os.kill(door_process, signal.SIGSTOP)
    queued = [kept(door) for _ in range(5)]  # by the kernel: nobody has accepted them
    for client in queued:
        client.begin()
    door.signal(signal.SIGTERM)
    os.kill(door_process, signal.SIGCONT)
    for client in queued:
        assert client.hear() == (200, b"v1#1")
        assert client.has_ended()
    assert door.ends() == 0


@pytest.mark.parametrize("twice", [False, True])
def test_what_outlasts_the_time_for_it_is_cut_off(serve: Serve, kept: Connect, *, twice: bool) -> None:
    changes: dict[str, Any] = {"drain": {"shutdown_timeout": "30s" if twice else "500ms"}}
    door = serve(**APP, **changes)
    half, waiting = kept(door), kept(door)
    begun(door, half)
    waiting.begin("/wait")
    until(lambda: door.status()["streams"]["open"] == 2, "both are under way")
    began = time.monotonic()
    stop(door)
    if twice:
        door.signal(signal.SIGTERM)
    with pytest.raises((AssertionError, ConnectionResetError)):
        half.body(HALF)
    status, _ = waiting.hear()
    assert (status, waiting.closing) == (503, True), "nothing had been sent: there is room for a word"
    assert door.ends() == 0
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("patient", [True, False])
def test_what_an_earlier_door_process_has_is_waited_for_too(serve: Serve, kept: Connect, *, patient: bool) -> None:
    changes: dict[str, Any] = {"drain": {"shutdown_timeout": "30s" if patient else "300ms"}}
    door = serve(**APP, **changes)
    client = kept(door)
    rest = begun(door, client)
    old = door_pid(door)
    assert door.run("upgrade").returncode == 0
    assert old in door_processes(door)
    stop(door)
    if patient:
        assert nobody_is_let_in(door)
        door.touch("go")
        assert client.body(rest) == b"b" * HALF
        assert client.has_ended()
    else:
        with pytest.raises((AssertionError, ConnectionResetError)):
            client.body(rest)
    assert door.ends() == 0, "and nothing is left of the earlier one"


def nobody_is_let_in(door: Frontdoor) -> bool:
    """Wait until nobody is let in any more."""

    def refused() -> bool:
        try:
            Kept(door.address).close()
        except ConnectionRefusedError:
            return True
        return False

    return until(refused, "nobody is let in")
