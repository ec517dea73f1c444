"""The probation: a bad release under load is switched back before many have met it; one that is only slow is not."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.crowd import Crowd
from e2e.doors import Changing, OneDoor, tcp
from e2e.harness import until

Only = Callable[..., OneDoor]

NEWCOMER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "newcomer.py")

RATE = 300
"""New clients a second."""

AT_MOST = RATE // 4
"""So many may meet a bad release after its first failure. A whole second's worth is allowed, and ten are usual."""

BAKE = 5.0
"""Seconds: what crashes does so in the middle of it."""

ROLLED_BACK = 7


def newcomer(kind: str, **more: Any) -> dict[str, Any]:
    return {"command": [sys.executable, "-I", "-S", NEWCOMER, kind], **more}


RELEASES = {
    "v1": newcomer("good", processes=3),
    "v2": newcomer("good"),
    "crashes": newcomer("crashes"),
    "hangs-up": newcomer("hangs-up"),
    "deaf": newcomer("is-deaf-in-part", processes=3),
    "slow": newcomer("is-slow"),
}


def bakes(only: Only, bake: float = BAKE, **changes: Any) -> OneDoor:
    """A door of these releases, on whose swaps there is a probation."""
    wanted = {"backends": RELEASES, "ready": {"check": "notify"}, "swap": {"bake": f"{bake:g}s"}, **changes}
    door = only(**wanted)
    until(door.serves, "it serves")
    return door


def history_of(door: OneDoor) -> list[str]:
    """The events of its swaps."""
    names = ("swap.started", "swap.switched", "swap.rolled_back", "swap.settled", "swap.failed", "swap.stays")
    entries = [entry for name in names for entry in door.logged(name)]
    return [entry["event"] for entry in sorted(entries, key=lambda entry: int(entry["seq"]))]


# -- under load -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "seen"),
    [
        # What is seen first, the exit or the dials that nobody takes any more, is a matter of milliseconds.
        ("crashes", r"one of its processes has crashed|\d+ dials? that nobody took"),
        ("hangs-up", r"0 dials that nobody took, \d+ early closes \(v1#1: 0 of \d+\)"),
        ("deaf", r"\d+ dials that nobody took, 0 early closes \(v1#1: 0 of \d+\)"),
    ],
)
def test_a_bad_release_is_switched_back_before_many_have_met_it(only: Only, version: str, seen: str) -> None:
    door = bakes(only)
    bad = f"{version}#2"
    with Crowd(tcp(door.address), RATE) as crowd:
        crowd.goes_on(200)
        swap = door.run("swap", version)
        answered = time.monotonic()
        crowd.goes_on()
        until(lambda: door.state(bad) == "failed", "it has drained, and is over")
    assert swap.returncode == ROLLED_BACK, swap
    assert re.search(
        f"{bad} failed in its probation and was switched back: .*({seen}).*; v1#1 still serves", swap.stderr
    )
    assert door.status()["active"] == "v1#1"
    assert re.search(seen, door.generation(bad)["reason"])
    (said,) = door.logged("swap.rolled_back")
    assert (said["from"], said["to"]) == (bad, "v1#1")
    assert re.search(seen, said["reason"])
    assert history_of(door) == ["swap.started", "swap.switched", "swap.rolled_back"]

    failed_at = first_failure(door, crowd, bad)
    new = [visit for visit in crowd.since(failed_at) if visit.failed or visit.generation == bad]
    vain = door.generation(bad)["failures"]["dials"]  # who was served by v1 in the end, or by another process
    met = len(new) + (0 if version == "deaf" else vain)
    late = [visit for visit in crowd.since(answered) if visit.failed or visit.generation == bad]
    cut = len(crowd.failed)
    print(
        f"{version}: {met} new streams met it after its first failure ({vain} dials in vain, {cut} sent away);", end=" "
    )
    print(f"switched back {(answered - failed_at) * 1000:.0f} ms after it: {said['reason']}")
    assert met <= AT_MOST
    # Five failures send it back. Some are of streams that began before its first, so that they are not among those.
    assert version == "crashes" or cut + vain >= 5
    assert not late, "when swap has answered, nobody goes there any more"
    assert crowd.greeted("v1#1") > 200


def first_failure(door: OneDoor, crowd: Crowd, bad: str) -> float:
    """When that was, on the monotonic clock: the release itself says it, or else it is its first stream's time."""
    said = [line for line in door.printed(bad) if line.startswith("failed at ")]
    if said:
        return float(said[0].split()[-1])
    return min(visit.began for visit in crowd.visits if visit.generation == bad)


def test_a_release_that_is_only_slower_stays(only: Only) -> None:
    door = bakes(only, bake=3.0)
    with Crowd(tcp(door.address), RATE) as crowd:
        crowd.goes_on()
        swap = door.run("swap", "slow")
        crowd.goes_on()
    assert swap.returncode == 0, swap
    slow = door.generation("slow#2")
    print(f"slow: {slow['streams']['total']} streams, dials {slow['dial_ms']}, failures {slow['failures']}")
    assert slow["state"] == "active"
    assert slow["failures"] == {"dials": 0, "early_closes": 0, "crashes": 0}
    assert slow["dial_ms"]["slowest"] > 10, "its backlog was full, and dials had to wait"
    assert not crowd.failed
    assert history_of(door) == ["swap.started", "swap.switched", "swap.settled"]


