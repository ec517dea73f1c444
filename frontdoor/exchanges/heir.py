"""The heir: the process that goes on with the client connections of this one, which was replaced by it.

A connection can be handed over as long as no backend has a part of its request: what was read of it goes along. An
exchange stays where it began, and its connection is handed over when it has ended.
"""

from typing import TYPE_CHECKING, Protocol

from frontdoor.traffic.gate import Gate
from frontdoor.traffic.unseated import Unseated

if TYPE_CHECKING:
    from frontdoor.exchanges.exchange import Exchange
    from frontdoor.exchanges.visitor import Visitor


class Heir(Protocol):
    """Takes what this process is done with. Descriptors are its own from then on."""

    def take(self, gate: Gate, client: Unseated) -> None:
        """Go on with this client."""

    def join(self, exchange: "Exchange", client_fd: int, backend_fd: int) -> None:
        """Make a stream of an exchange, with the lease that it has."""


def portable(visitor: "Visitor") -> Unseated | None:
    """What another process needs to go on with him; None: he stays here."""
    exchange = visitor.exchange
    if visitor.fd < 0 or visitor.waits or visitor.goodbye_until:
        return None
    if exchange is not None and (exchange.seat is not None or exchange.status):
        return None
    read = visitor.buffer if exchange is None else exchange.head.raw + visitor.buffer
    since = visitor.since
    return Unseated(visitor.fd, visitor.address, visitor.destination, since, None, read, visitor.counted)
