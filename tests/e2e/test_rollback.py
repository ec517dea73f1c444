"""The way back: `rollback`, `swap --reuse`, `restart`, and the generations that are kept warm for it."""

import os
import re
import signal
import time
from collections.abc import Callable

from e2e.doors import Changing, OneDoor
from e2e.harness import Frontdoor, greeter, until

Only = Callable[..., OneDoor]

WARM = {"keep_warm": "15m"}
"""The default. (What tests begin with keeps nothing warm.)"""

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""

UNLESS_TOUCHED = ["sh", "-c", 'test ! -e go && exec "$0" "$@"', *greeter()]
"""One that does not start any more once there is that file."""


# -- instant ----------------------------------------------------------------------------------------------------------


def test_rollback_to_a_generation_that_drains(only: Only) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    door.swap("v2")
    new = door.connect()
    assert new.generation == "v2#2"

    rolled = door.run("rollback")
    assert (rolled.returncode, rolled.stdout) == (0, "v1#1 is active; v2#2 drains 1 stream\n")
    assert "switched: new connections go to v1#1" in rolled.stderr
    back = door.connect()
    assert (back.generation, back.pid) == ("v1#1", old.pid)
    assert old.ask("still there?") == "still there?"
    assert new.ask("and you?") == "and you?"
    assert door.started == ["v1#1", "v2#2"], "no new process"
    assert (door.state("v1#1"), door.state("v2#2")) == ("active", "draining")
    assert door.generation("v1#1")["streams"]["open"] == 2
    (said,) = door.logged("swap.rolled_back")
    assert (said["from"], said["to"]) == ("v2#2", "v1#1")


def test_rollback_to_a_warm_generation(only: Only) -> None:
    door = only(swap=WARM)
    old = door.connect()
    pid = old.pid
    door.swap("v2")
    old.close()
    warm = door.becomes("v1#1", "warm")
    assert 890 < warm["warm_for_s"] <= 900
    assert door.logged("generation.warm")[0]["for_s"] == 900
    assert door.printed("v1#1") == [], "it got no stop signal"
    shown = door.run("status").stdout
    assert "previous: v1#1 (still runs: a rollback is instant)" in shown
    assert re.search(r"v1#1 is warm, and stops in 1[45] m", shown)

    rolled = door.run("rollback")
    assert (rolled.returncode, rolled.stdout) == (0, "v1#1 is active; v2#2 had no open stream\n")
    assert (door.connect().generation, door.connect().pid) == ("v1#1", pid)
    assert door.started == ["v1#1", "v2#2"]
    assert "warm_for_s" not in door.generation("v1#1")
    door.becomes("v2#2", "warm")


def test_back_and_forth(only: Only) -> None:
    door = only(swap=WARM)
    door.swap("v2")
    for active in ("v1#1", "v2#2", "v1#1", "v2#2"):
        assert door.rollback().startswith(f"{active} is active")
        assert door.connect().generation == active
    assert door.started == ["v1#1", "v2#2"]


def test_the_drain_that_was_begun_does_not_cut_what_came_back(only: Only) -> None:
    door = only(drain={"timeout": "1s", "close_over": "0s"})
    old = door.connect()
    assert old.generation == "v1#1"
    door.swap("v2")
    new = door.connect()
    assert new.generation == "v2#2"
    door.rollback()
    assert new.hear() == "", "its own deadline, which is later, has passed"
    assert old.ask("still there?") == "still there?"
    until(lambda: door.status()["streams"]["ended"] == {"drain_closed": 1}, "only that one was closed")


def test_who_waits_for_the_drain_of_what_came_back(only: Only) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    until(lambda: door.status()["swap"] is None, "it is not under way any more")
    door.rollback()
    ended = swap.ended()
    assert ended.returncode == 1
    assert "frontdoor: v1#1 was made active again before it was drained" in ended.stderr
    assert old.ask("still there?") == "still there?"


# -- not instant ------------------------------------------------------------------------------------------------------


