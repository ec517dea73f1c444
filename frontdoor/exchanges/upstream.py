"""An upstream: one connection to a process of a backend, with one exchange at a time on it, or none."""

import os
from typing import TYPE_CHECKING

from frontdoor.exchanges.connection import READ, Connection
from frontdoor.policy.generation import Seat
from frontdoor.traffic.relay import Relay

if TYPE_CHECKING:
    from frontdoor.exchanges.pool import Pool
    from frontdoor.exchanges.record import Record

_read = os.read


class Upstream(Connection):
    """It belongs to its exchange, or to the pool."""

    __slots__ = ("exchange", "kept", "pool", "seat", "until")

    def __init__(self, relay: Relay, fd: int, seat: Seat, pool: "Pool") -> None:
        """Raises OSError when it cannot be watched; then the descriptor is the caller's."""
        super().__init__(relay, fd)
        self.seat = seat
        self.pool = pool
        self.exchange: Record | None = None
        self.kept = False
        """It has carried an exchange before this one."""
        self.until = 0.0
        """When it is closed if it is still idle, of the monotonic clock."""

    def __repr__(self) -> str:
        return f"<Upstream {self.fd} of {self.seat.generation.id}, {self.exchange or 'idle'}>"

    def ready(self) -> None:
        """Take what the backend says; send what it would not take before."""
        exchange = self.exchange
        try:
            self._ready(exchange)
        except Exception as error:
            if exchange is None:
                raise
            exchange.visitor.hub.failed(exchange.visitor, error)
            self.close()

    def _ready(self, exchange: "Record | None") -> None:
        if self.waits and self.flush(self.pool.pipes) and exchange is not None:
            exchange.backend_took_all()
            exchange = self.exchange
        if not self.reading or self.fd < 0:
            return
        try:
            if exchange is not None and exchange.pours and exchange.pour():
                return
            data = _read(self.fd, READ)
        except BlockingIOError:
            return
        except OSError:
            if exchange is None:
                self.pool.drop(self)
            else:
                exchange.backend_ended(reset=True)
            return
        if exchange is None:
            self.pool.drop(self)  # it has closed; or it says something that nobody has asked for
        elif data:
            exchange.hear(data)
        else:
            exchange.backend_ended(reset=False)
