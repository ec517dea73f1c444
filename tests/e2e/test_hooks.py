"""Hooks: the user's programs, told of what happens; one of them may forbid a swap, the others stop nothing."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import COMMAND, Command, Frontdoor, greeter, until

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]

HOOKS = ("before_swap", "ready", "switched", "drained", "exited", "failed")

TELLS = ["sh", "-c", "cat; env | grep ^FRONTDOOR_ | sort"]
"""A hook that prints all that it is told."""

BAD = {"command": greeter("--say", "no database", "--exit", "3")}

WRITTEN = {"before_swap": ["./before"]}
"""A hook that the test writes, once and again."""


def write_hook(door: OneDoor, script: str, *, mode: int = 0o755) -> None:
    os.chmod(door.frontdoor.write(f"#!/bin/sh\n{script}\n", "before"), mode)


def told(door: OneDoor, hook: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the first run of a hook that TELLS was told: its event, and its environment without the prefix."""

    def lines() -> list[str]:
        printed = door.logged("hook.output", hook=hook)
        return [entry["line"] for entry in printed if entry["pid"] == printed[0]["pid"]]

    until(lambda: len(lines()) == 11, f"{hook} has printed all that it was told: {lines()}")
    event, *env = lines()
    return json.loads(event), dict(variable.removeprefix("FRONTDOOR_").split("=", 1) for variable in env)


def says(door: OneDoor, count: int = 1) -> str:
    """Wait until before_swap has printed so many lines; the last one."""
    until(lambda: len(door.logged("hook.output", hook="before_swap")) == count, "it has said something")
    return str(door.logged("hook.output", hook="before_swap")[-1]["line"])


def serves_on_until_it_ends(door: OneDoor, swap: Command) -> None:
    """Whoever is there, and whoever comes, is served by v1#1 until that verb has ended."""
    client = door.connect()
    assert client.generation == "v1#1"
    while not swap.has_ended():
        assert client.ask("still there?") == "still there?"
        visitor = door.connect()
        assert visitor.generation == "v1#1"
        visitor.close()
    assert client.ask("and now?") == "and now?"


def is_gone(door: OneDoor, pid: int) -> None:
    until(lambda: pid not in door.frontdoor.processes(), f"{pid} has ended")


# -- what they are told -----------------------------------------------------------------------------------------------


def test_each_hook_is_told_what_happened_in_json_and_in_its_environment(only: Only) -> None:
    door = only(hooks=dict.fromkeys(HOOKS, TELLS), backends={"bad": BAD})
    pid = door.pid("v1#1")
    assert door.run("swap", "v2").returncode == 0
    door.logs("generation.stopped", generation="v1#1")
    assert door.run("swap", "bad").returncode == 4

    v1, v2, bad = ({"VERSION": v, "GENERATION": str(n)} for n, v in enumerate(("v1", "v2", "bad"), 1))
    swap = {"SWAP": "1", "FROM": "v1#1", "TO": "v2#2"}
    why = "it exited with code 3 before it was ready"
    expected: dict[str, tuple[str, dict[str, str]]] = {
        "before_swap": ("swap.started", {**v2, **swap}),
        "ready": ("backend.ready", {**v1, "PID": str(pid)}),
        "switched": ("swap.switched", {**v2, **swap}),
        "drained": ("drain.finished", {**v1, "SWAP": "1"}),
        "exited": ("backend.exited", {**v1, "PID": str(pid), "REASON": "exited with code 0"}),
        "failed": ("swap.failed", {**bad, "SWAP": "2", "FROM": "v2#2", "TO": "bad#3", "REASON": why}),
    }
    always = {"DOOR": door.name, "CONTROL": door.frontdoor.path("run/control.sock")}
    nothing = dict.fromkeys(("VERSION", "GENERATION", "PID", "SWAP", "FROM", "TO", "REASON"), "")
    with door.frontdoor.control.stream("GET", "/v1/events?history=1000&follow=0") as lines:
        events = list(lines)
    for hook, (event, fields) in expected.items():
        on_stdin, env = told(door, hook)
        assert on_stdin in events
        assert env == {**nothing, **always, "EVENT": event, **fields}
        assert on_stdin["event"] == event
    assert told(door, "failed")[0]["output"] == ["no database"]
    assert not door.logged("hook.failed")


