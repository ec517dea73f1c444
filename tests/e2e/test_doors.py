"""Several doors in one process: each has its own swap, drain, pause and rollback, and its own troubles."""

import contextlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from e2e.doors import OneDoor, Several, config_of
from e2e.harness import greeter, until

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `frontdoor.touch("go")`."""

BAD = {"command": greeter("--say", "no database", "--exit", "3")}


@pytest.fixture(scope="module")
def frontdoor() -> Iterator[Several]:
    """Two doors that all tests share: each begins with what is active then."""
    text = config_of({"web": {"backends": {"slow": SLOW, "bad": {"command": ["false"]}}}, "api": {}})
    with closing(Several(text)) as frontdoor:
        yield frontdoor.start()


@pytest.fixture
def doors(frontdoor: Several) -> Iterator[tuple[OneDoor, OneDoor]]:
    """The two, each with v1 active and nothing else running."""
    web, api = frontdoor.door("web"), frontdoor.door("api")
    for door in (web, api):
        if not door.status()["active"].startswith("v1#"):
            door.swap("v1")
        until(partial(only_the_active_runs, door), "nothing else runs")
    yield web, api
    frontdoor.hang_up()


def only_the_active_runs(door: OneDoor) -> bool:
    status = door.status()
    return [shown["id"] for shown in status["generations"] if shown["processes"]] == [status["active"]]


# -- each by itself ---------------------------------------------------------------------------------------------------


def test_each_swaps_drains_and_rolls_back_by_itself(frontdoor: Several, doors: tuple[OneDoor, OneDoor]) -> None:
    web, api = doors
    on_web, on_api = web.connect(), api.connect()
    old = {door.name: door.status()["active"] for door in doors}
    assert (on_web.generation, on_api.generation) == (old["web"], old["api"])
    slow = web.begin("swap", "slow")
    slow.shows("starting")

    swapped = api.run("swap", "v2")
    assert swapped.returncode == 0, "the other's swap is none of its business"
    assert swapped.stdout.endswith(f"; {old['api']} drains 1 stream\n")
    assert api.connect().generation.startswith("v2#")
    assert web.connect().generation == old["web"]
    assert web.status()["swap"]["to"].startswith("slow#")
    assert api.status()["swap"] is None
    assert api.rollback().startswith(f"{old['api']} is active")
    assert web.run("swap", "v2").returncode == 5
    assert web.rollback().endswith(f" was ended before its switch; {old['web']} still serves")
    assert slow.ended().returncode == 1

    web.swap("v2")
    api.swap("v2")
    drained = web.run("drain", "v1", "--now")
    assert (drained.returncode, drained.stdout) == (0, f"{old['web']}: 2 streams are being closed now\n")
    assert on_web.hear() == ""
    assert on_api.ask("still there?") == "still there?"


def test_one_is_paused(frontdoor: Several, doors: tuple[OneDoor, OneDoor]) -> None:
    web, api = doors
    before = web.connect()
    assert before.generation == web.status()["active"]
    assert web.run("pause").returncode == 0
    accepted = web.status()["streams"]["accepted"]
    waiting = web.connect()
    assert api.connect().generation == api.status()["active"]
    assert before.ask("still there?") == "still there?"
    assert [door.status()["paused"] for door in doors] == [True, False]
    frontdoor.kill_door_process()
    assert [door.status()["paused"] for door in doors] == [True, False], "after a crash too"
    assert api.connect().generation == api.status()["active"]
    assert web.status()["streams"]["accepted"] == accepted
    assert web.run("resume").returncode == 0
    assert waiting.generation == web.status()["active"]


def test_a_verb_must_say_which_door(frontdoor: Several, doors: tuple[OneDoor, OneDoor]) -> None:
    asked = [["swap", "v2"], ["rollback"], ["restart"], ["drain", "v1", "--now"], ["pause"], ["resume"]]
    for refused in [command.ended() for command in [frontdoor.begin(*arguments) for arguments in asked]]:
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == "frontdoor: there are several doors: say which with --door: web, api\n"
    unknown = frontdoor.run("swap", "v2", "--door", "wbe")
    assert unknown.returncode == 2
    assert "there is no door 'wbe'" in unknown.stderr
    assert "web, api" in unknown.stderr
    assert [door.status()["active"][:3] for door in doors] == ["v1#", "v1#"]

    shown = frontdoor.run("status").stdout
    assert shown.index("door web on ") < shown.index("door api on "), "as in the config"
    both = [door.connect().generation for door in doors]
    assert len(both) == 2
    streams = frontdoor.control.ask("/v1/streams")["streams"]
    assert {stream["door"] for stream in streams} == {"web", "api"}


# -- the first generation ---------------------------------------------------------------------------------------------


@pytest.fixture
def launch() -> Iterator[Callable[..., Several]]:
    with contextlib.ExitStack() as stack:

        def launched(**doors: dict[str, Any]) -> Several:
            return stack.enter_context(closing(Several(config_of(doors)))).launch()

        yield launched


def health(frontdoor: Several) -> int:
    return frontdoor.control.get("/healthz")[0]


def test_one_that_cannot_begin_leaves_the_other_serving_and_a_swap_heals_it(launch: Callable[..., Several]) -> None:
    frontdoor = launch(web={}, api={"backends": {"v1": BAD}})
    web, api = frontdoor.door("web"), frontdoor.door("api")
    until(web.serves, "the other serves")
    assert web.connect().generation == "v1#1"
    failed = api.logs("swap.failed")
    assert (failed["generation"], failed["output"]) == ("v1#1", ["no database"])
    until(lambda: api.status()["state"] == "failed", "and that one has failed")
    assert api.status()["trouble"] == "it exited with code 3 before it was ready"
    assert api.status()["active"] is None
    shown = api.run("status").stdout
    assert "nothing is active, failed" in shown
    assert "it exited with code 3 before it was ready" in shown
    assert health(frontdoor) == 503
    again = api.run("restart")
    assert again.returncode == 4
    assert "v1#2 did not become ready (it exited with code 3 before it was ready); nothing serves" in again.stderr

    frontdoor.kill_door_process()
    api.logs("swap.failed", generation="v1#3")
    until(lambda: api.status()["state"] == "failed", "it was tried once more after a crash, and has failed")
    waiting = api.connect()
    assert api.run("swap", "v1").returncode == 4
    assert web.connect().generation == "v1#1"
    assert api.swap("v2").startswith("v2#5 is active")
    assert waiting.generation == "v2#5"
    assert api.status()["trouble"] is None
    assert health(frontdoor) == 200


def test_one_that_takes_long_to_begin_does_not_hold_up_the_other(launch: Callable[..., Several]) -> None:
    frontdoor = launch(web={}, api={"backends": {"v1": SLOW}})
    web, api = frontdoor.door("web"), frontdoor.door("api")
    until(web.serves, "the other serves")
    assert web.connect().generation == "v1#1"
    assert api.status()["state"] == "starting"
    assert health(frontdoor) == 503
    early = api.connect()
    busy = api.run("swap", "v2")
    assert busy.returncode == 5
    assert "the door api is still starting its first generation: try again in a moment" in busy.stderr
    assert web.swap("v2").startswith("v2#2 is active")
    frontdoor.touch("go")
    assert early.generation == "v1#1"


def test_a_reload_takes_one_away_that_takes_long_to_begin(launch: Callable[..., Several]) -> None:
    frontdoor = launch(web={}, api={"backends": {"v1": SLOW}})
    web, api = frontdoor.door("web"), frontdoor.door("api")
    until(web.serves, "the other serves")
    client, early = web.connect(), api.connect()
    assert client.generation == "v1#1"
    door_process = frontdoor.control.ask("/v1/status")["door_pid"]
    candidate = api.pid("v1#1")
    frontdoor.write(config_of({"web": {}}))
    assert frontdoor.reload()["message"] == "reloaded: doors.api"
    assert early.hear() == ""
    until(lambda: not api.is_there, "it is gone")
    assert candidate not in frontdoor.processes()
    assert client.ask("still there?") == "still there?"
    assert frontdoor.control.ask("/v1/status")["door_pid"] == door_process
    assert web.swap("v2").startswith("v2#2 is active")

    frontdoor.touch("go")
    frontdoor.write(config_of({"web": {}, "api": {"backends": {"v1": SLOW}}}))
    assert frontdoor.reload()["exit_code"] == 0, "and it may come back"
    assert frontdoor.door("api").connect().generation == "v1#2"


def test_one_that_could_not_begin_is_mended_by_a_reload_or_by_a_restart(launch: Callable[..., Several]) -> None:
    bad = {"backends": {"v1": BAD}}
    frontdoor = launch(web={}, api=bad, app=bad)
    web, api, app = (frontdoor.door(name) for name in ("web", "api", "app"))
    until(web.serves, "the one serves")
    until(lambda: [door.status()["state"] for door in (api, app)] == ["failed"] * 2, "the others have failed")
    waiting = [api.connect(), app.connect()]
    frontdoor.write(config_of({"web": {}, "api": {}, "app": {}}))
    restarted = app.run("restart")
    assert (restarted.returncode, restarted.stdout) == (0, "v1#2 is active\n"), "it has read the mended command"
    reloaded = frontdoor.reload()["message"]
    assert reloaded.startswith("reloaded: doors.api.backends.v1, doors.app.backends.v1 ")
    assert reloaded.endswith("; door api: v1#2 is active")
    assert [client.generation for client in waiting] == ["v1#2", "v1#2"]
    assert (api.status()["trouble"], app.status()["trouble"]) == (None, None)
    assert web.started == ["v1#1"], "there was nothing to mend"
    assert health(frontdoor) == 200


def test_a_stop_while_one_takes_long_to_begin(launch: Callable[..., Several]) -> None:
    frontdoor = launch(web={}, api={"backends": {"v1": SLOW}})
    web = frontdoor.door("web")
    until(web.serves, "the other serves")
    client = web.connect()
    assert client.generation == "v1#1"
    frontdoor.signal(signal.SIGTERM)
    web.logs("door.stopping")
    assert client.ask("still there?") == "still there?", "a graceful stop"
    client.close()
    assert frontdoor.ends() == 0


def test_when_all_fail_serve_ends(launch: Callable[..., Several]) -> None:
    frontdoor = launch(web={"backends": {"v1": BAD}}, api={"backends": {"v1": {"command": ["false"]}}})
    assert frontdoor.ends() == 4
    why = "v1#1 did not become ready (it exited with code {} before it was ready); nothing serves. Its last output:"
    said = sorted(frontdoor.messages)
    assert said == [
        "  | no database",
        f"frontdoor: door api: {why.format(1)} none",
        f"frontdoor: door web: {why.format(3)}",
    ]


# -- one in trouble ---------------------------------------------------------------------------------------------------

STORM = """
import sys
from frontdoor.control.client import Client
control = Client(sys.argv[1])
while True:
    with control.stream("POST", "/v1/doors/web/swap", {"version": "bad"}) as lines:
        *_, outcome = lines
    assert outcome["exit_code"] == 4, outcome
