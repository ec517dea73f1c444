"""Clients of an http door with kept connections, who take each end that is not announced for a failure."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.harness import Frontdoor, until

STEPPER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "stepper.py")
APP: dict[str, Any] = {"protocol": "http", "backends": {"*": {"command": ["{python}", "-I", "-S", STEPPER]}}}
"""What is different in a config of greeters."""

HALF = 1000
"""Bytes of the first half of /half."""


class Kept:
    """One connection. Whatever ends it raises, unless an answer has said ``Connection: close``."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=20)
        self._stream = self.sock.makefile("rb")
        self.closing = False
        """The last answer has said that it is the last."""
        self.version = ""
        """Who gave the last answer."""

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def begin(self, target: str = "/", *, method: str = "GET", body: bytes = b"", **fields: str) -> None:
        """Send a request."""
        self.say(request(target, method, body, **fields))

    def head(self) -> tuple[int, int]:
        """The head of the next answer: its status, and how long its body is."""
        first = self._stream.readline()
        assert first.endswith(b"\r\n"), f"the connection ended with {first!r} instead of an answer"
        fields: dict[str, str] = {}
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        assert line, "the connection ended in a head"
        self.closing = fields.get("connection", "").lower() == "close"
        self.version = fields.get("version", "")
        return int(first.split()[1]), int(fields.get("content-length", "0"))

    def body(self, length: int) -> bytes:
        data = self._stream.read(length)
        assert len(data) == length, f"the connection ended after {len(data)} bytes of {length}"
        return data

    def hear(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        status, length = self.head()
        return status, self.body(length)

    def ask(self, target: str = "/", **options: Any) -> bytes:
        """The body of an answer, which must be a good one."""
        self.begin(target, **options)
        status, body = self.hear()
        assert status == 200, (status, body)
        return body

    def has_ended(self) -> bool:
        """Whether the other side closes it, in good order, as the next thing."""
        return not self._stream.read(1)

    def close(self) -> None:
        self._stream.close()
        self.sock.close()


def request(target: str = "/", method: str = "GET", body: bytes = b"", **fields: str) -> bytes:
    """A request as it is sent."""
    lines = [f"{method} {target} HTTP/1.1", "Host: example.org"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Load:
    """Many of them, each in a thread of its own, who ask as fast as they are answered."""

    def __init__(self, address: tuple[str, int], clients: int, seed: int, *, rest: float = 0.0) -> None:
        """``rest``: seconds between two requests of one, at the most."""
        self.failures: list[str] = []
        self.answers = 0
        self.announced = 0
        """Connections that were closed after an answer that said so."""
        self.longest = 0.0
        """Seconds that the slowest of all steps took."""
        self._address = address
        self._rest = rest
        self._stop = threading.Event()
        self._counts = [0] * clients
        self._threads = [threading.Thread(target=self._run, args=(number, seed)) for number in range(clients)]

    def _run(self, number: int, seed: int) -> None:
        rng = random.Random(seed * 1000 + number)
        client = Kept(self._address)
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                self._step(client, rng)
                self.longest = max(self.longest, time.monotonic() - began)
                self._counts[number] += 1
                if client.closing:
                    self.announced += 1
                    client.close()
                    client = Kept(self._address)
                if self._rest:
                    time.sleep(rng.uniform(0, self._rest))
        except Exception as error:
            self.failures.append(f"client {number}, request {self._counts[number]}: {type(error).__name__}: {error}")
        finally:
            client.close()

    @staticmethod
    def _step(client: Kept, rng: random.Random) -> None:
        kind = rng.randrange(6)
        if kind == 0:
            size = rng.randrange(1, 300_000)
            assert client.ask(method="POST", body=bytes(size)) == b"%d" % size
        elif kind == 1:
            size = rng.randrange(300_000)
            assert client.ask(f"/big?{size}") == b"x" * size
        elif kind == 2:  # in two pieces
            said = request()
            cut = rng.randrange(1, len(said))
            client.say(said[:cut])
            time.sleep(rng.uniform(0, 0.02))
            client.say(said[cut:])
            assert client.hear()[0] == 200
        elif kind == 3:  # two at once (RFC 9112, 9.3.2)
            client.say(request("/big?10") + request("/big?20"))
            assert [len(client.hear()[1]) for _ in range(2)] == [10, 20]
        else:
            assert client.ask().startswith(b"v")

    def goes_on(self) -> None:
        """Wait until each of them has been answered twice more: so no request of before is still under way."""
        before = list(self._counts)
        until(
            lambda: self.failures or all(now >= was + 2 for now, was in zip(self._counts, before, strict=True)),
            "all are answered",
        )
        assert not self.failures, "\n".join(self.failures)

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self.answers = sum(self._counts)


@contextmanager
def load(door: Frontdoor, clients: int, seed: int, *, rest: float = 0.0) -> Iterator[Load]:
    """They are there while the test does something else, and nothing may have failed at the end."""
    them = Load(door.address, clients, seed, rest=rest)
    them.begin()
    try:
        them.goes_on()
        yield them
        them.goes_on()
    finally:
        them.end()
    assert not them.failures, "\n".join(them.failures)