def test_the_last_things_are_told_before_frontdoor_leaves(serve: Serve) -> None:
    door = serve(hooks={"exited": ["sh", "-c", "sleep 0.2; cat > told"]})
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    with open(door.path("told")) as file:
        assert json.load(file)["generation"] == "v1#1"


# -- before_swap ------------------------------------------------------------------------------------------------------

REFUSALS = [
    ("echo looking; echo 'no deploys on Friday' >&2; exit 1", "exited with code 1: no deploys on Friday"),
    ("kill -SEGV $$", "was ended by SIGSEGV"),
    ("sleep 1000 & echo ready?; exit 9", "exited with code 9: ready?"),
    # 100 MB, of which 100 lines are logged.
    ("yes yes | head -c 100000000; echo at last; exit 1", "exited with code 1: at last"),
]


def test_before_swap_forbids_a_swap_and_the_old_version_serves_on(only: Only) -> None:
    door = only(hooks=WRITTEN)
    for number, (script, why) in enumerate(REFUSALS, 2):
        write_hook(door, script)
        swap = door.begin("swap", "v2")
        serves_on_until_it_ends(door, swap)
        ended = swap.ended()
        assert (ended.returncode, ended.stdout) == (1, "")
        last = ended.stderr.splitlines()[-1]
        vetoed = f"the swap to v2#{number} was vetoed: the before_swap hook {why}; v1#1 still serves"
        assert last == f"frontdoor: {vetoed}"
        assert door.logged("swap.vetoed")[-1]["reason"] == f"the before_swap hook {why}"
    assert door.started == ["v1#1"], "nothing of the candidates was started"
    *shown, more = door.logged("hook.output")[-101:]
    assert {entry["line"] for entry in shown} == {"yes"}
    assert more["line"] == "… 24999901 more lines (100 MB) not shown: of a hook's output the first 100 lines are"
    assert set(door.frontdoor.processes().values()) & {"sleep 1000 "} == set(), "what a hook leaves is ended"

    write_hook(door, "exit 0")
    assert door.run("swap", "v2").stdout.startswith("v2#6 is active")
    assert door.connect().generation == "v2#6"


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o644, "could not be started: not allowed to run ./before (is it executable?)"),
        (None, "could not be started: command not found: ./before"),
    ],
)
def test_a_before_swap_that_cannot_be_started_forbids_it_too(only: Only, mode: int | None, why: str) -> None:
    door = only(hooks=WRITTEN)
    if mode is None:
        os.unlink(door.frontdoor.path("before"))
    else:
        write_hook(door, "exit 0", mode=mode)
    refused = door.run("swap", "v2", "--json")
    assert refused.returncode == 1
    outcome = json.loads(refused.stdout.splitlines()[-1])
    assert (outcome["result"], outcome["reason"]) == ("vetoed", f"the before_swap hook {why}")
    write_hook(door, "exit 0")
    door.swap("v2")
    assert door.connect().generation == "v2#3"


def test_a_before_swap_that_hangs_is_killed_when_its_time_is_up(only: Only) -> None:
    door = only(hooks={**WRITTEN, "timeout": "600ms"})
    write_hook(door, "trap '' TERM; sleep 1000 & echo $!; wait")
    swap = door.begin("swap", "v2")
    serves_on_until_it_ends(door, swap)
    ended = swap.ended()
    assert ended.returncode == 1
    why = "the before_swap hook did not end within 0.6 s (hooks.timeout) and was killed"
    assert f"was vetoed: {why}: {says(door)}; v1#1 still serves" in ended.stderr
    is_gone(door, int(says(door)))


def test_what_a_hook_leaves_in_the_background_is_ended_but_not_what_has_left_its_session(only: Only) -> None:
    door = only(hooks=WRITTEN)
    leaves = "setsid sh -c 'echo $$; touch left; exec sleep 1000' & until test -e left; do sleep 0.01; done"
    write_hook(door, f"sleep 1000 & echo $!; {leaves}")
    door.swap("v2")  # though both of them keep its output open
    stays = int(says(door, 2))
    is_gone(door, int(door.logged("hook.output")[0]["line"]))
    assert stays in door.frontdoor.processes()
    os.kill(stays, signal.SIGKILL)


