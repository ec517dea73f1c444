"""Clients of an http door that keep their connection, as browsers do, and the app that they visit."""

import http.client
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from e2e.doors import OneDoor, tcp
from e2e.harness import Frontdoor

TALKER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "talker.py")
HTTP: dict[str, Any] = {
    "protocol": "http",
    "backends": {"*": {"command": ["{python}", "-I", "-S", TALKER]}},
}
"""What is different in a config with that app."""

Client = http.client.HTTPConnection
Visit = Callable[[OneDoor], Client]
"""Opens a connection to a door, which is kept for many requests."""


class Browser:
    """A client with one connection, which it keeps."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=20)
        self._connection.connect()
        self._sock = self._connection.sock

    def begin(self, path: str = "/", body: str = "") -> None:
        self._connection.request("POST" if body else "GET", path, body or None)

    def hear(self, *, last: bool = False) -> tuple[int, str]:
        """Status and body of the answer; the connection is kept unless it is the ``last`` one."""
        answer = self._connection.getresponse()
        self.headers = answer.headers
        found = answer.status, answer.read().decode()
        assert self._connection.sock is (None if last else self._sock)
        return found

    def ask(self, path: str = "/", *, body: str = "", last: bool = False) -> tuple[int, str]:
        self.begin(path, body)
        return self.hear(last=last)

    def hears_nothing_for(self, seconds: float) -> bool:
        self._sock.settimeout(seconds)
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self._sock.settimeout(20)
        return False

    def close(self) -> None:
        self._connection.close()


class Echo:
    """A client whose connection was upgraded, as a WebSocket's is."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=20)
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")

    def ask(self, text: bytes) -> bytes:
        self.sock.sendall(text)
        return self.sock.recv(len(text), socket.MSG_WAITALL)

    def close(self) -> None:
        self.sock.close()


class Visits:
    """Those who visit in a test."""

    def __init__(self) -> None:
        self._there = ExitStack()

    def browser(self, door: OneDoor | Frontdoor) -> Browser:
        return self._there.enter_context(closing(Browser(_address(door))))

    def echo(self, door: OneDoor | Frontdoor) -> Echo:
        return self._there.enter_context(closing(Echo(_address(door))))

    def leave(self) -> None:
        self._there.close()


def _address(door: OneDoor | Frontdoor) -> tuple[str, int]:
    return tcp(door.address) if isinstance(door, OneDoor) else door.address
