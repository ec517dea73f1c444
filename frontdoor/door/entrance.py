"""The entrance: what a door's settings mean for those who come in."""

import math
import time
from ipaddress import IPv4Network, IPv6Network, ip_network

from frontdoor.config import DoorSettings
from frontdoor.observe.log import Log
from frontdoor.sockets import show
from frontdoor.traffic.gate import Limits

REFUSALS_SAID = 10.0
"""Seconds between two log lines about clients that were refused for their PROXY header: a wrong setting refuses all."""


def limits(settings: DoorSettings, room: int) -> Limits:
    """The door's limits. ``room``: how many streams there are descriptors for."""
    wanted = settings.limits
    return Limits(
        connections=int(min(wanted.connections or math.inf, room)),
        connect_timeout=wanted.connect_timeout,
        hold_timeout=wanted.hold_timeout,
        idle_timeout=wanted.idle_timeout,
        half_close_timeout=wanted.half_close_timeout,
        early=settings.probation.early,
    )


def trusted(settings: DoorSettings) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks whose clients must begin with a PROXY header."""
    return tuple(ip_network(network) for network in settings.accept_proxy)


class Refusals:
    """Says in the log that clients were refused for their PROXY header: how many, and what was wrong with the last."""

    def __init__(self, door: str, log: Log) -> None:
        self._door = door
        self._log = log
        self._count = 0
        """Since it was last said."""
        self._said = -math.inf

    def __call__(self, address: object, why: str) -> None:
        """One more; ``address``: as accept(2) gave it."""
        self._count += 1
        now = time.monotonic()
        if now >= self._said + REFUSALS_SAID:
            said = {"door": self._door, "client": show(address), "reason": why, "count": self._count}
            self._log.warning("proxy_header.refused", **said)
            self._count, self._said = 0, now
