"""The gate: what the relay needs to know of one door."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    limit_reached: Callable[[str], None] = field(default=_nobody)
    """Told the name of the limit when it is reached; once for an episode."""
