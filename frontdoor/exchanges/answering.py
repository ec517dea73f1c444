"""Answering: the backend's answer on its way to the client."""

from frontdoor.exchanges.asking import BULK, Asking
from frontdoor.http.forwarding import answer as head_for_client
from frontdoor.http.framing import BadBody, Body, Chunked, Sized, body_of
from frontdoor.http.head import UNTIL_CLOSE, AnswerHead, BadHead, parse_answer
from frontdoor.policy.ledger import Reason

MAX_ANSWER_HEAD = 256 << 10
"""Bytes of a backend's answer until the end of its head. Cookies of many kinds are in there; garbage is longer."""


class Answering(Asking):
    """An exchange's second half. It may begin before the first has ended."""

    __slots__ = ()

    def hear(self, data: bytes) -> None:
        """The backend has said this. Most often it is the whole answer: see ``begin``."""
        visitor = self.visitor
        now = self.stamp = visitor.relay.now
        if self.answer is not None:
            self._hear_body(data)
            return
        if self.early:
            data, self.early = self.early + data, b""
        else:
            self.first_byte = self.first_byte or now
        head = self.head
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._wait_for_head(data)
                return
            try:
                answer = parse_answer(data[:end], head.method)
            except BadHead as error:
                self.wrong(error.why)
                return
            status, length = answer.status, answer.length
            if status >= 200:
                break
            data = data[end:]
            if self._passes_by(answer, data):
                return
        self.answer, self.status = answer, status
        self.close = close = (
            not head.keep_alive
            or visitor.leaving
            or visitor.no_more
            or length == UNTIL_CLOSE
            or (length < 0 and not head.minor)
            # An early answer: most often it says that the rest of the request is not wanted.
            or (self.body is not None and status >= 300 and not self.body.done)
        )
        out = head_for_client(answer, head, close=close, cookie=self.cookie)
        rest = len(data) - end
        if 0 <= length <= rest:
            self.down_bytes = length
            visitor.send(data if rest == length and out is answer.raw else out + data[end : end + length])
            self.complete(extra=rest != length)
        else:
            self._begin_body(out, data[end:], decode=not head.minor)

    def _wait_for_head(self, data: bytes) -> None:
        if len(data) > MAX_ANSWER_HEAD:
            self.wrong(f"{len(data)} bytes, and the head of the answer has no end")
        self.early = data

    def _passes_by(self, answer: AnswerHead, data: bytes) -> bool:
        """An answer that another one follows, and ``data`` behind it; whether there is no more to do with that."""
        visitor, upstream = self.visitor, self.upstream
        assert upstream is not None
        if answer.status == 101:
            self._switch_protocols(answer, data)
            return True
        if self.head.minor:  # who speaks HTTP/1.0 knows of none (RFC 9110 §15.2)
            visitor.send(answer.forward)
            upstream.read(not visitor.waits)
        return not data

    def _begin_body(self, out: bytes, data: bytes, *, decode: bool) -> None:
        """The head of the answer, as the client gets it, and what has come behind it."""
        assert self.answer is not None
        self.answer_body = body_of(self.answer.length, decode)
        self._hear_body(data, out)

    def _hear_body(self, data: bytes, out: bytes = b"") -> None:
        """The backend has said this of the body; ``out``: the client gets that first."""
        body = self.answer_body
        assert body is not None
        try:
            count = body.take(data)
        except BadBody as error:
            if out:
                self.status, self.answer = 0, None  # the client has seen nothing yet
            self.wrong(str(error))
            return
        self.down_bytes += count
        self.visitor.send(out + _passed_on(body, data, count))
        if body.done:
            self.complete(extra=count != len(data))
        else:
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        """Of the answer: the backend is heard when the client has taken what there is."""
        visitor, upstream = self.visitor, self.upstream
        if visitor.deaf:
            visitor.lost(Reason.CLIENT_RESET)
            return
        assert upstream is not None
        self.pours = isinstance(self.answer_body, Sized) and self.answer_body.left >= BULK
        upstream.read(not visitor.waits)
        visitor.patience(self.rules.body_timeout if visitor.waits else self._silence())

    def _silence(self) -> float:
        """Seconds that the backend may say nothing in the middle of its answer."""
        limits = self.gate.limits
        # Who has finished sending may be gone altogether: that shows only when there is something to send to him.
        return min(limits.idle_timeout, limits.half_close_timeout) if self.visitor.eof else limits.idle_timeout

    def client_ended(self) -> None:
        """The client has finished sending, and waits for the rest of its answer, if it is still there."""
        if self.answer is not None and not self.answered and not self.visitor.waits:
            self.visitor.patience(self._silence())

    def pour(self) -> bool:
        """Send on what can be read of the answer; False: it has to be read. Raises OSError as a read does."""
        visitor, body, upstream = self.visitor, self.answer_body, self.upstream
        assert isinstance(body, Sized)
        assert upstream is not None
        if visitor.waits or visitor.deaf:
            return False
        count = visitor.pour(upstream.fd, body.left, visitor.hub.pool.pipes)
        if count <= 0:
            return False
        body.skip(count)
        self.down_bytes += count
        self.stamp = visitor.relay.now
        if body.done:
            self.complete(extra=False)
        else:
            self._wait_for_more()
        return True

    def client_took_all(self) -> None:
        """The client has taken what it was sent."""
        self.stamp = self.visitor.relay.now
        if self.switching:
            self.become_stream()
        elif self.answered:
            self.end(self.last)
        elif self.upstream is None:
            pass
        elif self.answer is not None:
            self._wait_for_more()
        else:
            self.upstream.read(True)

    def complete(self, *, extra: bool) -> None:
        """The backend has said all; ``extra``: and more than that."""
        visitor, upstream, answer = self.visitor, self.upstream, self.answer
        assert upstream is not None
        assert answer is not None
        self.upstream = upstream.exchange = None
        if extra:
            self.report("it said more than its answer had to have")
        if (
            extra
            or not answer.keep_alive
            or upstream.waits
            or answer.length == UNTIL_CLOSE
            or (self.body is not None and not self.body.done)
        ):
            upstream.close()
        else:
            visitor.hub.keep(upstream, self)
        self.delivered_by(Reason.ANSWERED)

    def delivered_by(self, reason: Reason) -> None:
        """All of the answer is on the way: it ends when the client has it."""
        visitor = self.visitor
        if not visitor.waits and not visitor.deaf:
            self.end(reason)
            return
        self.answered, self.last = True, reason
        if visitor.deaf:
            visitor.lost(Reason.CLIENT_RESET)
        else:
            visitor.patience(self.rules.body_timeout)

    def _switch_protocols(self, answer: AnswerHead, data: bytes) -> None:
        """The backend speaks something else from here on."""
        if not self.head.upgrade:
            self.wrong("101 Switching Protocols, and nobody had asked for that")
            return
        visitor, upstream = self.visitor, self.upstream
        assert upstream is not None
        self.status, self.answer, self.switching = 101, answer, True
        self.early = data
        visitor.read(False)
        upstream.read(False)
        self.down_bytes, self.up_bytes = len(data), len(visitor.buffer)
        rest, visitor.buffer = visitor.buffer, b""
        if rest:
            upstream.send(rest)
        visitor.send(head_for_client(answer, self.head, close=False, cookie=self.cookie) + data)
        self.become_stream()


def _passed_on(body: Body, data: bytes, count: int) -> bytes:
    """What the client gets of ``data``, of which ``count`` bytes belong to that body."""
    if isinstance(body, Chunked) and body.decode:
        payload = bytes(body.payload)
        body.payload.clear()
        return payload
    return data if count == len(data) else data[:count]
