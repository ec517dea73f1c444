"""The access log of an http door: one line for each request, whatever came of it, in a file that may be moved away."""

import http.client
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any

import pytest

from e2e.doors import Changing, OneDoor, tcp
from e2e.harness import until

Only = Callable[..., OneDoor]
Visit = Callable[[OneDoor], http.client.HTTPConnection]

TALKER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "talker.py")
HTTP: dict[str, Any] = {
    "protocol": "http",
    "backends": {"*": {"command": ["{python}", "-I", "-S", TALKER]}},
    "http": {"access_log": "access.log", "head_timeout": "500ms"},
}


class AccessLog:
    """The file that a door writes its lines to."""

    def __init__(self, path: str) -> None:
        self.path = path

    def lines(self, count: int) -> list[dict[str, Any]]:
        """All of them, as soon as there are so many; there may be no more."""
        until(lambda: len(self._read()) >= count, f"{count} lines in the access log: {self._read()}")
        lines = [json.loads(line) for line in self._read()]
        assert len(lines) == count
        return lines

    def _read(self) -> list[str]:
        if not os.path.exists(self.path):
            return []
        with open(self.path) as file:
            return [line for line in file.read().splitlines() if line]

    def forget(self) -> None:
        os.truncate(self.path, 0)


@pytest.fixture
def logged(changing: Changing) -> Iterator[AccessLog]:
    log = AccessLog(changing.path("access.log"))
    yield log
    if os.path.exists(log.path):
        log.forget()


@pytest.fixture
def visit() -> Iterator[Visit]:
    """A client with one connection, which it keeps."""
    with ExitStack() as stack:

        def comes(door: OneDoor) -> http.client.HTTPConnection:
            client = stack.enter_context(closing(http.client.HTTPConnection(*tcp(door.address), timeout=20)))
            client.connect()
            return client

        yield comes


def ask(client: http.client.HTTPConnection, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    answer.read()
    return answer


def raw(door: OneDoor) -> socket.socket:
    return socket.create_connection(tcp(door.address), timeout=20)


def test_each_request_is_a_line_that_says_how_it_went(only: Only, logged: AccessLog, visit: Visit) -> None:
    door = only(**HTTP)
    client = visit(door)
    began = time.time()
    for path in ("/", "/news?page=2&q=%22x%22", "/third"):
        assert ask(client, path).status == 200
    host, port = client.sock.getsockname()
    first, second, third = logged.lines(3)
    assert list(first) == [
        "event", "time", "client", "method", "path", "query", "status", "bytes", "ms", "ended", "door", "version",
        "generation", "request_id",
    ]  # fmt: skip
    for line in (first, second, third):
        assert (line["event"], line["client"], line["method"]) == ("request", f"{host}:{port}", "GET")
        assert (line["door"], line["version"], line["generation"]) == (door.name, "v1", "v1#1")
        assert (line["status"], line["ended"]) == (200, "answered")
        assert line["bytes"] == {"up": 0, "down": len("v1#1")}
        assert began - 0.01 <= datetime.fromisoformat(line["time"]).timestamp() <= time.time()
        assert 0 <= line["ms"]["queue"] <= line["ms"]["first_byte"] <= line["ms"]["total"] < 5000
    assert [(line["path"], line["query"]) for line in (first, second, third)] == [
        ("/", None),
        ("/news", "page=2&q=%22x%22"),
        ("/third", None),
    ]
    assert first["ms"]["dial"] > 0
    assert (second["ms"]["dial"], third["ms"]["dial"]) == (None, None), "the connection to the backend was kept"
    assert len({line["request_id"] for line in (first, second, third)}) == 3


def test_a_request_that_waits_for_its_answer_is_shown_and_then_logged(
    only: Only, logged: AccessLog, visit: Visit
) -> None:
    door = only(**HTTP)
    client, idle = visit(door), visit(door)
    ask(idle)
    client.request("GET", "/slow?secret=1")
    (shown,) = until(
        lambda: door.frontdoor.control.ask(f"/v1/streams?door={door.name}")["streams"], "its request is under way"
    )
    assert (shown["request"], shown["generation"], shown["door"]) == ("GET /slow", "v1#1", door.name)
    assert shown["bytes"] == {"up": 0, "down": 0}
    assert 0 <= shown["idle_s"] <= shown["age_s"]
    table = door.run("streams").stdout.splitlines()
    assert [line.split()[-2:] for line in table] == [["DOWN", "REQUEST"], ["GET", "/slow"]]
    status = door.status()
    assert status["connections"] == {"open": 2, "idle": 1}
    assert (status["streams"]["open"], status["streams"]["ended"]) == (1, {"answered": 1})
    oldest = door.generation("v1#1")["oldest"]
    assert oldest["client"] == shown["client"]
    assert "streams: 2 accepted, 1 open; 2 connections open, 1 of them idle; ended: 1 answered" in (
        door.run("status").stdout
    )
    door.touch("go")
    assert client.getresponse().read() == b"v1#1"
    line = logged.lines(2)[1]
    assert (line["path"], line["query"], line["request_id"]) == ("/slow", "secret=1", shown["id"])
    assert line["ms"]["first_byte"] > 1000 * shown["age_s"]


def test_what_was_no_good_is_a_line_too(only: Only, logged: AccessLog, visit: Visit) -> None:
    door = only(**HTTP)
    with raw(door) as garbage:
        garbage.sendall(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert garbage.recv(100).startswith(b"HTTP/1.1 400 ")
    (line,) = logged.lines(1)
    assert (line["status"], line["ended"], line["method"], line["path"]) == (400, "bad_request", "", "")
    assert (line["version"], line["generation"]) == (None, None)

    assert door.run("maintenance", "on").returncode == 0
    assert ask(visit(door)).status == 503
    line = logged.lines(2)[1]
    assert (line["status"], line["path"], line["generation"]) == (503, "/", None)
    assert line["ms"]["queue"] is line["ms"]["dial"] is line["ms"]["first_byte"] is None
    assert door.run("maintenance", "off").returncode == 0

    with raw(door) as gone:
        gone.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: door.status()["streams"]["open"] == 1, "its request is under way")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line = logged.lines(3)[2]
    assert (line["path"], line["status"], line["ended"], line["generation"]) == ("/slow", None, "client_reset", "v1#1")
    assert line["ms"]["first_byte"] is None


def test_a_line_is_found_by_the_id_that_the_backend_and_the_proxy_in_front_know_the_request_by(
    only: Only, logged: AccessLog, visit: Visit
) -> None:
    backends = {"*": {"command": ["{python}", "-I", "-S", os.path.join(os.path.dirname(TALKER), "raw_http.py")]}}
    door = only(**{**HTTP, "backends": backends, "http": {"access_log": "access.log", "trust": ["127.0.0.0/8"]}})
    client = visit(door)
    from_outside = {"X-Request-Id": "theirs-1", "X-Forwarded-For": "203.0.113.9"}
    for headers in ({}, from_outside):
        client.request("GET", "/echo", headers=headers)
        head = client.getresponse().read().decode()
        known = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:] if line)
        line = logged.lines(1)[0]
        assert line["request_id"] == known["x-request-id"]
        assert line.get("forwarded_for") == headers.get("X-Forwarded-For")
        logged.forget()
    assert line["request_id"] == "theirs-1"


