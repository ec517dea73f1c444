"""The ready checks, asked of real processes."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.harness import Frontdoor, config, greeter, until


@pytest.fixture(scope="module")
def web() -> Iterator[Frontdoor]:
    """One with an HTTP check: a file of the version's name says how each version answers it."""
    text = config(
        backends={"*": {"command": greeter("--http", "{version}")}, "deaf": {"command": greeter("--never-accept")}},
        ready={"check": "http:/healthz", "timeout": "300ms", "deadline": "2s"},
    )
    with closing(Frontdoor(text)) as door:
        door.write("200", "v1")
        yield door.start()


def test_check_http_names_the_bad_status_at_the_deadline(web: Frontdoor) -> None:
    active = web.status()["active"]
    web.write("503", "bad")
    swapped = web.run("swap", "bad")
    assert swapped.returncode == 4
    assert "not ready within 2 s: GET /healthz was answered with 503" in swapped.stderr
    assert web.status()["active"] == active


def test_check_http_is_not_fooled_by_somebody_who_only_listens(web: Frontdoor) -> None:
    active = web.status()["active"]
    swapped = web.run("swap", "deaf")
    assert swapped.returncode == 4
    assert "not ready within 2 s: no answer within 0.3 s" in swapped.stderr
    assert web.status()["active"] == active


def test_check_http_waits_for_a_good_status(web: Frontdoor) -> None:
    active = web.status()["active"]
    web.write("500", "v2")
    swap = web.begin("swap", "v2")
    web.logs("output", version="v2", line="answered 500")
    assert web.status()["active"] == active
    web.write("204", "v2")
    assert swap.ended().returncode == 0
    assert web.status()["active"].startswith("v2#")


def test_check_notify_waits_until_the_version_says_so(prepare: Callable[..., Frontdoor]) -> None:
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
