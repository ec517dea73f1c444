"""Accepting clients, and giving each of them a backend.

The fast path is synchronous: accept, lease, dial (a Unix socket connects at once), join. A client for whom there is no
backend right now waits in a queue: nobody is refused while there is hope. One task for each queue asks for them all. A
task for each client was tried: a thousand that wait, each asking ten times a second, take a whole core.
"""

import enum
import math
import os
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import trio

from frontdoor.policy.generation import Seat
from frontdoor.policy.ledger import Reason
from frontdoor.proxy_header import encode
from frontdoor.sockets import NO_ROOM, accept, dial
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.greeting import Greeting
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.unseated import Unseated

ACCEPTS = 64
"""Clients accepted in one go: a flood of new ones must not hold up the bytes of those that are here."""

SHARES = 4
"""One in so many of a door's even part of the descriptors is kept for it, whatever the other doors do."""

EPISODE = 10.0
"""Seconds in which nobody had to wait: when a limit is reached after them, it is said again. Else a door that works at
its limit would say so with every client."""

FIRST_RETRY, LONGEST_RETRY = 0.002, 0.1
"""Seconds between two dials for those who wait; doubled each time in vain, and jittered."""


class _Dial(enum.Enum):
    """What came of a dial."""

    JOINED = enum.auto()
    FULL = enum.auto()
    """The backend is there, and its backlog is full."""
    NOBODY = enum.auto()


def _introduce(version: str, backend_fd: int, client_fd: int, address: object, destination: object) -> None:
    """Tell a backend that was dialled just now who its client is.

    It fits at once: a fresh Unix socket takes some 2 KiB in one piece even where its buffer is the smallest that there
    can be (socket(7), unix(7)). Raises OSError, and closes the backend's socket, when the backend has gone meanwhile.
    """
    try:
        if destination is None:
            client = socket.socket(fileno=client_fd)
            try:
                destination = client.getsockname()
            finally:
                client.detach()
        os.write(backend_fd, encode(version, address, destination))
    except OSError:
        os.close(backend_fd)
        raise


@dataclass(slots=True)
class _Waiting:
    """A client that was accepted and has no backend yet."""

    fd: int
    address: object
    destination: object
    """Where it had connected to, if a PROXY header said so; None: to the socket that it is on."""
    since: float


