from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import trio

from control.fakedoor import FakeDoor, door_process, open_listener
from frontdoor.control import client as module
from frontdoor.control.client import Client
from frontdoor.control.dial import Broken, ControlError, NotRunning, Refused, connect

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    with trio.fail_after(20):
        return await trio.to_thread.run_sync(function, *args)


@contextmanager
def stranger(path: str, *answers: bytes | None) -> Iterator[list[bytes]]:
    """Something that answers one connection after another with these bytes; None is no answer at all."""
    asked: list[bytes] = []
    done = threading.Event()

    def run() -> None:
        for answer in answers:
            there, _ = listener.accept()
            asked.append(there.recv(65536))
            if answer is None:
                done.wait(20)
            else:
                there.sendall(answer)
            there.close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=run)
        thread.start()
        yield asked
        done.set()
        thread.join(20)


async def test_calls(door: FakeDoor, path: str) -> None:
    client = Client(path)
    assert await in_thread(client.ask, "/v1/status") == door.state
    answer = await in_thread(client.tell, "/v1/doors/-/drain", {"version": "v1", "over": 0})
    assert answer["message"] == "closed 6 streams of v1#1"
    status, answer = await in_thread(client.get, "/nothing")
    assert (status, answer["exit_code"]) == (404, 2)
    with pytest.raises(Refused, match="did you mean v2") as refused:
        await in_thread(client.stream, "POST", "/v1/doors/-/swap", {"version": "v9"})
    assert (refused.value.exit_code, refused.value.status) == (2, 400)


async def test_a_stream_knows_its_swap_and_gives_its_lines(door: FakeDoor, path: str) -> None:
    lines = await in_thread(Client(path).stream, "POST", "/v1/doors/-/swap", {"version": "v2"})
    assert lines.swap == 1
    door.operations[1].fail("failed", 4, "no")
    said: list[dict[str, Any]] = await in_thread(list, lines)
    assert [line["event"] for line in said] == ["swap.started", "result"]
    lines.close()


async def test_a_connection_that_breaks_ends_the_lines(socket_path: str) -> None:
    door = FakeDoor()
    with open_listener(socket_path) as listener:
        async with door_process(door, listener):
            lines = await in_thread(Client(socket_path).stream, "GET", "/v1/events")
        assert await in_thread(list, lines) == []
        lines.close()


def test_nothing_is_running(socket_path: str) -> None:
    with pytest.raises(NotRunning, match="no such file") as error:
        Client(socket_path).get("/v1/status")
    assert error.value.exit_code == 3
    with pytest.raises(NotRunning):
        connect("a\0b")


def test_asking_again_is_for_questions_only(socket_path: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"again": 1}\n'
    with stranger(socket_path, b"", b"HTTP/1.1 200 OK\r\nContent-Len", answer, b"") as asked:
        client = Client(socket_path)
        assert client.ask("/v1/status") == {"again": 1}
        with pytest.raises(Broken):
            client.post("/v1/stop", {})
    assert [request.split()[0] for request in asked] == [b"GET", b"GET", b"GET", b"POST"]


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"])
def test_something_else_answers(socket_path: str, answer: bytes) -> None:
    with stranger(socket_path, answer), pytest.raises(ControlError):
        Client(socket_path).get("/v1/status", patience=0)


def test_no_answer_at_all_is_not_waited_for_for_ever(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.1)
    with stranger(socket_path, None), pytest.raises(ControlError, match="does not answer"):
        Client(socket_path).get("/v1/status")


def test_a_full_backlog_is_not_waited_for_for_ever(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontdoor.control.dial.CONNECT_TIMEOUT", 1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(0)
        with connect(socket_path):
            before = time.monotonic()
            with pytest.raises(NotRunning, match="too busy"):
                connect(socket_path)
            assert 0.9 < time.monotonic() - before < 10
