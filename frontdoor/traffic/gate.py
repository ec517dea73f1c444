"""The gate: what the relay needs to know of one door."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard


@dataclass(frozen=True, slots=True)
class Limits:
    """The door's limits; times in seconds, infinity for never."""

    connections: int
    connect_timeout: float
    hold_timeout: float
    idle_timeout: float
    half_close_timeout: float
    early: float = 1.0
    """A backend that ends a stream sooner than this after its start, without having said a word, has failed it."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Each request of an http door is answered 503 with this, and nothing is stopped."""

    message: str
    """For the people who see the page."""
    retry_after: int | None
    """Seconds, for Retry-After (RFC 9110, 10.2.3); None: there is none."""
    since: float
    """Seconds since the epoch."""


def _nobody(resource: str) -> None:
    return None


@dataclass(eq=False, slots=True)
class Gate:
    """One door as traffic sees it: where streams go, who counts them, and how many there may be."""

    name: str
    switchboard: Switchboard
    ledger: Ledger
    limits: Limits
    listeners: Sequence[socket.socket] = ()
    open: bool = False
    """It accepts. Closed, clients wait in the backlog, and nobody is refused."""
    full: bool = False
    """It has stopped accepting because of a limit, and tries again when somebody leaves."""
    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    """Clients from these networks must begin with a PROXY header, and it is believed. May be replaced at any time."""
    limit_reached: Callable[[str], None] = field(default=_nobody)
    """Told the name of the limit when it is reached; once for an episode."""
    header_refused: Callable[[object, str], None] = field(default=lambda address, why: None)
    """Told who began with no PROXY header, or with a wrong one, and what was wrong."""
    http: object | None = None
    """What the config says of an http door's exchanges; None: the door speaks tcp. May be replaced at any time."""
    paused: bool = False
    """The door is paused: requests on connections that are open wait."""
    maintenance: Maintenance | None = None
    """Requests are answered with it."""
    idle: int = 0
    """Open connections of an http door that are between two requests, and so are no streams."""

    def trusts(self, address: object) -> bool:
        """Whether a client, by its address as accept(2) gave it, is in one of the trusted networks.

        An IPv4 client of an IPv6 socket is in IPv4 networks too. One of a Unix socket is in none.
        """
        if not isinstance(address, tuple):
            return False
        host = ip_address(address[0])
        mapped = host.ipv4_mapped if host.version == 6 else None
        return any(host in network or (mapped is not None and mapped in network) for network in self.trusted)
