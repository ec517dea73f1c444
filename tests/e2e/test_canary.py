"""The canary: exactly its share of the new streams, or of the clients; up by itself, by hand, and back."""

import errno
import itertools
import os
import re
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.crowd import Crowd
from e2e.doors import Changing, OneDoor, tcp
from e2e.harness import Frontdoor, until
from e2e.kill import kill

Only = Callable[..., OneDoor]

NEWCOMER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "newcomer.py")

AT_ONCE = 50
"""Clients that are on their way at the same time."""

RATE = 300
"""New clients a second, where it matters how soon something is noticed."""

BUSY, ROLLED_BACK = 5, 7


def newcomer(kind: str, **more: Any) -> dict[str, Any]:
    return {"command": [sys.executable, "-I", "-S", NEWCOMER, kind], **more}


RELEASES = {name: newcomer("good") for name in ("v1", "v2", "v3")} | {
    "hangs-up": newcomer("hangs-up"),
    "deaf": newcomer("is-deaf"),
}


def door_with(only: Only, **changes: Any) -> OneDoor:
    """A door of these releases."""
    door = only(**{"backends": RELEASES, "ready": {"check": "notify"}, **changes})
    until(door.serves, "it serves")
    return door


def tried_out(door: OneDoor, share: str, *more: str, version: str = "v2") -> str:
    """`frontdoor swap --canary`, which comes back when the share holds; what it says."""
    swap = door.run("swap", version, "--canary", share, *more)
    assert swap.returncode == 0, swap
    return swap.stdout + swap.stderr


def shares(door: OneDoor) -> list[str]:
    """The shares that its canary was given, one after the other."""
    return [said["share"] for said in door.logged("canary.share")]


