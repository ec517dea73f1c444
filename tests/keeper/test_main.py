"""The keeper as ``frontdoor serve`` runs it, with the real door process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from keeper.watching import PATIENCE, alive, children, stat, until

CONFIG = """
listen = ["127.0.0.1:0"]
active = "v1"

[backends.v1]
command = ["sh", "-c", "sleep 1000 & exec \\"$@\\"", "sh", "{python}", "-ISc", %s, "{socket}"]

[ready]
interval = "10ms"
"""

APP = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    client, _ = listener.accept()
    try:
        client.sendall(b"hello")
    except OSError:
        pass  # the ready check has hung up already
    client.close()
"""


class Serve:
    def __init__(self, folder: str) -> None:
        self.control = f"{folder}/run/control.sock"
        with open(f"{folder}/config.toml", "w") as file:
            file.write(CONFIG % json.dumps(APP))
        command = [sys.executable, "-P", "-m", "frontdoor.keeper", f"{folder}/config.toml"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(lambda: self.active)
        host, _, port = self.status()["doors"][0]["listen"][0].rpartition(":")
        self.address = (host, int(port))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def active(self) -> object:
        with suppress(OSError):
            return self.status()["doors"][0]["active"]
        return None

    def status(self) -> Any:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.control)
            sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: frontdoor\r\nConnection: close\r\n\r\n")
            with sock.makefile("rb") as answer:
                return json.loads(answer.read().partition(b"\r\n\r\n")[2] or b"null") or {"doors": [{"active": None}]}

    @property
    def door(self) -> int:
        """The pid of the door process."""
        (pid,) = [pid for pid in children(self.pid) if pid != self.backend]
        return pid

    @property
    def backend(self) -> int:
        return int(self.status()["doors"][0]["generations"][0]["processes"][0]["pid"])

    def greets(self) -> bool:
        with socket.create_connection(self.address, PATIENCE) as client:
            return client.recv(100) == b"hello"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        it = Serve(folder)
        yield it
        it.process.kill()
        it.process.wait()


def test_a_killed_door_process_is_replaced_and_the_backend_never_notices(serve: Serve) -> None:
    door, backend = serve.door, serve.backend
    assert serve.greets()
    os.kill(door, signal.SIGKILL)
    assert serve.greets(), "a client who comes in between waits, and is not refused"
    until(lambda: serve.active == "v1#1")
    assert serve.backend == backend
    assert serve.door != door
    assert serve.process.poll() is None


def test_when_the_keeper_is_killed_nothing_is_left_not_even_a_backends_child(serve: Serve) -> None:
    door, backend = serve.door, serve.backend
    (helper,) = [pid for pid in children(backend) if stat(pid)[1] == "sleep"]
    assert len({int(stat(pid)[5]) for pid in (serve.pid, door, backend)}) == 3, "each has a session of its own"
    serve.process.kill()
    until(lambda: not any(map(alive, (door, backend, helper))), "the end of everything")


def test_sigterm_stops_everything_with_exit_code_0(serve: Serve) -> None:
    backend = serve.backend
    serve.process.terminate()
    assert serve.process.wait(PATIENCE) == 0
    until(lambda: not alive(backend))
    assert not os.path.exists(serve.control)