"""

ROUNDS, VISITS = 5, 200


def newest(door: OneDoor) -> int:
    return int(door.status()["generations"][0]["generation"])


def p99(door: OneDoor) -> float:
    """Milliseconds from the first packet to the greeting, of one client in a hundred."""
    took = []
    for _ in range(VISITS):
        began = time.perf_counter()
        client = door.connect()
        client.hear()
        took.append(time.perf_counter() - began)
        client.close()
    return sorted(took)[-VISITS // 100] * 1000


def test_a_storm_of_failing_swaps_of_one_is_not_felt_at_the_other(
    frontdoor: Several, doors: tuple[OneDoor, OneDoor]
) -> None:
    web, api = doors
    storm = subprocess.Popen([sys.executable, "-c", STORM, frontdoor.path("run/control.sock")])
    quiet, stormy, swaps = [], [], []
    try:
        for _ in range(ROUNDS):
            storm.send_signal(signal.SIGSTOP)
            until(lambda: web.status()["swap"] is None, "the last of its swaps has ended")
            quiet.append(p99(api))
            storm.send_signal(signal.SIGCONT)
            until(lambda: web.status()["swap"], "the next one has begun")
            before = newest(web)
            stormy.append(p99(api))
            swaps.append(newest(web) - before)
        assert storm.poll() is None
    finally:
        storm.kill()
        storm.wait()
    alone, beside = statistics.median(quiet), statistics.median(stormy)
    print(f"p99 of api alone {alone:.1f} ms, beside {sum(swaps)} failing swaps of web {beside:.1f} ms")
    print(f"  alone {[round(ms, 1) for ms in quiet]}, beside {[round(ms, 1) for ms in stormy]}, swaps {swaps}")
    assert min(swaps) > 0
    assert beside < 5 * alone + 20
    assert web.connect().generation == web.status()["active"], "and it serves, too"
