"""Seating: giving an accepted client a backend, now or as soon as there is one.

A client for whom there is no backend right now waits in a queue: nobody is refused while there is hope. One task for
each queue asks for them all. A task for each client was tried: a thousand that wait, each asking ten times a second,
take a whole core.

What becomes of the dials is reported to the generation's ``conduct``. To each client it is one failure of a generation
that did not take him, however often he tries. A backlog that is full is none, if he is taken before his time is up: the
backend is only slow.
"""

import enum
import os
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import trio

from frontdoor.policy.generation import Generation, Seat, State
from frontdoor.policy.ledger import Reason
from frontdoor.proxy_header import encode
from frontdoor.sockets import NO_ROOM, dial
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.unseated import Unseated

AT_ONCE = 64
"""Clients that are seated in one go: those who have waited must not hold up the bytes of those that are here."""

FIRST_RETRY, LONGEST_RETRY = 0.002, 0.1
"""Seconds between two dials for those who wait; doubled each time in vain, and jittered."""

_clock = time.monotonic


class _Dial(enum.Enum):
    """Why a client got no backend."""

    FULL = enum.auto()
    """One is there, and its backlog is full."""
    SHORT = enum.auto()
    """There was no descriptor to be had for it, which is not the backend's fault."""
    NOBODY = enum.auto()


class Party(Protocol):
    """Who is to be given a backend: a client, or one request of his."""

    failed_by: list[Generation]
    """Those that did not take him, and know of that."""

    @property
    def fd(self) -> int:
        """The client's socket."""

    @property
    def address(self) -> object:
        """The client's, as accept(2) gave it or as his PROXY header says."""

    @property
    def destination(self) -> object:
        """Where he had connected to, if a PROXY header said so; None: to the socket that he is on."""

    @property
    def key(self) -> object:
        """By which the turn of a canary may go."""

    @property
    def since(self) -> float:
        """When he began to wait, of the monotonic clock."""

    def reuse(self, seat: Seat) -> bool:
        """Take a connection to that process that is there already; whether there was one."""

    def join(self, seat: Seat, backend_fd: int) -> None:
        """Take this one, which is new. Raises OSError when it cannot be used: then it is closed."""

    def turn_away(self, reason: Reason) -> None:
        """There is none to be had."""

    def unseated(self) -> Unseated | None:
        """What another process needs to go on with him; None: he stays here."""


class _Client:
    """A client that was accepted: his bytes are the relay's as soon as he has a backend."""

    __slots__ = ("_relay", "address", "destination", "failed_by", "fd", "gate", "key", "since")

    def __init__(self, relay: Relay, gate: Gate, fd: int, address: object, destination: object, since: float) -> None:
        self._relay = relay
        self.gate = gate
        self.fd = fd
        self.address = self.key = address
        self.destination = destination
        self.since = since
        self.failed_by: list[Generation] = []

    def reuse(self, seat: Seat) -> bool:
        """Each client has a connection of his own."""
        return False

    def join(self, seat: Seat, backend_fd: int) -> None:
        self._relay.join(self.gate, seat, self.address, self.fd, backend_fd)

    def turn_away(self, reason: Reason) -> None:
        os.close(self.fd)
        self.gate.ledger.end(reason)

    def unseated(self) -> Unseated:
        return Unseated(self.fd, self.address, self.destination, self.since)


@dataclass(slots=True)
class _Queue:
    """Those who wait at one gate, and for what."""

    clients: deque[Party] = field(default_factory=deque)
    outcome: _Dial | None = None
    """Of the last dial for the first of them; None: there was none."""
    asked: Generation | None = None
    """The generation that they wait for,"""
    asked_at: float = 0.0
    """and since when: with a switch their wait for a generation begins anew."""


def _introduce(version: str, backend_fd: int, party: Party) -> None:
    """Tell a backend that was dialled just now who its client is.

    It fits at once: a fresh Unix socket takes some 2 KiB in one piece even where its buffer is the smallest that there
    can be (socket(7), unix(7)). Raises OSError, and closes the backend's socket, when the backend has gone meanwhile.
    """
    try:
        destination = party.destination
        if destination is None:
            client = socket.socket(fileno=party.fd)
            try:
                destination = client.getsockname()
            finally:
                client.detach()
        os.write(backend_fd, encode(version, party.address, destination))
    except OSError:
        os.close(backend_fd)
        raise


