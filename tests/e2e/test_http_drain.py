"""The drain of an http door: it takes as long as the longest request, and not as long as connections are kept."""

import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.browsers import Client, Visit
from e2e.doors import Changing, OneDoor
from e2e.harness import until

Only = Callable[..., OneDoor]

APP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "raw_http.py")
HTTP: dict[str, Any] = {
    "protocol": "http",
    "backends": {"*": {"command": ["{python}", "-I", "-S", APP]}},
    "http": {"keepalive_timeout": "1h", "backend_keepalive": "1h"},
}

CUT = 6


def hear(client: Client) -> tuple[int, str]:
    """Status and body of the answer."""
    answer = client.getresponse()
    return answer.status, answer.read().decode().strip()


def ask(client: Client, path: str = "/") -> tuple[int, str]:
    client.request("GET", path)
    return hear(client)


def begin(door: OneDoor, client: Client, path: str) -> None:
    """Ask, and wait until the request is with the backend."""
    before = len(requests(door))
    client.request("GET", path)
    until(lambda: len(requests(door)) > before, f"{path} is under way")


def requests(door: OneDoor) -> list[dict[str, Any]]:
    streams: list[dict[str, Any]] = door.frontdoor.control.ask(f"/v1/streams?door={door.name}")["streams"]
    return streams


def seen(changing: Changing, door: OneDoor, id_: str) -> list[dict[str, Any]]:
    """The connections that this generation has had, as it tells itself."""
    path = door.generation(id_)["processes"][0]["socket"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(changing.path(path))
        sock.sendall(b"SEEN")
        with sock.makefile("rb") as file:
            connections: list[dict[str, Any]] = json.load(file)["connections"]
    return connections


def test_it_is_over_when_the_last_request_is_however_long_connections_are_kept(
    only: Only, visit: Visit, changing: Changing
) -> None:
    door = only(**HTTP)
    idle, slow = [visit(door) for _ in range(5)], visit(door)
    for client in idle:
        assert ask(client) == (200, "v1#1")
    begin(door, slow, "/wait=go/who")
    swap = door.begin("swap", "v2", "--wait", "drained")
    until(lambda: door.status()["active"] == "v2#2", "the switch")
    assert [ask(client) for client in idle] == [(200, "v2#2")] * 5, "on the connections that they have"
    generation = door.becomes("v1#1", "draining")
    assert generation["streams"]["open"] == 1
    assert generation["oldest"] is not None
    assert not swap.has_ended()
    door.touch("go")
    assert hear(slow) == (200, "v1#1"), "it is answered where it was asked"
    outcome = swap.ended()
    assert outcome.returncode == 0, outcome
    assert "no stream had to be closed" in outcome.stdout + outcome.stderr
    assert ask(slow) == (200, "v2#2")
    assert door.status()["streams"]["ended"] == {"answered": 12}


def test_connections_to_the_old_generation_that_are_idle_are_closed_at_the_switch(
    only: Only, visit: Visit, changing: Changing
) -> None:
    door = only(**HTTP)
    busy, idle = visit(door), visit(door)
    begin(door, busy, "/wait=go/who")
    assert [ask(idle) for _ in range(3)] == [(200, "v1#1")] * 3
    assert [(each["requests"], each["end"]) for each in seen(changing, door, "v1#1")] == [(1, ""), (3, "")]
    door.swap("v2")
    until(
        lambda: [each["end"] for each in seen(changing, door, "v1#1")] == ["", "closed"],
        "the idle one is closed, and not the other",
    )
    door.touch("go")
    assert hear(busy) == (200, "v1#1")
    until(lambda: door.state("v1#1") in ("", "stopped"), "it is drained, and stopped")


def test_whoever_ends_a_drain_ends_its_requests_and_not_the_connections_that_they_are_on(
    only: Only, visit: Visit
) -> None:
    door = only(**HTTP)
    waits, halfway = visit(door), visit(door)
    begin(door, waits, "/wait=never")
    begin(door, halfway, "/say=HTTP%2F1.1 200 OK%0D%0AContent-Length: 9%0D%0A%0D%0Ahalf/wait=never".replace(" ", "%20"))
    until(lambda: [each["bytes"]["down"] for each in requests(door)] == [0, 4], "half an answer is there")
    swap = door.begin("swap", "v2", "--wait", "drained")
    door.becomes("v1#1", "draining")
    assert door.run("drain", "v1", "--now").returncode == 0
    outcome = swap.ended()
    assert outcome.returncode == CUT, outcome
    assert "2 streams of v1#1 had to be closed" in outcome.stdout + outcome.stderr
    assert hear(waits)[0] == 503
    answer = halfway.getresponse()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    assert ask(waits) == (200, "v2#2"), "whoever was told may ask once more"
    assert door.status()["streams"]["ended"] == {"drain_closed": 2, "answered": 1}
    door.becomes("v1#1", "stopped")


def test_a_paced_drain_closes_requests_one_after_the_other_the_oldest_first(only: Only, visit: Visit) -> None:
    door = only(**HTTP, drain={"timeout": "1h"})
    clients = [visit(door) for _ in range(4)]
    for client in clients:
        begin(door, client, "/wait=never")
    door.swap("v2")
    began = time.monotonic()
    assert door.run("drain", "v1", "--over", "800ms").returncode == 0
    times = []
    for client in clients:
        assert hear(client)[0] == 503
        times.append(time.monotonic() - began)
    print("closed after", ", ".join(f"{seconds:.2f} s" for seconds in times))
    assert times[-1] > 0.7
    assert times[0] < times[-1] - 0.3
    assert door.logs("drain.finished", generation="v1#1")["closed"] == 4
