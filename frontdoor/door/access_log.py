"""The access log of one door: where it goes is a matter of its settings, which may change."""

import time
from functools import partial

from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.visitor import Visitor
from frontdoor.http.request_log import RequestLog
from frontdoor.observe.logs.access_log import STDERR, AccessLog
from frontdoor.observe.logs.log import Log
from frontdoor.policy.ledger import Reason
from frontdoor.sockets import show


class DoorAccessLog:
    """Takes each exchange of the door that is over. Nobody waits for it."""

    def __init__(self, door: str, log: Log) -> None:
        self._door = door
        self._log = log
        self._lines = RequestLog(door, show)
        self._to: AccessLog | None = None
        self._dropped = 0
        """Lines that were lost on their way to where it went before."""

    def __repr__(self) -> str:
        return f"<DoorAccessLog of {self._door} to {self._to}>"

    def direct(self, path: str) -> bool:
        """It goes to that file from here on, "-" for stderr; whether it goes anywhere: "" is nowhere."""
        if self._to is None or self._to.path != path:
            self.close(0.0)
            self._to = AccessLog(path, self._log.stderr, partial(self._complain, path)) if path else None
        return self._to is not None

    def reopen(self) -> bool:
        """Its file has another name by now; whether there is a file."""
        if self._to is None or self._to.path == STDERR:
            return False
        self._to.reopen()
        return True

    def close(self, timeout: float) -> None:
        """Nothing more comes; what there is may take so many seconds to be written."""
        if self._to is not None:
            self._to.close(timeout)
            self._dropped += self._to.dropped
            self._to = None

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._dropped + (self._to.dropped if self._to is not None else 0)

    def __call__(self, exchange: Exchange) -> None:
        """One more."""
        to, now = self._to, time.monotonic()
        if to is None:
            return
        head, visitor, seat = exchange.head, exchange.visitor, exchange.seat
        line = self._lines.line(  # by position: so many names take time
            time.time() - now,
            visitor.address,
            head.method,
            head.target,
            exchange.status,
            exchange.up_bytes,
            exchange.down_bytes,
            exchange.began,
            exchange.seated if seat is not None else 0.0,
            exchange.dialled if seat is not None else 0.0,
            exchange.first_byte,
            exchange.ended or now,
            exchange.reason or _SWITCHED,
            (seat.generation.version, seat.generation.id) if seat is not None else None,
            exchange.request_id,
            head.known.get(_FORWARDED_FOR, b"") if visitor.client.trusted else b"",
        )
        to.write(line)

    def refused(self, visitor: Visitor, status: int, down: int) -> None:
        """One that was no request that frontdoor understands."""
        if self._to is None:
            return
        now = time.monotonic()
        self._to.write(
            self._lines.line(
                epoch=time.time() - now,
                client=visitor.address,
                method=b"",
                target=b"",
                status=status,
                up=0,
                down=down,
                began=now,
                seated=0.0,
                dialled=0.0,
                first_byte=0.0,
                over=now,
                ended=Reason.BAD_REQUEST,
                place=None,
                request_id=b"",
            )
        )

    def _complain(self, path: str, why: str) -> None:
        self._log.error("access_log.failed", door=self._door, file=path, reason=why)


_FORWARDED_FOR = b"x-forwarded-for"
_SWITCHED = "switched_protocols"
"""It has not ended: from here on it is a stream."""
