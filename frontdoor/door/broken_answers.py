"""Answers that were none: what is said in the log when a backend of an http door does not answer as it should."""

import math
import time
import traceback

from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.visitor import Visitor
from frontdoor.observe.logs.log import Log
from frontdoor.sockets import show

SAID = 1.0
"""Seconds between two log lines of one generation: a release that is broken breaks every answer."""


class BrokenAnswers:
    """Says which process it was, and what was wrong: the first at once, and then how many there were."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: dict[str, float] = {}
        """When it was last said of a generation, by door and id; monotonic clock."""
        self._count: dict[str, int] = {}
        """How many there were since then."""

    def __call__(self, exchange: Exchange, what: str) -> None:
        """One more."""
        seat = exchange.seat
        if seat is None:
            return
        key, now = f"{exchange.gate.name}/{seat.generation.id}", time.monotonic()
        count = self._count[key] = self._count.get(key, 0) + 1
        if now < self._said.get(key, -math.inf) + SAID:
            return
        self._said[key] = now
        del self._count[key]
        if len(self._said) > 100:  # generations come and go
            del self._said[min(self._said, key=lambda known: self._said[known])]
        self._log.warning(
            "answer.broken",
            door=exchange.gate.name,
            version=seat.generation.version,
            generation=seat.generation.id,
            process=seat.process,
            reason=what,
            request=first_line(exchange),
            client_told=exchange.status or None,
            count=count,
        )

    def of_ours(self, visitor: Visitor, error: Exception) -> None:
        """One was broken by an error of frontdoor's own."""
        self._log.error(
            "exchange.broken",
            door=visitor.gate.name,
            client=show(visitor.address),
            request=first_line(visitor.exchange) if visitor.exchange is not None else None,
            reason="an error in frontdoor, please report it: this connection was closed, all others go on",
            error="".join(traceback.format_exception(error)),
        )


def first_line(exchange: Exchange) -> str:
    """Of the request, for people; without its query, where passwords and tokens are."""
    path = exchange.head.target.partition(b"?")[0].decode("latin-1")
    return f"{exchange.head.method.decode('latin-1')} {path[:200]}"
