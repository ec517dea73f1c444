"""What `frontdoor swap` promises: transcripts of one terminal that serves, and one that swaps."""

import json
from collections.abc import Callable

from e2e.harness import Frontdoor, config, greeter, until

Serve = Callable[..., Frontdoor]

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""


def test_new_connections_go_to_the_new_version_and_open_ones_stay(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"

    swapped = door.run("swap", "v2")
    assert swapped.returncode == 0, swapped
    assert swapped.stdout == "v2#2 is active; v1#1 drains 1 stream\n"
    assert door.connect().generation == "v2#2"
    assert old.ask("still there?") == "still there?"
    assert door.generation("v1#1")["state"] == "draining"


def test_swap_shows_what_happens_while_it_happens(anew: Serve) -> None:
    door = anew(backends={"v2": SLOW})
    old = door.connect()
    assert old.generation == "v1#1"

    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v2#2 starting")
    assert "ready" not in swap.stderr
    door.touch("go")
    swap.shows("v2#2 ready after ")
    swap.shows("switched: new connections go to v2#2")
    swap.shows("v1#1 draining with 1 stream")
    assert "drained" not in swap.stderr
    old.close()
    ended = swap.ended()
    assert ended.returncode == 0
    assert "v1#1 drained" in ended.stderr
    assert ended.stdout == "v2#2 is active; v1#1 is drained, no stream had to be closed\n"


def test_swap_with_json_prints_the_events_and_the_outcome(anew: Serve) -> None:
    door = anew()
    swapped = door.run("swap", "v2", "--json", "--wait", "drained")
    assert swapped.returncode == 0, swapped
    *events, outcome = [json.loads(line) for line in swapped.stdout.splitlines()]
    names = [event["event"] for event in events]
    order = [
        "swap.started",
        "backend.starting",
        "backend.ready",
        "swap.switched",
        "drain.started",
        "drain.finished",
    ]
    assert [name for name in names if name in order] == order
    assert {event["swap"] for event in events} == {1}
    assert (outcome["result"], outcome["exit_code"]) == ("drained", 0)
    assert swapped.stderr == ""


def test_each_wait_returns_at_its_own_time(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"

    door.swap("v2", "--wait", "switched")
    assert door.connect().generation == "v2#2"
    door.swap("v3", "--wait", "baked")
    assert door.connect().generation == "v3#3"
    assert old.ask("still there?") == "still there?"


def test_the_old_version_gets_its_stop_signal_only_after_its_last_stream(anew: Serve) -> None:
    door = anew()
    one, other = door.connect(), door.connect()
    assert (one.generation, other.generation) == ("v1#1", "v1#1")
    door.swap("v2")

    one.close()
    until(lambda: door.generation("v1#1")["streams"]["open"] == 1, "one of its streams has ended")
    assert other.ask("still there?") == "still there?"
    assert door.printed("v1#1") == []
    other.close()
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]


def test_a_swap_to_the_same_version_is_a_new_generation(anew: Serve) -> None:
    door = anew()
    first = door.connect()
    door.swap("v1")
    second = door.connect()
    assert (first.generation, second.generation) == ("v1#1", "v1#2")
    assert first.pid != second.pid


def test_placeholders_and_variables(serve: Serve) -> None:
    door = serve(
        backends={
            "*": {
                "command": greeter("--socket", "{socket}"),
                "env": {"WHO": "{version} {generation} {process}", "BRACES": "{{}}", "SHARED": "all"},
            },
            "v2": {"env": {"SHARED": "mine"}, "cwd": "{runtime_dir}"},
        }
    )
    first = door.connect()
    assert first.ask("env WHO") == "v1 1 0"
    assert first.ask("env BRACES") == "{}"
    assert first.ask("env SHARED") == "all"
    assert first.ask("env FRONTDOOR_SOCKET") == door.path("run/g1/0.sock")
    assert first.ask("env FRONTDOOR_PROCESS") == "0"
    assert first.ask("cwd") == door.folder

    door.swap("v2")
    second = door.connect()
    assert second.ask("env WHO") == "v2 2 0"
    assert second.ask("env SHARED") == "mine"
    assert second.ask("cwd") == door.path("run")


def test_a_version_added_since_the_start_is_known(serve: Serve) -> None:
    door = serve()
    door.write(config(backends={"v2": {"env": {"GREETING": "added"}}}))
    door.swap("v2")
    assert door.connect().ask("env GREETING") == "added"


def test_new_streams_go_to_the_least_loaded_process(anew: Serve) -> None:
    door = anew(backends={"*": {"processes": 2}})
    clients = [door.connect() for _ in range(6)]
    pids = [client.pid for client in clients]
    first, second = {process["pid"] for process in door.generation("v1#1")["processes"]}
    assert (pids.count(first), pids.count(second)) == (3, 3)