class Listener:
    """The doors' listening sockets, served by the relay's loop."""

    def __init__(self, relay: Relay, nursery: trio.Nursery, room: int = sys.maxsize) -> None:
        """``room``: how many streams there are descriptors for, at all gates together."""
        self._relay = relay
        self._room = room
        self._gates: set[Gate] = set()
        """Those that were opened, and were not finished."""
        self._nursery = nursery
        """Of the queues' tasks."""
        self._queues: dict[Gate, deque[_Waiting]] = {}
        """Of those who wait for a backend; there is one while somebody waits."""
        self._paused_at: dict[Gate, float] = {}
        """When a gate last had to stop because of a limit, on the monotonic clock."""
        self._short: set[Gate] = set()
        """Gates where somebody waits because there was no descriptor for his backend. He goes first: if others were let
        in, each descriptor that comes free would become one more client without a backend."""
        self._greeting = Greeting(relay, nursery, self._seat)
        self.held = False
        """Nobody is given a backend: those who wait are being handed to another process."""

    def open(self, gate: Gate) -> None:
        """Accept at this gate. Harmless when it does already."""
        if gate.open:
            return
        self._gates.add(gate)
        gate.open, gate.full = True, False
        self._watch(gate)

    def close(self, gate: Gate) -> None:
        """Stop accepting: clients wait in the backlog. Who was accepted before gets his backend all the same."""
        gate.open = False
        self._unwatch(gate)

    def finish(self, gate: Gate) -> None:
        """Accept what is in the backlog, and then no more: the last thing before the sockets are closed.

        Past ``limits.connections`` too: whom the kernel has let in would be reset. Only descriptors can run out.
        """
        gate.limits = replace(gate.limits, connections=sys.maxsize)
        for listening in gate.listeners:
            while self._accept(gate, listening) == ACCEPTS:
                pass
        self.close(gate)
        self._gates.discard(gate)

    def relisten(self, gate: Gate, listeners: Sequence[socket.socket]) -> None:
        """These are the gate's listening sockets from here on. One that is left out is not accepted on any more.

        Who is in its backlog is let in first, past ``limits.connections`` too: the kernel has told him that he is.
        """
        limits = gate.limits
        gate.limits = replace(limits, connections=sys.maxsize)
        for gone in [listening for listening in gate.listeners if listening not in listeners]:
            while self._accept(gate, gone) == ACCEPTS:
                pass
        gate.limits = limits
        self._unwatch(gate)
        gate.listeners = listeners
        if gate.open and not gate.full:
            self._watch(gate)

    def dismiss(self, gate: Gate) -> None:
        """Turn away who still waits for a backend, or owes his PROXY header: there will be none."""
        self._greeting.dismiss(gate)
        queue = self._queues.get(gate, deque())
        while queue:
            self._turn_away(gate, queue.popleft(), Reason.SHUTDOWN)

    def unseated(self) -> Iterator[tuple[Gate, Unseated]]:
        """Those who have no backend yet. They are to be copied, and stay here."""
        for gate, queue in self._queues.items():
            for client in queue:
                yield gate, Unseated(client.fd, client.address, client.destination, client.since)
        yield from self._greeting.unseated()

    def take_up(self, gate: Gate, client: Unseated) -> None:
        """Go on with one whom another process has accepted and counted."""
        if client.header is not None:
            try:
                sock = socket.socket(fileno=client.fd)
            except OSError:  # whatever it is, it is no client
                os.close(client.fd)
                gate.ledger.end(Reason.NO_BACKEND)
                return
            self._greeting.expect(gate, sock, client.address, client.header, client.since)
        else:
            self._seat(gate, client.fd, client.address, client.destination, client.since)

    def _watch(self, gate: Gate) -> None:
        for listening in gate.listeners:
            self._relay.listen(listening.fileno(), partial(self._accept, gate, listening))

    def _unwatch(self, gate: Gate) -> None:
        for listening in gate.listeners:
            self._relay.unlisten(listening.fileno())

    def _accept(self, gate: Gate, listening: socket.socket) -> int:
        """Accept a bounded batch; how many that were: ``ACCEPTS`` if there may be more."""
        ledger = gate.ledger
        for count in range(ACCEPTS):
            if ledger.open >= gate.limits.connections:
                self._pause(gate, "limits.connections")
                return count
            if self._short or (len(self._gates) > 1 and self._is_crowded(gate)):
                self._pause(gate, "open files")
                return count
            try:
                client_fd, address = accept(listening)
            except BlockingIOError:
                return count
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._pause(gate, "open files")
                    return count
                continue  # the client had gone before it was accepted: accept(2) passes its error on
            ledger.accept()
            if gate.trusted and gate.trusts(address):
                self._greeting.expect(gate, socket.socket(fileno=client_fd), address)
            else:
                self._seat(gate, client_fd, address)
        return ACCEPTS

    def _is_crowded(self, gate: Gate) -> bool:
        """Whether the descriptors that are there for all doors are used up, as far as this one may use them.

        Each other door has a share that is kept for it: clients of one door must not keep out all others. With one door
        its own limit is all there is.
        """
        share = self._room // (SHARES * len(self._gates))
        taken = sum(max(other.ledger.open, share) for other in self._gates if other is not gate)
        return gate.ledger.open + taken >= self._room

    def _seat(
        self, gate: Gate, client_fd: int, address: object, destination: object = None, since: float | None = None
    ) -> None:
        """Give an accepted client a backend; if there is none, or if others wait already, he waits in the queue.

        ``since``: when he began to wait, if that is not now.
        """
        queue = self._queues.get(gate)
        if queue is None:
            if not self.held and self._try(gate, client_fd, address, destination) is _Dial.JOINED:
                return
            queue = self._queues[gate] = deque()
            self._nursery.start_soon(self._serve, gate, queue)
        queue.append(_Waiting(client_fd, address, destination, time.monotonic() if since is None else since))

    def _try(self, gate: Gate, client_fd: int, address: object, destination: object) -> _Dial:
        """Lease, dial, join. The lease is on whatever is active at this instant.

        A process that does not take the client, because it hangs with a full backlog or has just died, must not keep
        him from its siblings: all that are up are tried.
        """
        outcome = _Dial.NOBODY
        tried: tuple[Seat, ...] = ()
        while (seat := gate.switchboard.lease(tried)) is not None:
            try:
                backend_fd = dial(seat.address)
                if backend_fd is not None:
                    if seat.proxy_protocol != "off":
                        _introduce(seat.proxy_protocol, backend_fd, client_fd, address, destination)
                    self._relay.join(gate, seat, address, client_fd, backend_fd)
                    self._short.discard(gate)
                    return _Dial.JOINED
                outcome = _Dial.FULL
            except OSError as error:
                # Nobody listens there, or there is no descriptor to be had: what a waiting client waits for.
                if error.errno in NO_ROOM:
                    self._short.add(gate)
                else:
                    seat.missed()
            gate.switchboard.forgo(seat)
            tried = (*tried, seat)
        return outcome

    async def _serve(self, gate: Gate, queue: deque[_Waiting]) -> None:
        """Ask for a backend until nobody waits any more."""
        pause = FIRST_RETRY
        try:
            while queue:
                await trio.sleep(pause * random.uniform(0.5, 1.0))
                pause = FIRST_RETRY if self._ask(gate, queue) else min(pause * 2, LONGEST_RETRY)
        finally:
            del self._queues[gate]
            self._short.discard(gate)
            while queue:  # only if it was cancelled
                self._turn_away(gate, queue.popleft(), Reason.SHUTDOWN)

    def _ask(self, gate: Gate, queue: deque[_Waiting]) -> bool:
        """Seat those who wait, first come first served, until there is no place; whether there was one.

        Each lease is anew: when a switch comes in between, they go to the new generation. They wait for
        ``hold_timeout``; for a backend that is there, and only has a full backlog, for ``connect_timeout`` if that is
        longer.
        """
        if self.held:
            return False
        self._short.discard(gate)  # perhaps it is something else by now that they wait for
        before = len(queue)
        for _ in range(min(before, ACCEPTS)):
            outcome = self._try(gate, queue[0].fd, queue[0].address, queue[0].destination)
            if outcome is not _Dial.JOINED:
                break
            queue.popleft()
        else:
            return True
        seated = len(queue) < before
        limits = gate.limits
        longest = max(limits.hold_timeout, limits.connect_timeout if outcome is _Dial.FULL else 0.0)
        now = time.monotonic()
        while queue and now - queue[0].since >= longest:
            self._turn_away(gate, queue.popleft(), Reason.NO_BACKEND)
        return seated

    @staticmethod
    def _turn_away(gate: Gate, client: _Waiting, reason: Reason) -> None:
        os.close(client.fd)
        gate.ledger.end(reason)

    def _pause(self, gate: Gate, limit: str) -> None:
        """Stop accepting until somebody leaves, or until the next sweep."""
        gate.full = True
        self._unwatch(gate)
        self._relay.when_room(partial(self._resume, gate))
        now = time.monotonic()
        if now - self._paused_at.get(gate, -math.inf) >= EPISODE:
            gate.limit_reached(limit)
        self._paused_at[gate] = now

    def _resume(self, gate: Gate) -> None:
        """Perhaps there is room. If not, whoever waits in the backlog stops the gate once more."""
        if gate.full and gate.open:
            gate.full = False
            self._watch(gate)