def seconds_between(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Of two entries of the log."""
    times = (datetime.fromisoformat(entry["time"]) for entry in (second, first))
    return (next(times) - next(times)).total_seconds()


def connect(door: OneDoor, source: str = "") -> socket.socket:
    """A client of the door, from that address, on its way."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if source:
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT, ip(7): the port is chosen with connect
        sock.bind((source, 0))
    failed = sock.connect_ex(tcp(door.address))
    assert failed in (0, errno.EINPROGRESS), f"refused: {errno.errorcode[failed]}"
    return sock


def greetings(door: OneDoor, sources: Iterable[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, str]]:
    """Who greets a client from each of these addresses: (address, version). Each leaves when it has been greeted."""
    coming, here = iter(sources), dict[int, tuple[str, socket.socket]]()
    poll = select.epoll()
    try:
        while True:
            for source in itertools.islice(coming, at_once - len(here)):
                sock = connect(door, source)
                here[sock.fileno()] = source, sock
                poll.register(sock.fileno(), select.EPOLLIN)
            if not here:
                return
            events = poll.poll(15)
            assert events, f"{len(here)} clients wait for a greeting"
            for fd, _ in events:
                source, sock = here.pop(fd)
                with sock:
                    said = sock.recv(100).decode()
                assert said, "a client was sent away"
                yield source, said.split("#")[0]
    finally:
        poll.close()
        for _, sock in here.values():
            sock.close()


def several_addresses(count: int) -> Iterator[str]:
    """So many clients, from more than one address: there is an end to the ports of one."""
    return (f"127.0.1.{1 + n % 100}" for n in range(count))


def versions(door: OneDoor, count: int, at_once: int = AT_ONCE) -> Counter[str]:
    """Which versions greet that many clients."""
    return Counter(version for _, version in greetings(door, several_addresses(count), at_once))


# -- exactly its share ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_of_ten_thousand_new_streams_exactly_the_share_goes_to_the_canary(only: Only) -> None:
    door = door_with(only)
    said = tried_out(door, "1%")
    assert "v2#2 gets 1% of the new streams, v1#1 the rest" in said
    assert "promote" in said
    assert "rollback" in said
    began, before = time.monotonic(), Counter[str]()
    for share, part in (("1%", 100), ("5%", 500), ("33%", 3_300)):
        if share != "1%":
            changed = door.run("canary", share)
            assert changed.returncode == 0, changed
            assert f"v2#2 gets {share} of the new streams" in changed.stdout + changed.stderr
        got = versions(door, 10_000)
        print(f"{share}: {dict(got)}", end="; ")
        assert got == {"v1": 10_000 - part, "v2": part}
        before += got
        # What it says of itself agrees with what the clients have seen.
        canary = door.status()["canary"]
        assert (canary["generation"], canary["base"], canary["share"]) == ("v2#2", "v1#1", share)
        assert [(side["generation"], side["streams"]) for side in canary["sides"]] == [
            ("v2#2", before["v2"]),
            ("v1#1", before["v1"]),
        ]
        assert {side["failed_dials"] + side["early_closes"] + side["crashes"] for side in canary["sides"]} == {0}
        assert all(0 < side["dial_ms"]["mean"] <= side["dial_ms"]["slowest"] for side in canary["sides"])
    print(f"30,000 streams in {time.monotonic() - began:.1f} s")
    assert (door.state("v1#1"), door.state("v2#2")) == ("active", "ready")
    assert shares(door) == ["1%", "5%", "33%"]
    assert door.run("rollback").returncode == 0


def test_the_share_is_exact_for_those_who_had_to_wait_too(only: Only) -> None:
    door = door_with(only)
    tried_out(door, "5%")
    for _ in range(2):
        got = versions(door, 100)
        crashed = door.pid("v1#1")
        kill(crashed, signal.SIGKILL)  # it is started again in a moment, and until then most of them wait
        got += versions(door, 300, at_once=300)
        assert door.pid("v1#1") != crashed
        got += versions(door, 100)
        assert got == {"v1": 475, "v2": 25}
    v2, v1 = door.status()["canary"]["sides"]
    print(f"v1: {v1}; v2: {v2}")
    assert v1["failed_dials"] >= 100, "they had waited for it"
    assert v1["crashes"] == 2
    assert (v2["failed_dials"], v2["crashes"]) == (0, 0)
    assert door.run("rollback").returncode == 0


def test_by_address_each_client_sees_one_version_and_who_was_in_stays_in(changing: Changing, only: Only) -> None:
    door = door_with(only)
    tried_out(door, "5%", "--by", "address")
    assert door.status()["canary"]["by"] == "address"
    clients = [f"127.{a}.{b}.{c}" for a in (1, 2) for b in (1, 7, 200) for c in range(1, 101)]
    before: set[str] = set()
    for share, least, most in (("5%", 10, 60), ("25%", 100, 200), ("60%", 300, 420)):
        if share != "5%":
            assert door.run("canary", share).returncode == 0
        sees: dict[str, set[str]] = {}
        for client, version in greetings(door, clients * 3):
            sees.setdefault(client, set()).add(version)
        if share == "25%":
            changing.kill_door_process()  # the next one knows them too
            for client, version in greetings(door, clients):
                sees[client].add(version)
        assert all(len(seen) == 1 for seen in sees.values()), "somebody has seen two versions"
        inside = {client for client, seen in sees.items() if seen == {"v2"}}
        print(f"{share}: {len(inside)} of {len(clients)} clients", end="; ")
        assert least <= len(inside) <= most
        assert inside > before
        before = inside
    assert door.run("promote").returncode == 0
    assert {version for _, version in greetings(door, clients)} == {"v2"}


# -- up ---------------------------------------------------------------------------------------------------------------


def test_it_walks_up_to_all_new_streams_by_itself(only: Only) -> None:
    door = door_with(only, swap={"bake": "200ms"})
    stays = door.connect()
    assert stays.generation == "v1#1"
    began = time.monotonic()
    swap = door.begin("swap", "v2", "--canary", "10%,50%,100%", "--every", "700ms")
    canary = until(lambda: door.status()["canary"], "it is a canary")
    assert (canary["share"], canary["steps"], canary["every_s"]) == ("10%", ["10%", "50%", "100%"], 0.7)
    assert 0 <= canary["next_step_s"] <= 0.7
    until(lambda: shares(door) == ["10%", "50%"], "it has taken a step")
    assert versions(door, 100) == {"v1": 50, "v2": 50}
    outcome = swap.ended()
    took = time.monotonic() - began
    assert outcome.returncode == 0, outcome
    assert "v2#2 is active" in outcome.stderr + outcome.stdout
    print(f"up in {took:.2f} s")
    assert took > 1.4 + 0.2, "two steps, and the probation"
    assert door.status()["canary"] is None
    assert versions(door, 20) == {"v2": 20}
    assert door.state("v1#1") == "draining"
    assert not stays.has_ended()


def test_whoever_sets_a_share_ends_the_walk_and_promote_is_the_switch(only: Only) -> None:
    door = door_with(only, swap={"bake": "300ms"})
    swap = door.begin("swap", "v2", "--canary", "5%,100%", "--every", "10m")
    until(lambda: door.status()["canary"], "it is a canary")
    assert door.status()["canary"]["next_step_s"] > 590
    assert door.run("canary", "50%").returncode == 0
    canary = door.status()["canary"]
    assert (canary["share"], canary["next_step_s"]) == ("50%", None)
    assert versions(door, 100) == {"v1": 50, "v2": 50}
    assert door.run("canary", "0%").returncode == 0  # nobody more, and it stays at hand
    assert versions(door, 100) == {"v1": 100}

    began = time.monotonic()
    promoted = door.run("promote")
    assert promoted.returncode == 0, promoted
    assert time.monotonic() - began > 0.3, "promote waits for the probation"
    assert swap.ended().returncode == 0, "and so does the swap that began it"
    assert door.status()["active"] == "v2#2"
    door.becomes("v1#1", "stopped")
    assert door.run("rollback").returncode == 0, "a rollback leads to where it should"
    assert door.status()["active"] == "v1#3"


def test_a_share_of_all_is_promote_and_a_last_step_below_stays(only: Only) -> None:
    door = door_with(only)
    tried_out(door, "10%,20%", "--every", "50ms")
    until(lambda: door.status()["canary"]["share"] == "20%", "it has taken its last step")
    assert door.status()["canary"]["next_step_s"] is None
    whole = door.run("canary", "100%")
    assert whole.returncode == 0, whole
    assert door.status()["active"] == "v2#2"
    assert door.status()["canary"] is None


# -- and back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rollback", "Ctrl-C"])
def test_a_canary_that_somebody_takes_back_drains(only: Only, how: str) -> None:
    door = door_with(only)
    swap = door.begin("swap", "v2", "--canary", "50%,100%", "--every", "10m")
    until(lambda: door.status()["canary"], "it is a canary")
    clients = [door.connect() for _ in range(4)]
    assert [client.generation for client in clients] == ["v1#1", "v2#2"] * 2
    if how == "rollback":
        back = door.run("rollback")
        assert back.returncode == 0, back
        assert swap.ended().returncode == 1
    else:
        swap.interrupt()
        assert swap.ended().returncode == 130
    assert door.status()["canary"] is None
    assert (door.status()["active"], door.state("v2#2")) == ("v1#1", "draining")
    assert versions(door, 50) == {"v1": 50}
    assert not any(client.has_ended() for client in clients), "its streams may finish"
    for client in clients:
        client.close()
    until(lambda: door.state("v2#2") in ("", "stopped"), "it is over")
    assert tried_out(door, "5%", version="v3"), "and the next one may come"
    assert door.run("rollback").returncode == 0


@pytest.mark.parametrize(
    ("version", "seen"),
    [("hangs-up", r"\d+ early closes? \(v1#1: 0 of \d+\)"), ("deaf", r"\d+ dials that nobody took, 0 early closes")],
)
def test_a_canary_that_is_found_wanting_is_withdrawn(only: Only, version: str, seen: str) -> None:
    door = door_with(only)
    bad = f"{version}#2"
    with Crowd(tcp(door.address), RATE) as crowd:
        crowd.goes_on(100)
        swap = door.run("swap", version, "--canary", "20%,100%", "--every", "10m")
        answered = time.monotonic()
        crowd.goes_on(100)
        until(lambda: door.state(bad) == "failed", "it has drained, and is over")
    assert swap.returncode == ROLLED_BACK, swap
    assert "v1#1 still serves" in swap.stderr
    assert re.search(seen, swap.stderr)
    assert re.search(seen, door.generation(bad)["reason"])
    (said,) = door.logged("swap.rolled_back")
    assert (said["from"], said["to"]) == (bad, "v1#1")
    assert not door.logged("swap.switched")
    failures = door.generation(bad)["failures"]
    print(f"{version}: {failures}, {len(crowd.failed)} sent away: {said['reason']}")
    assert 5 <= failures["dials"] + failures["early_closes"] <= 20
    # Who was to be dialled there, and was not taken, has been served by v1.
    assert len(crowd.failed) == failures["early_closes"]
    assert not [visit for visit in crowd.since(answered) if visit.failed]
    assert door.status()["canary"] is None


def test_a_canary_that_fails_when_nobody_watches_any_more_is_withdrawn_too(only: Only) -> None:
    door = door_with(only)
    tried_out(door, "50%")
    kill(door.pid("v2#2"), signal.SIGKILL)
    door.logs("swap.rolled_back", reason="one of its processes has crashed")
    assert door.status()["canary"] is None
    assert versions(door, 50) == {"v1": 50}
    until(lambda: door.state("v2#2") == "failed", "it is over")
    assert "one of its processes has crashed" in door.generation("v2#2")["reason"]


@pytest.mark.parametrize("how", ["rollback", "promote"])
def test_what_stands_by_is_tried_out_as_it_is(only: Only, how: str) -> None:
    door = door_with(only, swap={"keep_warm": "1h"})
    stays = door.connect()
    assert stays.generation == "v1#1"
    door.swap("v2")
    tried_out(door, "50%", "--reuse", version="v1")
    assert (door.state("v2#2"), door.state("v1#1")) == ("active", "ready")
    assert door.generation("v1#1")["streams"]["open"] == 1
    assert versions(door, 100) == {"v1": 50, "v2": 50}
    assert door.run(how).returncode == 0
    if how == "rollback":
        assert (door.state("v2#2"), door.state("v1#1")) == ("active", "draining")
        stays.close()
        door.becomes("v1#1", "warm")  # as before
        assert versions(door, 50) == {"v2": 50}
    else:
        assert (door.state("v1#1"), door.state("v2#2")) == ("active", "warm")
        assert not stays.has_ended()
        assert versions(door, 50) == {"v1": 50}


# -- one at a time ----------------------------------------------------------------------------------------------------


def test_while_there_is_a_canary_everything_else_is_refused(changing: Changing, only: Only) -> None:
    door = door_with(only)
    tried_out(door, "5%")
    for asked in (
        ("swap", "v3"),
        ("swap", "v3", "--canary", "5%"),
        ("swap", "v2", "--canary", "10%"),
        ("restart",),
    ):
        refused = door.run(*asked)
        assert refused.returncode == BUSY, (asked, refused)
        assert "frontdoor promote or frontdoor rollback" in refused.stderr
        assert "v1#1 still serves" in refused.stderr
    assert [changing.run(verb).returncode for verb in ("reload", "upgrade")] == [BUSY, BUSY]
    assert (door.status()["canary"]["generation"], door.status()["canary"]["share"]) == ("v2#2", "5%")
    assert versions(door, 100) == {"v1": 95, "v2": 5}
    assert door.run("rollback").returncode == 0


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("swap", "v2", "--canary", "120%"), 2, "120% is too large"),
        (("swap", "v2", "--canary", "-5%"), 2, "too small"),
        (("swap", "v2", "--canary", "0.001%"), 2, "two decimals at most"),
        (("swap", "v2", "--canary", "5"), 2, "write it as a percentage"),
        (("swap", "v2", "--canary", "25%,5%", "--every", "1m"), 2, "the steps must rise"),
        (("swap", "v2", "--canary", "5%,25%"), 2, "--every"),
        (("swap", "v2", "--canary", "5%,25%", "--every", "0s"), 2, "every"),
        (("swap", "v2", "--every", "1m"), 2, "--canary"),
        (("swap", "v2", "--canary", "5%", "--by", "cookie"), 2, "address"),
        (("canary", "120%"), 2, "120% is too large"),
        (("canary", "25%"), 1, "the door main has no canary"),
        (("promote",), 1, "the door main has no canary"),
        (("rollback",), 1, "nothing else has served before"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_traffic_goes_on(
    idle_door: Frontdoor, asked: tuple[str, ...], code: int, said: str
) -> None:
    refused = idle_door.run(*asked)
    assert refused.returncode == code, refused
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert idle_door.status()["active"] == "v1#1"
    assert len(idle_door.status()["generations"]) == 1
    client = idle_door.connect()
    assert client.generation == "v1#1"
    client.close()


# -- through a crash --------------------------------------------------------------------------------------------------


def test_a_canary_goes_on_when_the_door_process_is_killed(changing: Changing, only: Only) -> None:
    door = door_with(only)
    swap = door.begin("swap", "v2", "--canary", "1%,50%,100%", "--every", "5s")
    until(lambda: door.status()["canary"], "it is a canary")
    until(lambda: door.status()["canary"]["next_step_s"] < 4.5, "a part of its time is over")
    changing.kill_door_process()
    canary = door.status()["canary"]
    assert (canary["share"], canary["generation"]) == ("1%", "v2#2")
    assert canary["next_step_s"] < 4.5, "it does not begin anew"
    until(lambda: shares(door)[-1] == "50%", "it has taken its step")
    assert versions(door, 100) == {"v1": 50, "v2": 50}
    changing.kill_door_process()
    assert versions(door, 100) == {"v1": 50, "v2": 50}
    assert door.status()["canary"]["share"] == "50%"
    outcome = swap.ended()
    assert outcome.returncode == 0, outcome
    (first, second), (switched,) = door.logged("canary.share"), door.logged("swap.switched")
    steps = seconds_between(first, second), seconds_between(second, switched)
    print("the steps lasted", steps)
    assert all(4.95 < seconds < 6.5 for seconds in steps), "no step was cut short, and none began anew"
    assert door.status()["active"] == "v2#2"


def test_frontdoor_stops_in_the_middle_of_it(serve: Callable[..., Frontdoor]) -> None:
    door = serve()
    door.swap("v2", "--canary", "50%")
    clients = [door.connect() for _ in range(4)]
    assert [client.generation for client in clients] == ["v1#1", "v2#2"] * 2
    stop = door.begin("stop")
    until(lambda: door.logged("door.stopping"), "it stops")
    assert [client.ask("hello") for client in clients] == ["hello"] * 4, "its streams may finish, of both"
    door.hang_up()
    assert stop.ended().returncode == 0
    assert door.ends() == 0