def test_what_the_old_one_did_as_well_is_no_reason_to_go_back(only: Only) -> None:
    door = bakes(only, bake=1.0, active="hangs-up")
    with Crowd(tcp(door.address), RATE) as crowd:
        until(lambda: len(crowd.failed) > 30, "clients are sent away, as ever")
        swap = door.run("swap", "hangs-up")
    assert swap.returncode == 0, swap
    assert door.status()["active"] == "hangs-up#2"
    assert door.generation("hangs-up#2")["failures"]["early_closes"] > 30


# -- by hand, and through a crash -------------------------------------------------------------------------------------


def test_a_rollback_in_the_probation_is_like_the_swap_had_not_been(only: Only) -> None:
    door = bakes(only, bake=60.0)
    old = door.connect()
    assert old.generation == "v1#1"
    swap = door.begin("swap", "v2")
    swap.shows("switched: new connections go to v2#2")
    assert 50 < door.status()["swap"]["bake_left_s"] <= 60
    new = door.connect()
    assert new.generation == "v2#2"

    back = door.run("rollback")
    assert back.returncode == 0, back
    watcher = swap.ended()
    assert watcher.returncode == 1, "it was not found wanting: somebody wanted it so"
    assert "v2#2 was taken back by a rollback in its probation; v1#1 still serves" in watcher.stderr
    assert door.connect().generation == "v1#1"
    assert not old.has_ended()
    assert not new.has_ended()
    assert door.state("v2#2") == "draining"
    again = door.run("rollback")
    assert again.returncode == 1, "there is nothing to go back to, as before the swap"
    assert "nothing else has served before" in again.stderr


def test_the_old_one_stays_for_the_whole_probation_without_a_stream(only: Only) -> None:
    door = bakes(only, bake=1.0)
    swap = door.begin("swap", "v2")
    swap.shows("switched: new connections go to v2#2")
    assert (door.state("v1#1"), door.generation("v1#1")["streams"]["open"]) == ("draining", 0)
    began = time.monotonic()
    assert swap.ended().returncode == 0
    assert time.monotonic() - began > 0.5, "swap waits for the end of it"
    door.becomes("v1#1", "stopped")
    assert door.logged("swap.settled")[0]["seq"] < door.logged("drain.finished")[0]["seq"]


@pytest.mark.parametrize("version", ["v2", "crashes"])
def test_a_probation_goes_on_when_the_door_process_is_killed(changing: Changing, only: Only, version: str) -> None:
    door = bakes(only)
    swap = door.begin("swap", version)
    swap.shows("switched")
    switched = time.monotonic()
    stays = door.connect()
    assert stays.generation == f"{version}#2"  # from here on one that crashes has its three seconds
    until(lambda: door.status()["swap"]["bake_left_s"] < BAKE - 1, "some of the time is over")
    changing.kill_door_process()
    assert 0 < door.status()["swap"]["bake_left_s"] < BAKE - 1
    assert door.connect().generation == f"{version}#2"
    outcome = swap.ended()
    took = time.monotonic() - switched
    print(f"{version}: {outcome.returncode} after {took:.2f} s of {BAKE:g} s: {outcome.stderr.splitlines()[-1]}")
    if version == "v2":
        assert outcome.returncode == 0, outcome
        assert BAKE - 0.5 < took < BAKE + 1.5, "not from the beginning again"
        assert stays.ask("hello") or True
        assert door.status()["active"] == "v2#2"
    else:
        assert outcome.returncode == ROLLED_BACK, outcome
        assert "one of its processes has crashed" in outcome.stderr
        assert door.status()["active"] == "v1#1"
        assert door.connect().generation == "v1#1"


# -- backends that somebody else runs ---------------------------------------------------------------------------------


def test_an_external_backend_that_is_gone_is_switched_back(changing: Changing, only: Only) -> None:
    path = changing.path("outside.sock")
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind(path)
        outside.listen(1024)
        releases = {"v1": newcomer("good"), "outside": {"socket": path}}
        door = bakes(only, backends=releases, ready={"check": "connect"})
        swap = door.begin("swap", "outside")
        swap.shows("switched: new connections go to outside#2")
    gone_at = time.monotonic()  # its socket is left, and nobody listens there
    with Crowd(tcp(door.address), RATE) as crowd:
        outcome = swap.ended()
        crowd.goes_on()
    assert outcome.returncode == ROLLED_BACK, outcome
    assert door.status()["active"] == "v1#1"
    vain = door.generation("outside#2")["failures"]["dials"]
    print(
        f"outside: {vain} dials in vain, {len(crowd.failed)} sent away;", door.logged("swap.rolled_back")[0]["reason"]
    )
    assert vain <= AT_MOST
    assert not crowd.failed, "who had waited for it was served by v1"
    assert crowd.greeted("v1#1") == len(crowd.visits)
    assert time.monotonic() - gone_at < BAKE


# -- nothing to go back to --------------------------------------------------------------------------------------------


def test_where_there_is_nothing_to_go_back_to_it_says_so_and_goes_on(only: Only) -> None:
    backends = {**RELEASES, "v1": newcomer("good", restart="never")}
    door = bakes(only, backends=backends)
    swap = door.begin("swap", "crashes")
    swap.shows("switched")
    os.kill(door.pid("v1#1"), 9)
    door.logs("backend.exited", generation="v1#1")
    door.connect().generation  # noqa: B018 - three seconds from here on
    outcome = swap.ended()
    print(outcome.stderr)
    assert outcome.returncode == 1, outcome
    assert "no process of v1#1 is up, so there is nothing to go back to" in outcome.stderr
    assert door.status()["active"] == "crashes#2"
    until(lambda: door.connect().generation == "crashes#2", "it was restarted, and serves on")
