"""The greeting: clients from a trusted network first say for whom they speak, in a PROXY header.

They have been accepted, and count as open, but get no backend before the header is whole. It is read in the relay's own
loop, as it comes: not one byte behind it is taken off the socket, and all before its end is, or the loop would be told
of the rest again and again. One task looks at the time, for all of them.
"""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import trio

from frontdoor.policy.ledger import Reason
from frontdoor.proxy_header import Decoder, Endpoint, HeaderError
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.unseated import Unseated

PATIENCE = 5.0
"""Seconds for the whole header. The specification asks for at least 3, so that one lost packet is no end (2)."""

TICK = 0.25
"""Seconds between two looks at the time, at the least."""

Seat = Callable[[Gate, int, object, Endpoint | None], None]
"""Gives a client a backend: the gate, his socket, his address, and where he had connected to if that was not here."""


@dataclass(eq=False, slots=True)
class _Guest:
    """A client that owes its header."""

    gate: Gate
    sock: socket.socket
    address: object
    """Of the connection: the load balancer's."""
    deadline: float
    decoder: Decoder = field(default_factory=Decoder)
    silent: bool = True
    """Not a byte so far: who goes now was never a client of anybody, but a look at whether the port is open."""


class Greeting:
    """Those who owe their header, at all gates."""

    def __init__(self, relay: Relay, nursery: trio.Nursery, seat: Seat) -> None:
        """``nursery``: for the task."""
        self._relay = relay
        self._nursery = nursery
        self._seat = seat
        self._guests: dict[_Guest, None] = {}
        """The oldest first, and so in the order of their deadlines."""
        self._watched = False

    def __len__(self) -> int:
        return len(self._guests)

    def __repr__(self) -> str:
        return f"<Greeting of {len(self)}>"

    def expect(
        self, gate: Gate, sock: socket.socket, address: object, had: bytes = b"", since: float | None = None
    ) -> None:
        """Read a header from a client who was accepted and counted: just now, or ``since``, and ``had`` has come."""
        guest = _Guest(gate, sock, address, (time.monotonic() if since is None else since) + PATIENCE)
        if had:
            guest.silent = False
            guest.decoder.feed(had)
        try:
            self._relay.listen(sock.fileno(), partial(self._hear, guest))
        except OSError:
            # The kernel has no room to watch one more (epoll_ctl(2)), so that there is no hope for him.
            sock.close()
            gate.ledger.end(Reason.NO_BACKEND)
            return
        self._guests[guest] = None
        if not self._watched:
            self._watched = True
            self._nursery.start_soon(self._watch)

    def unseated(self) -> Iterator[tuple[Gate, Unseated]]:
        """Those who owe their header."""
        for guest in self._guests:
            yield (
                guest.gate,
                Unseated(guest.sock.fileno(), guest.address, None, guest.deadline - PATIENCE, guest.decoder.had),
            )

    def dismiss(self, gate: Gate) -> None:
        """Turn away who owes his header at this gate."""
        for guest in list(self._guests):
            if guest.gate is gate:
                self._part(guest, Reason.SHUTDOWN)
        self._relay.close_now()

    def sweep(self, now: float) -> None:
        """Turn away whose time is up at ``now``, of the monotonic clock."""
        for guest in list(self._guests):
            if guest.deadline > now:
                break
            self._hear(guest)  # it may have come while this process was busy with something else
            if guest in self._guests:
                guest.gate.header_refused(guest.address, f"not whole within {PATIENCE:g} s")
                self._part(guest, Reason.PROXY_HEADER)
        self._relay.close_now()

    async def _watch(self) -> None:
        """Look at the time until nobody owes anything."""
        try:
            while self._guests:
                first = next(iter(self._guests))
                await trio.sleep(max(TICK, first.deadline - time.monotonic()))
                self.sweep(time.monotonic())
        finally:
            self._watched = False
            for guest in list(self._guests):  # only if it was cancelled
                self._part(guest, Reason.SHUTDOWN)
            self._relay.close_now()

    def _hear(self, guest: _Guest) -> None:
        """Take what is there of the header; if that was the rest of it, he gets a backend."""
        try:
            reason = self._read(guest)
        except BlockingIOError:
            return
        except HeaderError as error:
            guest.gate.header_refused(guest.address, str(error))
            reason = Reason.PROXY_HEADER
        except OSError:
            reason = Reason.CLIENT_RESET if guest.silent else Reason.PROXY_HEADER
        header = guest.decoder.header
        if reason is not None:
            self._part(guest, reason)
        elif header is not None:
            self._leave(guest)
            self._seat(guest.gate, guest.sock.detach(), header.source or guest.address, header.destination)

    @staticmethod
    def _read(guest: _Guest) -> Reason | None:
        """Take off the socket what belongs to the header. If there is nothing any more: why he is to be turned away."""
        data = guest.sock.recv(guest.decoder.want, socket.MSG_PEEK)
        if not data:
            return Reason.CLIENT_CLOSED if guest.silent else Reason.PROXY_HEADER
        guest.silent = False
        count = guest.decoder.feed(data)
        if guest.sock.recv(count) != data[:count]:
            # An urgent mark that came between the two reads cuts the second one short. What would be left of the header
            # must not reach the backend.
            raise HeaderError("urgent data in it")
        return None

    def _leave(self, guest: _Guest) -> None:
        """He owes nothing any more."""
        del self._guests[guest]
        self._relay.unlisten(guest.sock.fileno())

    def _part(self, guest: _Guest, reason: Reason) -> None:
        """Turn him away. His number stays taken until the end of the batch."""
        self._leave(guest)
        self._relay.close_later(guest.sock.detach())
        guest.gate.ledger.end(reason)
