"""The outbox: parcels on their way to the door process that serves, as fast as it takes them."""

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from frontdoor.door.parcel import Joined, Left, Parcel, Place, encode
from frontdoor.keeper import wire
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Cells, Ledger, Reason
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.unseated import Unseated

if TYPE_CHECKING:
    from frontdoor.exchanges.exchange import Exchange

TOGETHER = 60
"""Clients and streams in one parcel: with what was read of each, that is less than the 253 descriptors that SCM_RIGHTS
takes (unix(7)), and their notes are a tenth of a message."""


class Outbox:
    """What is to be told of exchanges that end here, and what is to be handed over (``exchanges.heir.Heir``)."""

    def __init__(self, channel: socket.socket) -> None:
        """``channel``: to whoever serves."""
        self.open = True
        """Somebody is at the other end, or will be."""
        self._channel = channel
        self._filling = Parcel()
        self._waiting: deque[tuple[bytes, list[int], list[int]]] = deque()

    def __repr__(self) -> str:
        return f"<Outbox: {len(self._waiting)} wait>"

    @property
    def empty(self) -> bool:
        """All was sent."""
        return not self._waiting and not self._filling

    def descriptors(self) -> set[int]:
        """All that are in use here."""
        sent_later = {fd for _, fds, ours in self._waiting for fd in (*fds, *ours)}
        return {self._channel.fileno(), *self._filling.fds(), *sent_later}

    # -- what is told -----------------------------------------------------------------------------------------------

    def take(self, gate: Gate, client: Unseated) -> None:
        """Hand over a client."""
        self._filling.clients.append((gate.name, client))
        self._close_full()

    def join(self, exchange: "Exchange", client_fd: int, backend_fd: int) -> None:
        """Hand over what has become a stream."""
        assert exchange.seat is not None
        moved = exchange.up_bytes, exchange.down_bytes
        fds = client_fd, backend_fd
        stream = Joined(_place(exchange.gate.name, exchange.seat), exchange.address, exchange.since, moved, fds)
        self._filling.streams.append(stream)
        self._close_full()

    def ended(self, gate: Gate, reason: Reason) -> None:
        """A stream has ended, in the ledger's words."""
        self._filling.ended[gate.name, reason] += 1

    def left(self, gate: Gate, seat: Seat, up_bytes: int, down_bytes: int) -> None:
        """A lease is over."""
        left = self._filling.left.setdefault(_place(gate.name, seat), Left())
        left.streams += 1
        left.up_bytes += up_bytes
        left.down_bytes += down_bytes

    # -- sending ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what there is, as far as there is room."""
        self._close()
        while self._waiting and self.open:
            data, fds, ours = self._waiting[0]
            try:
                wire.send(self._channel, data, fds)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in wire.NO_ROOM:
                    return
                self.open = False  # nobody is there, and nobody will be
                break
            self._waiting.popleft()
            _close_all(ours)
        if not self.open:
            for _, _, ours in self._waiting:
                _close_all(ours)
            self._waiting.clear()

    def _close_full(self) -> None:
        if len(self._filling.clients) + len(self._filling.streams) >= TOGETHER:
            self._close()

    def _close(self) -> None:
        """Nothing more goes into this parcel."""
        parcel, self._filling = self._filling, Parcel()
        if not parcel:
            return
        try:
            body, fds, ours = encode(parcel)
        except OSError:
            # There is no descriptor to be had: those clients of whom something was read cannot go along.
            for place, (door, client) in reversed(list(enumerate(parcel.clients))):
                if client.read:
                    del parcel.clients[place]
                    os.close(client.fd)
                    if client.counted:
                        parcel.ended[door, Reason.LOST] += 1
            body, fds, ours = encode(parcel)
        self._waiting.append((wire.encode(body), fds, ours))


class Told(Ledger):
    """A ledger that counts nothing itself: one process alone writes what is shared."""

    def __init__(self, tell: Callable[[Reason], object]) -> None:
        super().__init__()
        self._tell = tell

    def end(self, reason: Reason, of: Cells | None = None) -> None:
        """A stream has ended."""
        self._tell(reason)


class Returned(Switchboard):
    """A switchboard that gives no leases, and says which ones come back."""

    def __init__(self, tell: Callable[[Seat, int, int], object], generations: Iterable[Generation]) -> None:
        """``tell``: the seat, and the bytes up and down that its generation has moved since the last time."""
        super().__init__()
        self._tell = tell
        self._moved = {generation: (generation.up_bytes, generation.down_bytes) for generation in generations}

    def release(self, seat: Seat) -> None:
        """A lease is over."""
        generation = seat.generation
        up, down = self._moved[generation]
        self._moved[generation] = generation.up_bytes, generation.down_bytes
        self._tell(seat, generation.up_bytes - up, generation.down_bytes - down)

    def forgo(self, seat: Seat) -> None:
        """A lease is over, and nothing has come of it."""
        self.release(seat)


def _place(door: str, seat: Seat) -> Place:
    return door, seat.generation.number, seat.process


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
