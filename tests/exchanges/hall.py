"""An http door in one thread, without trio: the test says when the loop turns, and what time it is."""

import contextlib
import itertools
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import trio

from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.exchanges import Exchanges
from frontdoor.exchanges.rules import Rules
from frontdoor.http.forwarding import Forwarding
from frontdoor.http.pages import Pages
from frontdoor.policy.generation import Generation, Seat, State
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic import relay as relay_module
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.seating import Seating

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_numbers = itertools.count(1)

RULES = Rules(
    head_timeout=10.0,
    body_timeout=60.0,
    answer_timeout=50.0,
    keepalive_timeout=75.0,
    backend_keepalive=30.0,
    max_head=4096,
    max_body=math.inf,
    trust=(),
    forwarding=Forwarding(request_id=lambda: b"id-%d" % next(_numbers)),
    pages=Pages(),
)


class _NoNursery:
    """Nothing runs beside the test: it looks at the time and asks for backends itself."""

    def start_soon(self, *_: object) -> None:
        """Not now."""


class Hall:
    """One door, one generation with one process, and those who come."""

    def __init__(self, folder: str, **rules: Any) -> None:
        self._passed = 0.0
        relay_module._clock = lambda: time.monotonic() + self._passed
        self.relay = Relay(lambda streams, pipes: True)
        nursery = cast(trio.Nursery, _NoNursery())
        self.reported: list[str] = []
        self.broken: list[Exception] = []
        self.exchanges = Exchanges(
            self.relay,
            nursery,
            Seating(self.relay, nursery),
            lambda exchange, what: self.reported.append(what),
            lambda visitor, error: self.broken.append(error),
        )
        self.switchboard = Switchboard()
        self.gate = Gate("main", self.switchboard, Ledger(), Limits(100, 5.0, 10.0, math.inf, 60.0))
        self.gate.http = replace(RULES, **rules)
        self._folder = folder
        self._sockets: list[socket.socket] = []
        self.listening = self.activate("v1", 1)

    def activate(self, version: str, number: int) -> socket.socket:
        """New exchanges go to a new generation; its listening socket."""
        listening = socket.socket(socket.AF_UNIX)
        self._sockets.append(listening)
        path = os.path.join(self._folder, f"{number}.sock")
        listening.bind(path)
        listening.listen(50)
        listening.settimeout(5)
        generation = Generation(version, number, 0.0, State.READY)
        generation.seats.append(Seat(generation, 0, path, up=True))
        old = self.switchboard.switch(generation, 0.0)
        if old is not None:
            self.exchanges.forget(old)
        return listening

    @property
    def generation(self) -> Generation:
        assert self.switchboard.active is not None
        return self.switchboard.active

    def connect(self) -> socket.socket:
        """A client who was accepted just now."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(5)
        self._sockets.append(theirs)
        self.gate.ledger.accept()
        self.exchanges.receive(self.gate, ours.detach(), ("192.0.2.1", 5000), None, None)
        return theirs

    def backend(self) -> socket.socket:
        """The next connection to the backend."""
        self.turn()
        sock, _ = self.listening.accept()
        sock.settimeout(5)
        self._sockets.append(sock)
        return sock

    @property
    def dialled(self) -> bool:
        """Whether there is a connection to the backend that was not accepted."""
        self.turn()
        self.listening.setblocking(False)
        try:
            self.listening.accept()[0].close()
        except BlockingIOError:
            return False
        finally:
            self.listening.settimeout(5)
        return True

    def turn(self) -> None:
        """Handle all that has happened."""
        while True:
            before = self.relay.events
            self.relay.turn(0)
            if self.relay.events == before:
                return

    def until(self, holds: Callable[[], object]) -> None:
        """Turn until it does."""
        deadline = time.monotonic() + 5
        while not holds():
            assert time.monotonic() < deadline, "not within 5 s"
            self.relay.turn(0.01)

    def later(self, seconds: float) -> None:
        """So much time has passed."""
        self.turn()
        self._passed += seconds
        self.turn()
        self.exchanges.sweep(self.relay.now)

    def read(self, sock: socket.socket) -> bytes:
        """What has come there."""
        self.turn()
        return sock.recv(1 << 16)

    def ask(self, client: socket.socket, request: bytes = GET) -> socket.socket:
        """Send a request, on a fresh connection to the backend, which reads it."""
        client.sendall(request)
        backend = self.backend()
        assert self.read(backend)
        return backend

    @property
    def exchange(self) -> Exchange:
        """The only one that is under way."""
        (exchange,) = self.exchanges
        return exchange

    @property
    def ended(self) -> dict[str, int]:
        """Why exchanges have ended; and the books are in order."""
        ledger, generation = self.gate.ledger, self.generation
        under_way = len(list(self.exchanges))
        assert ledger.accepted == ledger.open + sum(ledger.ended.values())
        assert generation.open == sum(seat.open for seat in generation.seats)
        assert self.gate.idle >= 0
        assert self.exchanges.clients == self.gate.idle + ledger.open - len(self.relay)
        assert under_way + len(self.relay) >= generation.open
        assert not self.broken
        return ledger.ended

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self.turn()
        self.exchanges.clear()


@contextlib.contextmanager
def hall(**rules: Any) -> Iterator[Hall]:
    """A door with these rules; in the end every descriptor is closed."""
    before = len(os.listdir("/proc/self/fd"))
    with tempfile.TemporaryDirectory() as folder:
        made = Hall(folder, **rules)
        try:
            yield made
        finally:
            made.close()
        pipes = made.exchanges.pool.pipes
        while pipes.made:
            pipes.trim()
        relay_module._clock = time.monotonic
        made.relay._epoll.close()
        made.relay.words.close()
    after = len(os.listdir("/proc/self/fd"))
    assert after <= before + 3, f"{after - before} descriptors are left"
