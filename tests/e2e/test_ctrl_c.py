"""Ctrl-C at `frontdoor swap`, and what happens when that command simply dies."""

import os
import signal
from collections.abc import Callable

from e2e.harness import Frontdoor, greeter

Serve = Callable[..., Frontdoor]

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""


def test_ctrl_c_before_the_switch_aborts_the_swap(serve: Serve) -> None:
    door = serve(backends={"v2": SLOW})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    swap.interrupt()
    ended = swap.ended()
    assert ended.returncode == 130
    assert "the swap to v2#2 was aborted before the switch; v1#1 still serves" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(door.processes()) == 3, "the candidate is gone"
    assert door.connect().generation == "v1#1"

    door.touch("go")
    door.swap("v2")
    assert door.connect().generation == "v2#3"


def test_ctrl_c_after_the_switch_only_stops_watching(serve: Serve) -> None:
    door = serve()
    old = door.connect()
    assert old.generation == "v1#1"
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 1 stream")
    swap.interrupt()
    ended = swap.ended()
    assert ended.returncode == 130
    assert "the swap itself goes on" in ended.stderr
    assert door.connect().generation == "v2#2"
    assert old.ask("still there?") == "still there?"


def test_a_swap_outlives_the_command_that_asked_for_it(serve: Serve) -> None:
    door = serve(backends={"v2": SLOW})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    os.kill(swap.pid, signal.SIGKILL)
    swap.ended()
    door.touch("go")
    door.logs("swap.switched", to="v2#2")
    assert door.connect().generation == "v2#2"
