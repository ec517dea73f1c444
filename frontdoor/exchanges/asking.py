"""Asking: a request on its way to a backend."""

import math
import os
import time

from frontdoor.exchanges.record import Record
from frontdoor.exchanges.upstream import Upstream
from frontdoor.http.framing import BadBody, Sized
from frontdoor.policy.generation import Seat
from frontdoor.policy.ledger import Reason

BULK = 128 << 10
"""Bytes of a body that are still to come, from which on they are not looked at. For fewer the pipe is not worth it."""

RETRY_AFTER = 5
"""Seconds, said to who found no backend."""

_clock = time.monotonic


class Asking(Record):
    """An exchange's first half."""

    __slots__ = ()

    def begin(self) -> None:
        """Its head is whole.

        Nearly all take the short way from here to a kept connection: all that is done on it is here in a row, for a
        call costs more than what most of these lines do. It is not open where there is a canary: its share counts who
        asks for a backend, and to ask is not undone there.
        """
        gate, visitor = self.gate, self.visitor
        if gate.maintenance is not None or gate.paused or not self.repeatable:
            self._begin_with_care()
            return
        hub, switchboard = visitor.hub, gate.switchboard
        if switchboard.share is None and not hub.seating.is_busy(gate):
            seat = switchboard.lease()
            if seat is not None:
                idle = hub.pool.idle.get(seat)
                while idle:
                    upstream = idle.pop()
                    hub.pool.count -= 1
                    self.seat, self.upstream, upstream.exchange = seat, upstream, self
                    self.seated = now = visitor.relay.now
                    upstream.send(self.request_head)
                    if not upstream.deaf:
                        visitor.due = now + self.rules.answer_timeout
                        return
                    self.leave_backend()
                self.seat = None
                switchboard.forgo(seat)
        self.seek()

    def _begin_with_care(self) -> None:
        gate, most = self.gate, self.rules.max_body
        if gate.maintenance is not None:
            self.say(503, gate.maintenance.message, Reason.ANSWERED, gate.maintenance.retry_after)
        elif self.head.length > most:
            self.say(413, f"the body of a request may have {most:g} bytes here", Reason.BAD_REQUEST)
        elif gate.paused:
            self.visitor.hub.hold(self)
        else:
            self.seek()

    def seek(self) -> None:
        """Ask for a backend."""
        if self.visitor.hub.hand_over(self.visitor):
            return  # this process has none to give any more: another one asks
        sticky, canary = self.rules.sticky, self.gate.switchboard.canary
        if sticky is not None and canary is not None and not self.cookie:  # a second try is the same visitor's
            key, self.cookie = sticky.key(self.head.known.get(b"cookie", b""), self.head.fields, canary)
            self.key = self.visitor.address if key is None else key
        self.visitor.patience(math.inf)
        self.visitor.hub.seating.seat_party(self.gate, self, self.visitor.relay.now)

    def reuse(self, seat: Seat) -> bool:
        """Take a kept connection, if there is one and this may be asked twice."""
        pool = self.visitor.hub.pool
        if self.repeatable:
            while (upstream := pool.take(seat)) is not None:
                self.seated = self.visitor.relay.now
                self._go(seat, upstream)
                if not upstream.deaf:
                    return True
                upstream.close()
        self.seated = _clock()  # what comes next is a dial, and how long it takes is of interest
        return False

    def join(self, seat: Seat, backend_fd: int) -> None:
        """Take this connection, which is new. Raises OSError, and closes it, when it cannot be watched."""
        hub = self.visitor.hub
        try:
            upstream = Upstream(hub.relay, backend_fd, seat, hub.pool)
        except OSError:
            os.close(backend_fd)
            raise
        self.dialled = _clock()
        self._go(seat, upstream)

    def turn_away(self, reason: Reason) -> None:
        """There is no backend for it."""
        self.say(503, "no backend is ready to answer just now", reason, RETRY_AFTER)

    def _go(self, seat: Seat, upstream: Upstream) -> None:
        """Send the request on."""
        visitor, rules = self.visitor, self.rules
        now = visitor.relay.now
        self.seat, self.upstream, upstream.exchange = seat, upstream, self
        upstream.send(self.request_head)
        if self.body is None:
            visitor.due = now + rules.answer_timeout
            return
        rest, visitor.buffer = visitor.buffer, b""
        visitor.due = now + rules.body_timeout
        if rest:
            self.upload(rest)
        visitor.read(not (upstream.waits and self.uploading))

    def upload(self, data: bytes) -> None:
        """The client has sent this of the body, and perhaps of the next request behind it."""
        body, upstream, visitor = self.body, self.upstream, self.visitor
        assert body is not None
        try:
            count = body.take(data)
        except BadBody as error:
            self.refuse(400, str(error))
            return
        if count != len(data):
            visitor.buffer = data[count:]
            data = data[:count]
        self.up_bytes += count
        if body.size > self.rules.max_body:  # of chunks it is known as they come
            self.refuse(413, f"the body of a request may have {self.rules.max_body:g} bytes here")
            return
        if upstream is None:
            self.stamp = visitor.relay.now
            return  # it has answered, and gone: the rest is only read
        upstream.send(data)
        self._has_sent(upstream)

    def pour_up(self) -> bool:
        """Send on what can be read of the body; False: it has to be read. Raises OSError as a read does."""
        body, upstream = self.body, self.upstream
        assert isinstance(body, Sized)
        if upstream is None or upstream.deaf or upstream.waits:
            return False
        count = upstream.pour(self.visitor.fd, body.left, self.visitor.hub.pool.pipes)
        if count <= 0:
            return False
        body.skip(count)
        self.up_bytes += count
        self._has_sent(upstream)
        return True

    def _has_sent(self, upstream: Upstream) -> None:
        """A part of the body is on its way: the next one is read when the backend has taken this."""
        body, visitor = self.body, self.visitor
        assert body is not None
        self.stamp = visitor.relay.now
        self.pours_up = isinstance(body, Sized) and body.left >= BULK
        if self.answer is None:
            visitor.patience(self.rules.answer_timeout if body.done else self.rules.body_timeout)
        visitor.read(body.done or not upstream.waits)

    def backend_took_all(self) -> None:
        """The backend has taken what it was sent: more of it may come."""
        self.stamp = self.visitor.relay.now
        if self.switching:
            self.become_stream()
            return
        if self.uploading:
            self.visitor.patience(self.rules.body_timeout)
        self.visitor.read(True)
