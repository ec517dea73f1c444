"""An exchange: one request of a client, and its answer.

It begins when the request's head is whole. It is given a backend as any stream is (``traffic.seating``), sends the
request on as it comes, and the answer likewise; nothing is kept of either but what one side has sent and the other one
has not taken yet. It ends when the answer was delivered, and exactly once.
"""

from frontdoor import sockets
from frontdoor.exchanges.answering import Answering
from frontdoor.exchanges.asking import RETRY_AFTER
from frontdoor.http.head import UNTIL_CLOSE
from frontdoor.policy.ledger import Reason


class Exchange(Answering):
    """One request with its answer."""

    __slots__ = ()

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def backend_ended(self, *, reset: bool) -> None:
        """The backend has closed its connection."""
        upstream, seat = self.upstream, self.seat
        assert upstream is not None
        assert seat is not None
        if self.answer is not None:
            if self.answer.length == UNTIL_CLOSE and not reset:
                self.complete(extra=False)
            else:
                self.wrong("its connection ended in the middle of the answer")
        elif self.early:
            self.wrong("its connection ended in the middle of the head of the answer")
        elif upstream.kept and self.repeatable and not self.first_byte:
            self._retry()
        else:
            limits, now = self.gate.limits, self.visitor.relay.now
            if now - self.seated < limits.early:
                seat.generation.conduct.closed_early(seat.generation.total)
            self.wrong("it closed the connection without an answer")

    def _retry(self) -> None:
        """A kept connection has died; most likely the backend had closed it before it could see the request."""
        self.repeatable = False  # once is enough
        self.leave_backend()
        seat, self.seat = self.seat, None
        assert seat is not None
        self.gate.switchboard.forgo(seat)
        self.seek()

    def wrong(self, what: str) -> None:
        """The backend did not answer as it should."""
        seat = self.seat
        assert seat is not None
        reason = Reason.BACKEND_GONE if seat.gone() or self.since < seat.born else Reason.BACKEND_CLOSED
        self.report(what)
        if self.status:
            self.cut(reason)
        else:
            self.say(502, "the backend did not give a proper answer", reason)

    def report(self, what: str) -> None:
        """Say what was wrong with the backend's answer."""
        self.visitor.hub.report(self, what)

    def late(self) -> None:
        """Its time is up."""
        if self.visitor.has_taken_some():
            self.visitor.patience(self.rules.body_timeout)
        elif self.status or self.answered:
            half = self.visitor.eof and not self.visitor.waits
            self.cut(Reason.HALF_CLOSE_TIMEOUT if half else Reason.IDLE_TIMEOUT)
        elif self.seat is None:
            self.say(503, "nobody is let in just now", Reason.NO_BACKEND, RETRY_AFTER)
        elif self.uploading and not (self.upstream is not None and self.upstream.waits):
            self.say(408, "the request did not come in time", Reason.IDLE_TIMEOUT)
        else:
            self.report(f"no answer within {self.rules.answer_timeout:g} s")
            self.say(504, "the backend did not answer in time", Reason.IDLE_TIMEOUT)

    def say(self, status: int, message: str, reason: Reason, retry_after: int | None = None) -> None:
        """Answer it ourselves."""
        visitor, head = self.visitor, self.head
        if self.seat is None:
            visitor.hub.release(self)
        self.leave_backend()
        self.status = status
        goes_on = head.keep_alive and head.minor and not self.uploading and not visitor.leaving and not visitor.no_more
        self.close = not goes_on or status in (400, 408)
        page = self.rules.pages.page(
            status,
            message,
            request_id=self.request_id.decode(),
            head=head.method == b"HEAD",
            close=self.close,
            retry_after=retry_after,
        )
        self.down_bytes = len(page)
        visitor.send(page)
        self.delivered_by(reason)

    def cut(self, reason: Reason) -> None:
        """End it in the middle of its answer, so that the client can tell."""
        visitor = self.visitor
        answer = self.answer
        if answer is not None and (answer.length == UNTIL_CLOSE or (answer.length < 0 and not self.head.minor)):
            sockets.reset(visitor.fd)  # a FIN would say that this was all
        self.close = True
        self.end(reason, whole=False)

    def refuse(self, status: int, why: str) -> None:
        """What the client has sent is wrong."""
        if self.status:
            self.cut(Reason.BAD_REQUEST)
        else:
            self.say(status, why, Reason.BAD_REQUEST)

    # -- its end ----------------------------------------------------------------------------------------------------

    def leave_backend(self) -> None:
        """Nothing more is to do with the connection to the backend."""
        if self.upstream is not None:
            self.upstream.exchange = None
            self.upstream.close()
            self.upstream = None

    def end(self, reason: Reason, *, whole: bool = True) -> None:
        """Nothing more becomes of it. ``whole``: the client has its answer."""
        seat = self.seat
        self.leave_backend()
        self.reason, self.ended = reason, self.visitor.relay.now
        self.gate.ledger.end(reason, None if seat is None else seat.generation.conduct.ended)
        if seat is not None:
            seat.generation.up_bytes += self.up_bytes
            seat.generation.down_bytes += self.down_bytes
            self.gate.switchboard.release(seat)
        self.log()
        self.visitor.exchange_ended(self, whole=whole)

    def log(self) -> None:
        """It is over, or has become a stream: a line of the access log, if there is one."""
        if self.rules.log is not None:
            self.rules.log(self)

    def become_stream(self) -> None:
        """Its connections are the relay's from here on, once all that was read of either has gone on."""
        visitor, upstream = self.visitor, self.upstream
        assert upstream is not None
        if visitor.deaf:
            visitor.lost(Reason.CLIENT_RESET)
        elif visitor.waits or upstream.waits:
            visitor.patience(self.rules.body_timeout)
        else:
            visitor.hub.join(self)
