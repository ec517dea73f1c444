"""The rules: what the config of an http door means for its exchanges."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Protocol

from frontdoor.http.forwarding import Forwarding
from frontdoor.http.pages import Pages
from frontdoor.policy.sticky import Sticky

if TYPE_CHECKING:
    from frontdoor.exchanges.exchange import Exchange
    from frontdoor.exchanges.visitor import Visitor


class RequestLog(Protocol):
    """Is told of each request that is over."""

    def __call__(self, exchange: "Exchange", /) -> None:
        """Of this one: it has ended, or has become a stream."""

    def refused(self, visitor: "Visitor", status: int, down: int) -> None:
        """Of one that could not be read, and was answered with that status, and so many bytes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds, infinity for never; sizes in bytes."""

    head_timeout: float
    body_timeout: float
    answer_timeout: float
    keepalive_timeout: float
    backend_keepalive: float
    max_head: int
    max_body: float
    """Infinity: there is no limit."""
    trust: tuple[IPv4Network | IPv6Network, ...]
    """Networks whose forwarding fields are believed."""
    forwarding: Forwarding
    pages: Pages
    websocket_close: int = 0
    """The code of the Close frame that a drain ends a WebSocket with; 0: there is none."""
    log: "RequestLog | None" = None
    """None: nobody is told of requests that are over."""
    sticky: Sticky | None = None
    """How visitors are told apart while a canary runs; None: they are not."""