def _active(gate: Gate) -> Generation | None:
    """The generation that clients wait for; None: there is none, or frontdoor is being stopped."""
    active = gate.switchboard.active
    return active if active is not None and active.state is State.ACTIVE else None


def _fail(generation: Generation, failed_by: list[Generation], now: float) -> None:
    """A client was not taken by that generation: once for each client."""
    if generation not in failed_by:
        failed_by.append(generation)
        generation.conduct.dial_failed(generation.total, now)


class Seating:
    """The clients of all gates on their way to a backend."""

    def __init__(self, relay: Relay, nursery: trio.Nursery) -> None:
        """``nursery``: of the queues' tasks."""
        self._relay = relay
        self._nursery = nursery
        self._queues: dict[Gate, _Queue] = {}
        """Of those who wait for a backend; there is one while somebody waits."""
        self.short: set[Gate] = set()
        """Gates where somebody waits because there was no descriptor for his backend. He goes first: if others were let
        in, each descriptor that comes free would become one more client without a backend."""
        self.lacking: Callable[[], object] = lambda: None
        """Called when there was no descriptor for somebody's backend: closes what it can do without."""
        self.held = False
        """Nobody is given a backend: those who wait are being handed to another process."""

    def __repr__(self) -> str:
        return f"<Seating, {sum(map(self.waiting, self._queues))} wait>"

    def waiting(self, gate: Gate) -> int:
        """How many clients of that gate wait for a backend."""
        queue = self._queues.get(gate)
        return len(queue.clients) if queue is not None else 0

    def is_busy(self, gate: Gate) -> bool:
        """Whether who comes now has to wait: others of that gate do already, or nobody is given a backend."""
        return self.held or gate in self._queues

    def unseated(self) -> Iterator[tuple[Gate, Unseated]]:
        """Those who wait. They are to be copied, and stay here."""
        for gate, queue in self._queues.items():
            for client in queue.clients:
                if (unseated := client.unseated()) is not None:
                    yield gate, unseated

    def dismiss(self, gate: Gate) -> None:
        """Turn away who waits: there will be no backend."""
        queue = self._queues.get(gate)
        while queue is not None and queue.clients:
            queue.clients.popleft().turn_away(Reason.SHUTDOWN)

    def seat(
        self, gate: Gate, client_fd: int, address: object, destination: object = None, since: float | None = None
    ) -> None:
        """Give an accepted client a backend; if there is none, or if others wait already, he waits in the queue.

        ``since``: when he began to wait, if that is not now.
        """
        now = _clock()
        client = _Client(self._relay, gate, client_fd, address, destination, now if since is None else since)
        self.seat_party(gate, client, now)

    def seat_party(self, gate: Gate, party: Party, now: float) -> None:
        """The same for anybody; ``now``: of the monotonic clock."""
        queue = self._queues.get(gate)
        if queue is None:
            outcome = None if self.held else self._try(gate, party)
            if isinstance(outcome, Seat):
                taken = _clock()
                outcome.generation.conduct.dialled(taken - now, taken)
                return
            queue = self._queues[gate] = _Queue(outcome=outcome, asked=_active(gate), asked_at=now)
            self._nursery.start_soon(self._serve, gate, queue)
        queue.clients.append(party)
        if not self.held and queue.asked is _active(gate):
            self._has_to_wait(queue, party, now)

    def forgo(self, gate: Gate, party: Party) -> None:
        """Somebody does not wait any more. It is harmless if he does not wait."""
        queue = self._queues.get(gate)
        if queue is not None and party in queue.clients:
            queue.clients.remove(party)

    def _try(self, gate: Gate, party: Party) -> Seat | _Dial:
        """Lease, dial, join. The lease is on whatever is active at this instant, or on the canary.

        A process that does not take the client, because it hangs with a full backlog or has just died, must not keep
        him from its siblings: all that are up are tried.
        """
        outcome = _Dial.NOBODY
        tried: tuple[Seat, ...] = ()
        while (seat := gate.switchboard.lease(tried, party.key)) is not None:
            if tried and tried[-1].generation is not seat.generation:
                outcome = self._passed_by(tried[-1].generation, outcome, party.failed_by)
            refused = False
            if party.reuse(seat):
                return seat
            try:
                backend_fd = dial(seat.address)
                if backend_fd is not None:
                    if seat.proxy_protocol != "off":
                        _introduce(seat.proxy_protocol, backend_fd, party)
                    party.join(seat, backend_fd)
                    self.short.discard(gate)
                    return seat
                outcome = _Dial.FULL
            except OSError as error:
                # Nobody listens there, or there is no descriptor to be had: what a waiting client waits for.
                if error.errno in NO_ROOM:
                    self.short.add(gate)
                    self.lacking()
                    outcome = _Dial.SHORT if outcome is _Dial.NOBODY else outcome
                else:
                    seat.missed()
                    refused = True
            gate.switchboard.forgo(seat)
            tried = (*tried, seat)
            if refused:
                _fail(seat.generation, party.failed_by, _clock())
        if tried and tried[-1].generation is gate.switchboard.canary:
            outcome = self._passed_by(tried[-1].generation, outcome, party.failed_by)
        return outcome

    @staticmethod
    def _passed_by(canary: Generation, outcome: _Dial, failed_by: list[Generation]) -> _Dial:
        """A canary did not take its client: nobody waits for it, he goes to the active generation at once."""
        if outcome is _Dial.SHORT:
            return outcome
        _fail(canary, failed_by, _clock())
        return _Dial.NOBODY

    @staticmethod
    def _has_to_wait(queue: _Queue, client: Party, now: float) -> None:
        """That somebody waits is trouble of the generation that he waits for; that nobody is there is its failure."""
        if queue.asked is None:
            return
        queue.asked.conduct.held(now)
        if queue.outcome is _Dial.NOBODY:
            _fail(queue.asked, client.failed_by, now)

    async def _serve(self, gate: Gate, queue: _Queue) -> None:
        """Ask for a backend until nobody waits any more."""
        pause = FIRST_RETRY
        try:
            while queue.clients:
                await trio.sleep(pause * random.uniform(0.5, 1.0))
                pause = FIRST_RETRY if self._ask(gate, queue) else min(pause * 2, LONGEST_RETRY)
        finally:
            del self._queues[gate]
            self.short.discard(gate)
            while queue.clients:  # only if it was cancelled
                queue.clients.popleft().turn_away(Reason.SHUTDOWN)

    def _ask(self, gate: Gate, queue: _Queue) -> bool:
        """Seat those who wait, first come first served, until there is no place; whether there was one.

        Each lease is anew: when a switch comes in between, they go to the new generation.
        """
        if self.held:
            return False
        self.short.discard(gate)  # perhaps it is something else by now that they wait for
        now, active, clients = _clock(), _active(gate), queue.clients
        if queue.asked is not active:
            queue.asked, queue.asked_at, queue.outcome = active, now, None
        before = len(clients)
        for _ in range(min(before, AT_ONCE)):
            first = clients.popleft()
            outcome = self._try(gate, first)
            if not isinstance(outcome, Seat):
                clients.appendleft(first)
                break
            generation, taken = outcome.generation, _clock()
            began = max(first.since, queue.asked_at) if generation is active else now  # nobody waits for a canary
            generation.conduct.dialled(taken - began, taken)
        else:
            return True
        seated = len(clients) < before
        # That nobody is there is a failure to each of them, once; for who comes later it is counted when he comes.
        just_gone = outcome is _Dial.NOBODY and queue.outcome is not _Dial.NOBODY
        queue.outcome = outcome
        for client in clients if just_gone else (clients[0],):
            self._has_to_wait(queue, client, now)
        self._lose_patience(gate, queue, outcome, now)
        return seated

    def _lose_patience(self, gate: Gate, queue: _Queue, outcome: _Dial, now: float) -> None:
        """Turn away who has waited too long.

        That is ``hold_timeout``; for a backend that is there, and only has a full backlog, ``connect_timeout`` if that
        is longer.
        """
        limits, clients = gate.limits, queue.clients
        longest = max(limits.hold_timeout, limits.connect_timeout if outcome is _Dial.FULL else 0.0)
        while clients and now - clients[0].since >= longest:
            client = clients.popleft()
            if queue.asked is not None and outcome is not _Dial.SHORT:
                _fail(queue.asked, client.failed_by, now)
            client.turn_away(Reason.NO_BACKEND)
