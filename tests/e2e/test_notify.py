"""`drain.notify`: at the start of a drain the processes are told. Whatever comes of that, their streams go on."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from e2e.crowded import come_of_age, kill_9
from e2e.harness import Client, Frontdoor, until

Serve = Callable[..., Frontdoor]

TOLD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "told.py")


def app(*options: str, **more: Any) -> dict[str, Any]:
    return {"*": {"command": ["{python}", "-I", "-S", TOLD, *options], **more}}


def told(door: Frontdoor) -> list[str]:
    """What the processes have written down."""
    try:
        with open(door.path("told")) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def echoes(client: Client, text: str) -> bool:
    client.say(text)
    return client.hear() == text


def open_one(door: Frontdoor) -> Client:
    client = door.connect()
    assert echoes(client, "here")
    return client


def test_each_process_gets_the_signal_once_and_goes_on(serve: Serve) -> None:
    door = serve(backends=app(processes=2), drain={"notify": "SIGUSR1"})
    first, second = open_one(door), open_one(door)
    before = [process["pid"] for process in door.generation("v1#1")["processes"]]
    door.swap("v2")
    until(lambda: sorted(told(door)) == ["v1#1.0 SIGUSR1", "v1#1.1 SIGUSR1"], "both are told")
    come_of_age()
    kill_9(door)
    assert echoes(first, "and on"), "nothing was closed"
    assert echoes(second, "and on")
    assert [process["pid"] for process in door.generation("v1#1")["processes"]] == before
    door.hang_up()
    until(lambda: door.logged("drain.finished"), "it is drained")
    assert len(told(door)) == 2, "not once more by the door process after that"
    assert door.logged("drain.notify_failed") == []


def test_a_post_says_what_drains_and_where_new_streams_go(serve: Serve) -> None:
    door = serve(backends=app(), drain={"notify": "http:/drain?why=swap"})
    client = open_one(door)
    door.swap("v2")
    (line,) = until(lambda: told(door), "it is told")
    name, path, body = line.split(" ", 2)
    assert (name, path) == ("v1#1.0", "/drain?why=swap")
    assert json.loads(body) == {
        "event": "drain.started",
        "door": "main",
        "version": "v1",
        "generation": "v1#1",
        "to": "v2#2",
    }
    assert echoes(client, "and on")
    assert door.logged("drain.notify_failed") == []


def test_nobody_is_told_where_no_stream_is_open(serve: Serve) -> None:
    door = serve(backends=app(), drain={"notify": "SIGUSR1"})
    door.swap("v2", "--wait", "drained")
    assert told(door) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("500", "POST /drain was answered with 500"),
        ("hang", "POST /drain was not answered within 0.5 s"),
    ],
)
def test_one_that_does_not_want_to_hear_it_serves_on(serve: Serve, answer: str, reason: str) -> None:
    drain = {"notify": "http:/drain", "notify_timeout": "500ms"}
    door = serve(backends=app("--answer", answer), drain=drain)
    client = open_one(door)
    swap = door.begin("swap", "v2")
    assert swap.ended().returncode == 0, "nobody waits for the answer"
    (failed,) = until(lambda: door.logged("drain.notify_failed"), "it is said")
    goes_on = "its streams go on, and are closed as the config says"
    assert failed["reason"] == f"it was not told that it drains: {reason}; {goes_on}"
    assert (failed["generation"], failed["pid"]) == ("v1#1", door.process("v1#1")["pid"])
    assert echoes(client, "and on")
    assert echoes(open_one(door), "new ones too")
    if answer == "hang":
        until(lambda: told(door)[-1] == "v1#1.0 it hung up", "the request is not left open")


def test_it_is_told_when_the_probation_is_over(serve: Serve) -> None:
    door = serve(backends=app(), drain={"notify": "SIGUSR1"}, swap={"bake": "2s"})
    client = open_one(door)
    come_of_age()
    swap = door.begin("swap", "v2")
    until(lambda: door.generation("v1#1")["state"] == "draining", "it has been switched")
    kill_9(door)
    until(lambda: told(door), "it is told")
    assert door.logged("swap.settled"), "and not before that was certain"
    assert swap.ended().returncode == 0
    assert told(door) == ["v1#1.0 SIGUSR1"]
    assert echoes(client, "and on")


def test_who_serves_again_is_not_told(serve: Serve) -> None:
    door = serve(backends=app(), drain={"notify": "SIGUSR1"}, swap={"bake": "30s"})
    client = open_one(door)
    swap = door.begin("swap", "v2")
    until(lambda: door.generation("v1#1")["state"] == "draining", "it has been switched")
    assert door.run("rollback").returncode == 0
    assert swap.ended().returncode == 1
    assert door.status()["active"] == "v1#1"
    assert echoes(client, "and on")
    assert told(door) == [], "v2#2 had no stream, and v1#1 serves again"


def test_somebody_elses_process_gets_no_signal(prepare: Serve) -> None:
    door = prepare()
    config = door.write(
        'listen = ["127.0.0.1:0"]\nactive = "v1"\ndrain.notify = "SIGUSR1"\n[backends.v1]\nsocket = "s"\n', "other.toml"
    )
    checked = door.run("check", config)
    assert checked.returncode == 2
    assert "drain.notify" in checked.stderr
