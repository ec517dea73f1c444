"""A visitor: the connection of one client to an http door, from its accept to its end.

It is in one of these states: it has an *exchange*; it is *idle*, between two requests or before the end of the first
head; it says *goodbye*: all was said, and what the client still sends is thrown away, since closing a socket with
unread input would reset it, and destroy what the client has not read yet (RFC 9112 §9.6).
"""

import os
import socket
from typing import TYPE_CHECKING

from frontdoor import sockets
from frontdoor.exchanges.connection import READ, Connection
from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.rules import Rules
from frontdoor.http.head import BadHead, is_hopeless, parse_request
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import GOODBYE, GOODBYE_SILENCE
from frontdoor.traffic.gate import Gate

if TYPE_CHECKING:
    from frontdoor.exchanges.exchanges import Exchanges

_read = os.read


class Visitor(Connection):
    """One client's connection."""

    __slots__ = (
        "_behind",
        "address",
        "buffer",
        "client",
        "counted",
        "destination",
        "due",
        "ended_by",
        "eof",
        "exchange",
        "gate",
        "goodbye_until",
        "hub",
        "leaving",
        "rules",
        "serving",
        "since",
    )

    def __init__(
        self, hub: "Exchanges", gate: Gate, fd: int, address: object, destination: object, since: float
    ) -> None:
        """Raises OSError when the socket cannot be watched; then it is the caller's."""
        super().__init__(hub.relay, fd)
        assert isinstance(gate.http, Rules)
        self.hub = hub
        self.gate = gate
        self.rules = gate.http
        self.address = address
        self.destination = destination
        self.since = since
        self.client = self.rules.forwarding.client(address, self.rules.trust)
        self.buffer = b""
        """What was read, and is not of the exchange: a part of a head, or requests behind the one under way."""
        self.exchange: Exchange | None = None
        self.counted = True
        """The ledger counts a stream that is this one's, and not yet over."""
        self.serving = False
        """Requests are being taken out of the buffer, one after the other."""
        self.leaving = False
        """The next exchange is the last."""
        self.eof = False
        """The client has finished sending."""
        self._behind = 0
        """Bytes that the client had not taken when its patience was measured."""
        self.goodbye_until = 0.0
        """When the goodbye ends at the latest; 0: it has not begun."""
        self.patience(self.rules.head_timeout)

    def __repr__(self) -> str:
        doing = self.exchange or ("goodbye" if self.goodbye_until else "idle")
        return f"<Visitor {sockets.show(self.address)} {doing}>"

    @property
    def idle(self) -> bool:
        """Between two requests: not a byte of the next one is known."""
        return self.exchange is None and not self.buffer and not self.goodbye_until

    @property
    def no_more(self) -> bool:
        """The client has finished sending, and none of its requests is left."""
        return self.eof and not self.buffer

    def resume(self, read: bytes, *, counted: bool) -> None:
        """Another process has accepted him, and has read so much of his next request; ``counted``: as it is there."""
        if not counted:
            self.counted = False
            self.gate.idle += 1
            self.patience(self.rules.keepalive_timeout)
        if read:
            self._serve(read)
        self.ready()

    def patience(self, seconds: float) -> None:
        """So long it may stay as it is, from now on."""
        self.due = self.relay.now + seconds
        if self.waits:
            self._behind = self.behind

    def has_taken_some(self) -> bool:
        """Whether something waits for the client, and it has taken a part of it since its patience was measured.

        The kernel says that there is room again when a large part of what it holds is gone: to a client that reads
        slowly that may take minutes.
        """
        return self.waits and self.behind < self._behind

    def ready(self) -> None:
        """Take what the client says; send what it would not take before."""
        try:
            self._ready()
        except Exception as error:
            self.hub.failed(self, error)

    def _ready(self) -> None:
        if self.waits and self.flush(self.hub.pool.pipes):
            self._took_all()
        if not self.reading or self.fd < 0:
            return
        exchange = self.exchange
        try:
            if exchange is not None and exchange.pours_up and exchange.pour_up():
                return
            data = _read(self.fd, READ)
        except BlockingIOError:
            return
        except OSError:
            self.lost(Reason.CLIENT_RESET)
            return
        if not data:
            self._end_of_input()
        elif exchange is None:
            if self.goodbye_until:
                self.due = min(self.relay.now + GOODBYE_SILENCE, self.goodbye_until)
            else:
                self._serve(data)
        elif exchange.uploading and exchange.seat is not None:
            exchange.upload(data)
        else:
            self.buffer += data
            if len(self.buffer) > self.rules.max_head:
                self.read(False)  # it has said enough for now

    def _took_all(self) -> None:
        if self.deaf:
            self.lost(Reason.CLIENT_RESET)
        elif self.exchange is not None:
            self.exchange.client_took_all()
        elif self.goodbye_until:
            self._finish_sending()

    def _end_of_input(self) -> None:
        self.eof = True
        exchange = self.exchange
        if exchange is None:
            self.close_for(Reason.CLIENT_CLOSED)
        elif exchange.uploading:
            self.lost(Reason.CLIENT_CLOSED)
        else:
            self.read(False)  # it gets its answer all the same (RFC 9112 §9.6)
            exchange.client_ended()

    # -- requests ---------------------------------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Begin what has come whole, one after the other.

        Nearly always that is one request, and nothing behind it. All that is done for each of them is here in a row: a
        call costs more than what most of these lines do.
        """
        searched = 0
        if self.buffer:
            searched = max(0, len(self.buffer) - 3) if data else 0  # without: it was behind another request
            data = self.buffer + data
        gate, now = self.gate, self.relay.now
        self.serving = True
        while True:
            end = data.find(b"\r\n\r\n", searched) + 4
            if end < 4:
                self._wait_for_head(data, searched)
                break
            if not self.counted:  # a stream, in the ledger's words
                self.counted = True
                gate.idle -= 1
                gate.ledger.accept()
            if gate.http is not self.rules:
                self._follow_config()
            raw, self.buffer = (data, b"") if end == len(data) else (data[:end], data[end:])
            if end > self.rules.max_head:
                self._too_long(raw)
                break
            try:
                head = parse_request(raw)
            except BadHead as error:
                self.refuse(error.status, error.why)
                break
            self.exchange = Exchange(self, head, self.rules, now)
            self.exchange.begin()
            if not self._goes_on():
                break
            data, searched = self.buffer, 0
        self.serving = False

    def _goes_on(self) -> bool:
        """Whether the exchange is over already, and there may be a next one."""
        return self.exchange is None and not self.goodbye_until and bool(self.buffer) and self.fd >= 0

    def _wait_for_head(self, data: bytes, searched: int) -> None:
        if not self.buffer and data:
            self.patience(self.rules.head_timeout)
        self.buffer = data
        if len(data) > self.rules.max_head:
            self._count()
            self._too_long(data)
        elif is_hopeless(data, searched):
            self._count()
            self.refuse(400, "these are no lines of a request")

    def _too_long(self, data: bytes) -> None:
        line = data.find(b"\n", 0, self.rules.max_head // 2)
        most = f"{self.rules.max_head} bytes"
        if line < 0:
            self.refuse(414, f"the first line of a request may have half of {most} here")
        else:
            self.refuse(431, f"the head of a request may have {most} here")

    def _count(self) -> None:
        if not self.counted:
            self.counted = True
            self.gate.idle -= 1
            self.gate.ledger.accept()

    def _follow_config(self) -> None:
        """It was read again."""
        rules = self.gate.http
        if isinstance(rules, Rules):  # else the door speaks tcp now: who is here goes on as before
            self.rules = rules
            self.client = rules.forwarding.client(self.address, rules.trust)

    def refuse(self, status: int, why: str) -> None:
        """Answer what is no request that frontdoor understands, and end the connection."""
        page = self.rules.pages.page(status, why, close=True)
        self.send(page)
        if self.rules.log is not None:
            self.rules.log.refused(self, status, len(page))
        self.counted = False
        self.gate.idle += 1
        self.gate.ledger.end(Reason.BAD_REQUEST)
        self.goodbye()

    def exchange_ended(self, exchange: Exchange, *, whole: bool) -> None:
        """The exchange is over, and counted. ``whole``: the client has got all of its answer."""
        self.exchange = None
        self.counted = False
        self.gate.idle += 1
        if self.fd < 0:
            self.close_for(Reason.CLIENT_CLOSED)  # the exchange was counted, under a reason of its own
        elif not whole or exchange.close or exchange.uploading or self.no_more:
            self.goodbye()
        else:
            # What is in the buffer may be a part of a head only.
            self.due = self.relay.now + (self.rules.head_timeout if self.buffer else self.rules.keepalive_timeout)
            if not self.reading:
                self.read(True)
            if self.leaving:
                self.hub.leave(self)
            elif self.hub.heir is not None:
                self.hub.hand_over(self)
            elif self.buffer and not self.serving:
                self._serve(b"")

    # -- the end ----------------------------------------------------------------------------------------------------

    def goodbye(self) -> None:
        """All was said. What is left is to be delivered, and the client is to notice."""
        self.goodbye_until = self.relay.now + GOODBYE
        self.buffer = b""
        self.due = self.relay.now + GOODBYE_SILENCE
        if not self.waits:
            self._finish_sending()

    def _finish_sending(self) -> None:
        if self.deaf or self.eof:
            self.close_for(Reason.CLIENT_CLOSED)
            return
        sockets.shut(self.fd, socket.SHUT_WR)
        self.read(True)

    def late(self) -> None:
        """Its time is up."""
        try:
            self._late()
        except Exception as error:
            self.hub.failed(self, error)

    def _late(self) -> None:
        if self.reading and not self.goodbye_until:
            self.ready()  # it may have come while this process was busy with something else
        if self.due > self.relay.now or self.fd < 0:
            return
        if self.exchange is not None:
            self.exchange.late()
        elif self.goodbye_until or not self.buffer:
            self.close_for(Reason.IDLE_TIMEOUT)
        else:
            self._count()
            self.refuse(408, "the head of the request did not come in time")

    def lost(self, reason: Reason) -> None:
        """The client has gone, in the middle of what there was."""
        exchange = self.exchange
        self.close()
        if exchange is not None:
            self.hub.release(exchange)
            exchange.end(reason, whole=False)
        else:
            self.close_for(reason)

    def close_for(self, reason: Reason) -> None:
        """Close the connection, which has no exchange."""
        self.close()
        if self.counted:
            self.counted = False
            self.gate.ledger.end(reason)
        else:
            self.gate.idle -= 1
        self.hub.forget_visitor(self)