def test_before_swap_forbids_the_swap_of_a_reload_and_so_all_of_it(only: Only, changing: Changing) -> None:
    door = only(hooks=WRITTEN)
    write_hook(door, "echo no deploys on Friday; exit 1")
    changing.change(door, hooks=WRITTEN, active="v2", limits={"connections": 7})
    refused = changing.run("reload")
    assert (refused.returncode, refused.stdout) == (1, "")
    why = "the before_swap hook exited with code 1: no deploys on Friday"
    assert f"nothing was changed: the swap to v2#2 was vetoed: {why}; v1#1 still serves" in refused.stderr
    assert door.status()["limit"]["connections"] != 7
    write_hook(door, "exit 0")
    assert changing.reload()["exit_code"] == 0
    assert door.connect().generation == "v2#3"


def test_ctrl_c_while_before_swap_runs(only: Only) -> None:
    door = only(hooks=WRITTEN)
    write_hook(door, "echo $$; exec sleep 1000")
    swap = door.begin("swap", "v2")
    pid = int(says(door))
    assert door.status()["swap"]["to"] == "v2#2"
    assert door.run("swap", "v3").returncode == 5, "the door is busy with it"
    swap.interrupt()
    ended = swap.ended()
    assert ended.returncode == 130
    assert "the swap to v2#2 was aborted before the switch; v1#1 still serves" in ended.stderr
    is_gone(door, pid)
    assert door.started == ["v1#1"]
    write_hook(door, "exit 0")
    door.swap("v2")
    assert door.connect().generation == "v2#3"


def test_kill_9_of_the_door_process_while_before_swap_runs(only: Only) -> None:
    door = only(hooks=WRITTEN)
    write_hook(door, "echo $$; exec sleep 1000")
    swap = door.begin("swap", "v2")
    pid = int(says(door))
    door.frontdoor.kill_door_process()
    ended = swap.ended()
    assert ended.returncode == 1
    assert "the connection to frontdoor broke: asking it again" in ended.stderr
    assert "frontdoor: frontdoor's door process died during the swap; v1#1 serves; swap again" in ended.stderr
    is_gone(door, pid)
    assert door.connect().generation == "v1#1"
    write_hook(door, "exit 0")
    door.swap("v2")
    assert door.connect().generation == "v2#3", "its number was told to the hook: it is not given again"


# -- before_switch, and aborted ---------------------------------------------------------------------------------------


def test_before_switch_is_told_where_the_candidate_listens_and_may_forbid_its_switch(
    only: Only, changing: Changing
) -> None:
    door = only(hooks={"before_switch": ["./before"]}, backends={"*": {"processes": 2}})
    write_hook(door, "cat; echo a page is broken; exit 1")
    failed = door.run("swap", "v2")
    assert failed.returncode == 4
    why = "the before_switch hook exited with code 1: a page is broken"
    assert f"v2#2 did not become ready ({why}); v1#1 still serves" in failed.stderr
    event = json.loads(door.logged("hook.output")[0]["line"])
    folder = door.frontdoor.path(f"run/{door.name}/g2")
    told = {"event": "swap.ready", "generation": "v2#2", "from": "v1#1", "to": "v2#2", "swap": 1}
    assert {**told, "sockets": [f"{folder}/0.sock", f"{folder}/1.sock"]}.items() <= event.items()
    assert event["seq"] > door.logged("backend.ready", generation="v2#2")[-1]["seq"], "it was ready"
    door.becomes("v2#2", "failed")
    is_gone(door, door.logged("backend.starting", generation="v2#2")[0]["pid"])

    changing.change(door, hooks={"before_switch": ["./before"]}, active="v2")
    assert changing.run("reload").returncode == 4, "a swap of a reload likewise"
    assert door.connect().generation == "v1#1"
    write_hook(door, "exit 0")
    assert changing.reload()["exit_code"] == 0
    assert door.connect().generation == "v2#4"


