"""Accepting clients, each of whom is then given a backend.

The fast path is synchronous: accept, lease, dial (a Unix socket connects at once), join. The last three are
:mod:`~frontdoor.traffic.seating`.
"""

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import trio

from frontdoor.policy.ledger import Reason
from frontdoor.sockets import NO_ROOM, accept
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.greeting import Greeting
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.seating import Seating
from frontdoor.traffic.unseated import Unseated

ACCEPTS = 64
"""Clients accepted in one go: a flood of new ones must not hold up the bytes of those that are here."""

SHARES = 4
"""One in so many of a door's even part of the descriptors is kept for it, whatever the other doors do."""

EPISODE = 10.0
"""Seconds in which nobody had to wait: when a limit is reached after them, it is said again. Else a door that works at
its limit would say so with every client."""

Receive = Callable[[Gate, int, object, object, float | None], None]
"""Takes a client of an http door: the gate, his socket, his address, where he had connected to if that was not here,
and since when he waits if that is not now."""


def _nobody_speaks_http(gate: Gate, fd: int, address: object, destination: object, since: float | None) -> None:
    raise AssertionError(f"a client of {gate.name}, and nobody speaks http")


class Listener:
    """The doors' listening sockets, served by the relay's loop."""

    def __init__(self, relay: Relay, nursery: trio.Nursery, room: int = sys.maxsize) -> None:
        """``room``: how many streams there are descriptors for, at all gates together."""
        self._relay = relay
        self._room = room
        self._gates: set[Gate] = set()
        """Those that were opened, and were not finished."""
        self._paused_at: dict[Gate, float] = {}
        """When a gate last had to stop because of a limit, on the monotonic clock."""
        self.seating = Seating(relay, nursery)
        self.receive: Receive = _nobody_speaks_http
        """Takes the clients of http doors."""
        self.make_room: Callable[[Gate], bool] = lambda gate: False
        """Closes one connection of an http door that is between two requests, if it can."""
        self._greeting = Greeting(relay, nursery, self._take)

    @property
    def held(self) -> bool:
        """Nobody is given a backend: those who wait are being handed to another process."""
        return self.seating.held

    @held.setter
    def held(self, held: bool) -> None:
        self.seating.held = held

    def waiting(self, gate: Gate) -> int:
        """How many clients of that gate wait for a backend."""
        return self.seating.waiting(gate)

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
        self.seating.dismiss(gate)

    def unseated(self) -> Iterator[tuple[Gate, Unseated]]:
        """Those who have no backend yet. They are to be copied, and stay here."""
        yield from self.seating.unseated()
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
            self._take(gate, client.fd, client.address, client.destination, client.since)

    def _take(
        self, gate: Gate, client_fd: int, address: object, destination: object = None, since: float | None = None
    ) -> None:
        """Somebody was accepted, and has said for whom he speaks if he had to."""
        take = self.seating.seat if gate.http is None else self.receive
        take(gate, client_fd, address, destination, since)

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
            if ledger.open + gate.idle >= gate.limits.connections:
                if gate.idle and count:
                    return count  # whether somebody waits for more room is asked anew: none is made for nobody
                if not (gate.idle and self.make_room(gate)):
                    self._pause(gate, "limits.connections")
                    return count
            if self.seating.short or (len(self._gates) > 1 and self._is_crowded(gate)):
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
            elif gate.http is None:
                self.seating.seat(gate, client_fd, address)
            else:
                self.receive(gate, client_fd, address, None, None)
        return ACCEPTS

    def _is_crowded(self, gate: Gate) -> bool:
        """Whether the descriptors that are there for all doors are used up, as far as this one may use them.

        Each other door has a share that is kept for it: clients of one door must not keep out all others. With one door
        its own limit is all there is.
        """
        share = self._room // (SHARES * len(self._gates))
        taken = sum(max(other.ledger.open + other.idle, share) for other in self._gates if other is not gate)
        return gate.ledger.open + gate.idle + taken >= self._room

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
