"""The ready checks, asked of real processes."""

import os
from collections.abc import Callable

from e2e.harness import Frontdoor, greeter, until

Prepare = Callable[..., Frontdoor]


def test_check_http_waits_for_a_good_status(prepare: Prepare) -> None:
    # A file of the version's name says how each version answers.
    door = prepare(backends={"*": {"command": greeter("--http", "{version}")}}, ready={"check": "http:/healthz"})
    door.write("200", "v1")
    door.start()
    door.write("500", "v2")
    swap = door.begin("swap", "v2")
    door.logs("output", version="v2", line="answered 500")
    assert door.status()["active"] == "v1#1"
    door.write("204", "v2")
    assert swap.ended().returncode == 0
    assert door.status()["active"] == "v2#2"


def test_check_notify_waits_until_the_version_says_so(prepare: Prepare) -> None:
    door = prepare(
        backends={"*": {"command": greeter("--notify", "--notify-when", "{version}")}}, ready={"check": "notify"}
    )
    door.touch("v1")
    door.start()
    swap = door.begin("swap", "v2")
    until(lambda: os.path.exists(door.path("run/g2/0.sock")), "v2 listens")
    assert door.status()["swap"]["phase"] == "probing"
    assert door.connect().generation == "v1#1"
    door.touch("v2")
    assert swap.ended().returncode == 0
    assert door.connect().generation == "v2#2"