def test_ctrl_c_while_before_switch_runs_and_who_is_told_of_it(only: Only) -> None:
    door = only(hooks={"before_switch": ["./before"], "aborted": TELLS, "failed": TELLS})
    write_hook(door, "echo $$; exec sleep 1000")
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 waits for the before_switch hook")
    pid = int(door.logs("hook.output", hook="before_switch")["line"])
    assert door.status()["swap"]["phase"] == "ready"
    assert door.connect().generation == "v1#1"
    swap.interrupt()
    assert swap.ended().returncode == 130
    is_gone(door, pid)
    event, env = told(door, "aborted")
    assert event["event"] == env["EVENT"] == "swap.aborted"
    assert (env["SWAP"], env["FROM"], env["TO"]) == ("1", "v1#1", "v2#2")
    assert door.connect().generation == "v1#1"
    write_hook(door, "exit 0")
    door.swap("v2")
    assert not door.logged("hook.output", hook="failed")


def test_who_has_begun_something_before_a_swap_is_told_that_it_was_vetoed(only: Only) -> None:
    door = only(hooks={**WRITTEN, "aborted": TELLS, "timeout": "1s"})
    write_hook(door, "exec sleep 1000")
    assert door.run("swap", "v2").returncode == 1
    event, env = told(door, "aborted")
    assert event["event"] == "swap.vetoed"
    assert env["REASON"] == "the before_swap hook did not end within 1 s (hooks.timeout) and was killed"


# -- the others -------------------------------------------------------------------------------------------------------


def test_hooks_that_fail_are_logged_and_stop_nothing(only: Only) -> None:
    hooks = {
        "ready": ["sh", "-c", "echo about to crash; kill -SEGV $$"],
        "switched": ["./not-there"],
        "drained": ["sh", "-c", "echo $$; exec sleep 1000"],
        "exited": ["./config.toml"],
        "failed": ["sh", "-c", "echo no mail server; exit 75"],
        "timeout": "1s",
    }
    reasons = {
        "ready": "was ended by SIGSEGV",
        "switched": "could not be started: command not found: ./not-there",
        "drained": "did not end within 1 s (hooks.timeout) and was killed",
        "exited": "could not be started: not allowed to run ./config.toml (is it executable?)",
        "failed": "exited with code 75",
    }
    door = only(hooks=hooks, backends={"bad": BAD})
    swap = door.begin("swap", "v2", "--wait", "drained")
    assert swap.ended().returncode == 0
    assert door.run("swap", "bad").returncode == 4
    for hook, reason in reasons.items():
        assert door.logs("hook.failed", hook=hook)["reason"] == reason
    assert door.logs("hook.failed", hook="failed")["output"] == ["no mail server"]
    is_gone(door, int(door.logged("hook.output", hook="drained")[0]["line"]))
    assert door.connect().generation == "v2#2"
    with door.frontdoor.control.stream("GET", f"/v1/events?history=1000&follow=0&door={door.name}") as lines:
        assert len([event for event in lines if event["event"] == "hook.failed"]) >= len(reasons)


def test_a_hook_may_use_frontdoor_itself(only: Only) -> None:
    verb = f'cd / && exec {COMMAND} "$0" --door "$FRONTDOOR_DOOR"'  # where no config.toml leads to it
    hooks = {"before_swap": ["sh", "-c", verb, "pause"], "switched": ["sh", "-c", verb, "resume"]}
    door = only(hooks=hooks, backends={"v2": {"command": greeter("--wait-for", "go")}})
    inside = door.connect()
    assert inside.generation == "v1#1"
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    assert door.status()["paused"]
    waiting = [door.connect() for _ in range(5)]
    door.touch("go")
    assert swap.ended().returncode == 0
    assert {client.generation for client in waiting} == {"v2#2"}, "not one of them went to the old version"
    assert inside.ask("still there?") == "still there?"
    until(lambda: door.logged("hook.output", hook="switched"), "it has ended")
    assert "accepts clients again" in door.logged("hook.output", hook="switched")[0]["line"]
    assert not door.status()["paused"]
    assert not door.logged("hook.failed")


def test_a_hook_that_asks_for_a_swap_of_its_own_door_is_told_that_it_is_busy(only: Only) -> None:
    door = only(hooks={"before_swap": ["sh", "-c", f"exec {COMMAND} swap v3 --door $FRONTDOOR_DOOR"]})
    refused = door.run("swap", "v2")
    assert refused.returncode == 1
    assert "the before_swap hook exited with code 5: frontdoor: a swap of the door" in refused.stderr
    assert door.connect().generation == "v1#1"