def test_rollback_after_keep_warm_is_a_swap_to_that_version(only: Only) -> None:
    door = only(swap={"keep_warm": "200ms"})
    door.swap("v2")
    door.logs("generation.warm", generation="v1#1")
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]
    assert "previous: v1#1 (a rollback starts it again)" in door.run("status").stdout

    rolled = door.run("rollback")
    assert rolled.returncode == 0
    assert "v1#3 starting" in rolled.stderr
    assert rolled.stdout.startswith("v1#3 is active")
    assert door.connect().generation == "v1#3"


def test_a_drain_of_a_warm_generation_is_no_failure_and_leaves_the_way_back(only: Only) -> None:
    door = only(swap=WARM)
    door.swap("v2", wait="drained")
    door.becomes("v1#1", "warm")
    drained = door.run("drain", "v1", "--now")
    assert (drained.returncode, drained.stdout) == (0, "v1#1: drained already, no stream is open\n")
    assert door.rollback().startswith("v1#1 is active")


def test_rollback_takes_another_generation_of_that_version_that_is_warm(only: Only) -> None:
    door = only(swap=WARM, backends={"*": {"restart": "never"}})
    first = door.connect().pid
    door.frontdoor.hang_up()
    for version in ("v2", "v1"):
        door.swap(version, wait="drained")
    door.swap("v2", reuse=True)
    door.becomes("v1#3", "warm")
    assert door.status()["previous"] == "v1#3"
    os.kill(door.pid("v1#3"), signal.SIGKILL)
    door.logs("generation.stopped", generation="v1#3")
    assert door.state("v1#1") == "warm"
    assert door.rollback() == "v1#1 is active; v2#2 had no open stream"
    assert door.connect().pid == first
    assert door.started == ["v1#1", "v2#2", "v1#3"]


def test_rollback_with_a_config_that_is_broken_is_to_what_was_applied_last(only: Only, changing: Changing) -> None:
    door = only()
    door.swap("v2", wait="drained")
    door.logs("generation.stopped", generation="v1#1")
    changing.write("backends = [")
    rolled = door.run("rollback")
    assert rolled.returncode == 0, rolled
    assert rolled.stdout == "v1#3 is active; v2#2 had no open stream\n"
    assert door.connect().generation == "v1#3"
    said = door.logs("rollback.config")
    assert (said["level"], said["reason"]) == ("warning", "the config is not valid")
    assert "config.toml:1" in said["error"]
    assert door.run("restart").returncode == 2, "nothing else is begun from it"


def test_rollback_ends_a_swap_that_is_under_way(only: Only) -> None:
    door = only(backends={"v2": SLOW})
    client = door.connect()
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")

    rolled = door.run("rollback")
    assert (rolled.returncode, rolled.stdout) == (
        0,
        "the swap to v2#2 was ended before its switch; v1#1 still serves\n",
    )
    ended = swap.ended()
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "frontdoor: the swap to v2#2 was aborted by a rollback before the switch; v1#1 still serves"
    )
    assert client.generation == "v1#1"
    door.logs("generation.stopped", generation="v2#2")
    door.touch("go")
    door.swap("v2")
    assert door.connect().generation == "v2#3"


def test_nothing_to_go_back_to(only: Only) -> None:
    door = only()
    refused = door.run("rollback")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "frontdoor: there is nothing to go back to: nothing else has served before; v1#1 still serves\n"
    )
    assert door.connect().generation == "v1#1"


def test_a_swap_that_failed_does_not_change_where_a_rollback_leads(only: Only) -> None:
    door = only(swap=WARM, backends={"bad": {"command": ["false"]}})
    door.swap("v2")
    assert door.run("swap", "bad").returncode == 4
    assert door.status()["previous"] == "v1#1"
    door.rollback()
    assert door.connect().generation == "v1#1"


def test_a_rollback_to_what_does_not_start_any_more(only: Only) -> None:
    door = only(swap=WARM, backends={"v1": {"command": UNLESS_TOUCHED}})
    door.swap("v2", wait="drained")
    door.touch("go")
    os.kill(door.pid("v1#1"), signal.SIGKILL)
    door.logs("backend.restarting", generation="v1#1")
    failed = door.run("rollback")
    assert failed.returncode == 4
    assert "v1#3 did not become ready (it exited with code 1 before it was ready); v2#2 still serves" in failed.stderr
    assert door.connect().generation == "v2#2"