def test_an_upgrade_is_a_line_when_it_begins(only: Only, logged: AccessLog) -> None:
    door = only(**HTTP)
    with raw(door) as echo:
        echo.sendall(b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert echo.recv(1000).startswith(b"HTTP/1.1 101 ")
        (line,) = logged.lines(1)
        assert (line["path"], line["status"], line["ended"]) == ("/chat", 101, "switched_protocols")
        echo.sendall(b"hello")
        assert echo.recv(5) == b"hello"
    until(lambda: door.status()["streams"]["open"] == 0, "it has ended")
    assert len(logged.lines(1)) == 1


def test_sigusr1_leaves_a_file_that_was_moved_and_opens_a_new_one(
    only: Only, logged: AccessLog, visit: Visit, changing: Changing
) -> None:
    client = visit(only(**HTTP))
    ask(client, "/one")
    logged.lines(1)
    old = changing.path("access.log.1")
    os.rename(logged.path, old)
    ask(client, "/two")
    assert [line["path"] for line in AccessLog(old).lines(2)] == ["/one", "/two"]
    changing.signal(signal.SIGUSR1)
    until(lambda: os.path.exists(logged.path), "there is a new file")
    ask(client, "/three")
    assert [line["path"] for line in logged.lines(1)] == ["/three"]
    assert [line["path"] for line in AccessLog(old).lines(2)] == ["/one", "/two"]
    os.unlink(old)


def test_it_is_turned_off_and_on_and_led_to_stderr_by_a_reload(
    only: Only, logged: AccessLog, visit: Visit, changing: Changing
) -> None:
    door = only(**HTTP)
    client = visit(door)
    ask(client, "/file")
    for access_log, path in (("", "/nowhere"), ("-", "/stderr"), ("access.log", "/again")):
        changing.change(door, **{**HTTP, "http": {"access_log": access_log}})
        assert changing.reload()["exit_code"] == 0
        ask(client, path)
    assert [line["path"] for line in logged.lines(2)] == ["/file", "/again"]
    assert door.logs("request")["path"] == "/stderr"
    assert len(door.logged("request")) == 1


def test_a_file_that_cannot_be_written_is_said_and_requests_are_answered(
    only: Only, visit: Visit, changing: Changing
) -> None:
    door = only(**{**HTTP, "http": {"access_log": "nowhere/access.log"}})
    assert ask(visit(door)).status == 200
    said = door.logs("access_log.failed")
    assert said["level"] == "error"
    assert said["file"] == changing.path("nowhere/access.log")
    assert said["reason"] == "it cannot be opened: No such file or directory"


def test_the_next_door_process_goes_on_in_the_same_file(
    only: Only, logged: AccessLog, visit: Visit, changing: Changing
) -> None:
    door = only(**HTTP)
    ask(visit(door), "/before")
    logged.lines(1)
    changing.kill_door_process()
    ask(visit(door), "/after")
    assert changing.run("upgrade").returncode == 0
    ask(visit(door), "/upgraded")
    assert [line["path"] for line in logged.lines(3)] == ["/before", "/after", "/upgraded"]
