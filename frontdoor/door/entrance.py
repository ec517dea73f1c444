"""The entrance: what a door's settings mean for those who come in."""

import math
import os
import time
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import count

from frontdoor.config import DoorSettings
from frontdoor.door.access_log import DoorAccessLog
from frontdoor.exchanges.rules import Rules
from frontdoor.http.forwarding import Forwarding
from frontdoor.http.pages import Pages, load
from frontdoor.observe.logs.log import Log
from frontdoor.policy.sticky import sticky_of
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


def rules(settings: DoorSettings, log: Log, access_log: DoorAccessLog) -> Rules | None:
    """What holds for the requests of an http door; None: it speaks tcp."""
    logged = access_log.direct(settings.http.access_log if settings.protocol == "http" else "")
    if settings.protocol != "http":
        return None
    wanted = settings.http
    return Rules(
        head_timeout=wanted.head_timeout,
        body_timeout=wanted.body_timeout,
        answer_timeout=wanted.answer_timeout,
        keepalive_timeout=wanted.keepalive_timeout,
        backend_keepalive=wanted.backend_keepalive,
        max_head=wanted.max_head,
        max_body=wanted.max_body,
        trust=tuple(ip_network(network) for network in wanted.trust),
        forwarding=Forwarding(request_id=request_ids()),
        pages=Pages(_pages(settings, log)),
        websocket_close=wanted.websocket_close,
        log=access_log if logged else None,
        sticky=sticky_of(settings.canary.sticky, settings.canary.cookie, settings.canary.header, visitor_number),
    )


def _pages(settings: DoorSettings, log: Log) -> dict[int, bytes]:
    """The error pages of the user. Whoever reads the config has tried them: what is wrong now came after that."""
    folder = settings.http.error_pages
    if not folder:
        return {}
    try:
        return load(folder)
    except (OSError, ValueError) as error:
        log.error(
            "error_pages.unreadable", door=settings.name, folder=folder, error=str(error), reason="plain ones serve"
        )
        return {}


def request_ids() -> Callable[[], bytes]:
    """Makes an id for each request: no two are the same, those of other doors and other processes among them.

    They can be guessed, and are cheap: they are there to find a request in logs, and prove nothing.
    """
    numbers, first = count(1), os.urandom(10).hex().encode()
    return lambda: b"%b-%x" % (first, next(numbers))


def visitor_number() -> bytes:
    """A number for a visitor that nobody had before, for ``policy.sticky``."""
    return os.urandom(8).hex().encode()


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