# -- restart ----------------------------------------------------------------------------------------------------------


def test_restart_is_a_new_generation_of_what_is_active(only: Only) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    restarted = door.run("restart")
    assert (restarted.returncode, restarted.stdout) == (0, "v1#2 is active; v1#1 drains 1 stream\n")
    assert door.connect().generation == "v1#2"
    assert old.ask("still there?") == "still there?"


def test_after_a_restart_a_rollback_leads_to_the_start_before_it_and_then_to_the_version_before(
    only: Only, changing: Changing
) -> None:
    door = only()
    door.swap("v2")
    old = door.connect()
    assert old.generation == "v2#2"
    assert door.run("restart").returncode == 0
    assert door.rollback() == "v2#2 is active; v2#3 had no open stream"
    assert door.connect().pid == old.pid

    assert door.run("restart").returncode == 0
    changing.hang_up()
    door.logs("generation.stopped", generation="v2#2")
    assert door.rollback().startswith("v1#5 is active"), "and not once more what was just left"
    assert door.connect().generation == "v1#5"


def test_a_restart_that_fails_leaves_what_serves(only: Only) -> None:
    door = only(backends={"*": {"command": UNLESS_TOUCHED}})
    client = door.connect()
    door.touch("go")
    failed = door.run("restart")
    assert failed.returncode == 4
    assert "v1#2 did not become ready (it exited with code 1 before it was ready); v1#1 still serves" in failed.stderr
    assert client.generation == door.connect().generation == "v1#1"


# -- swap --reuse -----------------------------------------------------------------------------------------------------


def test_reuse(only: Only) -> None:
    door = only(swap=WARM)
    old = door.connect()
    assert old.generation == "v1#1"
    door.swap("v2")

    swapped = door.run("swap", "--reuse", "v1")
    assert swapped.stdout == "v1#1 is active; v2#2 had no open stream\n", "it was draining"
    assert door.connect().pid == old.pid
    door.becomes("v2#2", "warm")
    assert door.swap("v2#2", reuse=True).startswith("v2#2 is active; ")
    assert door.connect().generation == "v2#2"
    assert door.started == ["v1#1", "v2#2"]

    unchanged = door.run("swap", "--reuse", "v2")
    assert (unchanged.returncode, unchanged.stdout) == (0, "v2#2 is active already: nothing was changed\n")
    assert door.swap("v2#2", reuse=True) == "v2#2 is active already: nothing was changed"
    assert door.swap("v3", reuse=True).startswith("v3#3 is active; ")
    assert door.started == ["v1#1", "v2#2", "v3#3"], "nothing of v3 was running"
    door.swap("v1")
    assert door.connect().generation == "v1#4", "without --reuse it is a new one"
    assert old.ask("still there?") == "still there?"


def test_reuse_of_a_generation_that_is_gone(only: Only) -> None:
    door = only()
    door.swap("v2", wait="drained")
    door.logs("generation.stopped", generation="v1#1")
    refused = door.run("swap", "--reuse", "v1#1")
    assert refused.returncode == 1
    assert refused.stderr == ("frontdoor: v1#1 does not run any more, and cannot be used again; v2#2 still serves\n")
    assert door.run("swap", "--reuse", "v1#99").returncode == 2, "there never was one"
    assert door.connect().generation == "v2#2"


# -- max_generations --------------------------------------------------------------------------------------------------


def test_warm_generations_make_room_the_oldest_first(only: Only) -> None:
    door = only(swap={**WARM, "max_generations": 3})
    for version in ("v2", "v3", "v4"):
        door.swap(version, wait="drained")
    door.logs("generation.stopped", generation="v1#1")
    states = {shown["id"]: shown["state"] for shown in door.status()["generations"]}
    assert states == {"v1#1": "stopped", "v2#2": "warm", "v3#3": "warm", "v4#4": "active"}


