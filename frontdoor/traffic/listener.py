"""Accepting clients, and giving each of them a backend.

The fast path is synchronous: accept, lease, dial (a Unix socket connects at once), join. Only a client for which there
is no backend right now gets a task, in which it waits: nobody is refused while there is hope.
"""

import enum
import errno
import math
import os
import random
import socket
import sys
import time
from dataclasses import replace
from functools import partial

import trio

from frontdoor.policy.ledger import Reason
from frontdoor.sockets import dial
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay

ACCEPTS = 64
"""Clients accepted in one go: a flood of new ones must not hold up the bytes of those that are here."""

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

EPISODE = 10.0
"""Seconds in which nobody had to wait: when a limit is reached after them, it is said again. Else a door that works at
its limit would say so with every client."""

FIRST_RETRY, LONGEST_RETRY = 0.002, 0.1
"""Seconds between two dials for a client that waits; doubled each time, and jittered, so that a thousand of them do
not come back in one instant."""


class _Dial(enum.Enum):
    """What came of a dial."""

    JOINED = enum.auto()
    FULL = enum.auto()
    """The backend is there, and its backlog is full."""
    NOBODY = enum.auto()


class Listener:
    """The doors' listening sockets, served by the relay's loop."""

    def __init__(self, relay: Relay, nursery: trio.Nursery) -> None:
        self._relay = relay
        self._nursery = nursery
        """Of the clients that wait for a backend."""
        self._paused_at: dict[Gate, float] = {}
        """When a gate last had to stop because of a limit, on the monotonic clock."""
        self._short: set[int] = set()
        """Clients that are here, and for whose backend there was no descriptor. They go first: if others were let in,
        each descriptor that comes free would become one more client without a backend."""

    def open(self, gate: Gate) -> None:
        """Accept at this gate. Harmless when it does already."""
        if gate.open:
            return
        gate.open, gate.full = True, False
        self._watch(gate)

    def close(self, gate: Gate) -> None:
        """Stop accepting: clients wait in the backlog."""
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

    def _watch(self, gate: Gate) -> None:
        for listening in gate.listeners:
            self._relay.listen(listening.fileno(), partial(self._accept, gate, listening))

    def _unwatch(self, gate: Gate) -> None:
        for listening in gate.listeners:
            self._relay.unlisten(listening.fileno())

    def _accept(self, gate: Gate, listening: socket.socket) -> int:
        """Accept a bounded batch; how many that were."""
        for count in range(ACCEPTS):
            if gate.ledger.open >= gate.limits.connections:
                self._pause(gate, "limits.connections")
                return count
            if self._short:
                self._pause(gate, "open files")
                return count
            try:
                client, address = listening.accept()
            except BlockingIOError:
                return count
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._pause(gate, "open files")
                    return count
                continue  # the client had gone before it was accepted: accept(2) passes its error on
            gate.ledger.accept()
            client.setblocking(False)
            self._seat(gate, client.detach(), address)
        return ACCEPTS

    def _seat(self, gate: Gate, client_fd: int, address: object) -> None:
        """Give an accepted client a backend, now or as soon as there is one."""
        if self._try(gate, client_fd, address) is not _Dial.JOINED:
            self._nursery.start_soon(self._wait, gate, client_fd, address)

    def _try(self, gate: Gate, client_fd: int, address: object) -> _Dial:
        """Lease, dial, join. The lease is on whatever is active at this instant."""
        seat = gate.switchboard.lease()
        if seat is None:
            return _Dial.NOBODY
        outcome = _Dial.FULL
        try:
            backend_fd = dial(seat.address)
            if backend_fd is not None:
                self._relay.join(gate, seat, address, client_fd, backend_fd)
                return _Dial.JOINED
        except OSError as error:
            # Nobody listens there, or there is no descriptor to be had: what a waiting client waits for.
            outcome = _Dial.NOBODY
            if error.errno in NO_ROOM:
                self._short.add(client_fd)
        gate.switchboard.forgo(seat)
        return outcome

    async def _wait(self, gate: Gate, client_fd: int, address: object) -> None:
        """Hold a client until a backend takes it, for ``hold_timeout`` at the most.

        A backend that is there, and only has a full backlog, is given ``connect_timeout`` if that is longer. Each try
        leases anew: when a switch comes in between, the client goes to the new generation.
        """
        reason = Reason.SHUTDOWN  # if the wait is cancelled
        pause = FIRST_RETRY
        number = client_fd
        try:
            began, limits, outcome = time.monotonic(), gate.limits, _Dial.NOBODY
            longest = max(limits.hold_timeout, limits.connect_timeout)
            while time.monotonic() - began < (longest if outcome is _Dial.FULL else limits.hold_timeout):
                await trio.sleep(pause * random.uniform(0.5, 1.0))
                self._short.discard(number)  # perhaps it is something else by now that he waits for
                outcome = self._try(gate, client_fd, address)
                if outcome is _Dial.JOINED:
                    client_fd = -1
                    return
                pause = min(pause * 2, LONGEST_RETRY)
            reason = Reason.NO_BACKEND
        finally:
            self._short.discard(number)
            if client_fd >= 0:
                os.close(client_fd)
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