def test_where_a_rollback_leads_makes_room_last(only: Only) -> None:
    door = only(swap={**WARM, "max_generations": 3})
    for version, reuse in (("v2", False), ("v3", False), ("v1", True), ("v3", True)):
        door.swap(version, wait="drained", reuse=reuse)
    assert door.status()["previous"] == "v1#1"
    door.swap("v4", wait="drained")
    door.logs("generation.stopped", generation="v2#2")
    assert door.state("v1#1") == "warm", "though it is older"


def test_a_swap_past_max_generations_is_refused_and_says_who_runs(only: Only) -> None:
    door = only(swap={"max_generations": 2})
    old = door.connect()
    assert old.generation == "v1#1"
    door.swap("v2")
    new = door.connect()
    assert new.generation == "v2#2"

    refused = door.run("swap", "v3")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"frontdoor: 2 generations of the door {door.name} run already, as many as swap.max_generations allows: "
        "v1#1 draining with 1 stream, v2#2 active with 1 stream. Wait until one has drained, or end its streams "
        "(frontdoor drain VERSION --now); v2#2 still serves\n"
    )
    assert door.rollback() == "v1#1 is active; v2#2 drains 1 stream", "that needs no room"
    assert door.connect().pid == old.pid
    door.run("drain", "v2", "--now")
    door.logs("generation.stopped", generation="v2#2")
    door.swap("v3")
    assert old.ask("still there?") == "still there?"


# -- crashes while it is warm -----------------------------------------------------------------------------------------


def test_a_warm_generation_is_started_again_after_a_crash(only: Only) -> None:
    door = only(swap=WARM)
    door.swap("v2", wait="drained")
    os.kill(door.pid("v1#1"), signal.SIGKILL)
    door.logs("backend.restarting", generation="v1#1")
    until(lambda: door.generation("v1#1")["processes"][0]["state"] == "up", "it is up again")
    assert door.state("v1#1") == "warm"
    assert door.rollback().startswith("v1#1 is active")
    assert door.connect().generation == "v1#1"
    assert door.started == ["v1#1", "v2#2", "v1#1"]


def test_a_warm_generation_that_is_not_started_again_ends_with_its_crash(only: Only) -> None:
    door = only(swap=WARM, backends={"*": {"restart": "never"}})
    door.swap("v2", wait="drained")
    os.kill(door.pid("v1#1"), signal.SIGKILL)
    door.logs("generation.stopped", generation="v1#1")
    assert door.rollback().startswith("v1#3 is active")
    assert door.connect().generation == "v1#3"


def test_kill_9_of_the_door_process_while_one_is_warm_and_one_drains(only: Only, changing: Changing) -> None:
    door = only(swap={"keep_warm": "60s"})
    first = door.connect()
    pid = first.pid
    door.swap("v2")
    first.close()
    door.becomes("v1#1", "warm")
    second = door.connect()
    assert second.generation == "v2#2"
    door.swap("v3")
    assert door.state("v2#2") == "draining"
    pids = {id_: door.pid(id_) for id_ in ("v1#1", "v2#2", "v3#3")}
    assert pids["v1#1"] == pid
    changing.kill_door_process()

    until(door.serves, "it is restored")
    assert (door.state("v1#1"), door.state("v2#2"), door.state("v3#3")) == ("warm", "warm", "active")
    assert 50 < door.generation("v1#1")["warm_for_s"] <= 60
    assert door.rollback().startswith("v2#2 is active")
    assert door.connect().pid == pids["v2#2"]
    door.swap("v1", reuse=True)
    assert door.connect().pid == pids["v1#1"]
    assert door.started == ["v1#1", "v2#2", "v3#3"]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_stop_waits_for_nothing_that_is_warm(prepare: Callable[..., Frontdoor]) -> None:
    door = prepare(swap=WARM).start()
    door.swap("v2", "--wait", "drained")
    until(lambda: door.generation("v1#1")["state"] == "warm", "v1 is warm")
    began = time.monotonic()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    assert time.monotonic() - began < 5
    assert door.printed("v1#1") == door.printed("v2#2") == ["stop signal with 0 streams open"]
    assert len(door.logged("generation.stopped")) == 2
