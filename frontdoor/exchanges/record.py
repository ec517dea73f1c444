"""The record of an exchange: all that is known of it."""

from typing import TYPE_CHECKING

from frontdoor.exchanges.rules import Rules
from frontdoor.exchanges.upstream import Upstream
from frontdoor.http.framing import Body, body_of
from frontdoor.http.head import NONE, AnswerHead, RequestHead
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.unseated import Unseated

if TYPE_CHECKING:
    from frontdoor.exchanges.visitor import Visitor

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Methods of which a second request does no more than the first (RFC 9110 §9.2.2)."""


class Record:
    """Of one request with its answer. What becomes of it: ``asking``, ``answering``, ``exchange``."""

    __slots__ = (
        "answer",
        "answer_body",
        "answered",
        "began",
        "body",
        "close",
        "cookie",
        "deadline",
        "dialled",
        "down_bytes",
        "early",
        "ended",
        "failed_by",
        "first_byte",
        "gate",
        "head",
        "key",
        "last",
        "pours",
        "pours_up",
        "reason",
        "repeatable",
        "request_head",
        "request_id",
        "rules",
        "seat",
        "seated",
        "since",
        "stamp",
        "status",
        "switching",
        "up_bytes",
        "upstream",
        "visitor",
    )

    def __init__(self, visitor: "Visitor", head: RequestHead, rules: Rules, now: float) -> None:
        """``now``: of the monotonic clock."""
        self.visitor = visitor
        self.gate = visitor.gate
        self.rules = rules
        self.head = head
        self.body: Body | None = body_of(head.length) if head.length else None
        """The request's; None: it has none."""
        self.request_head, self.request_id = rules.forwarding.request(head, visitor.client)
        self.seat: Seat | None = None
        self.upstream: Upstream | None = None
        self.failed_by: list[Generation] = []
        self.key: object = visitor.address
        """By which the turn of a canary goes."""
        self.cookie = b""
        """What the answer is to set; empty: nothing."""
        self.repeatable = head.length == NONE and head.method in IDEMPOTENT and not head.upgrade
        """It may be sent on a kept connection. The other side may close that at any time, without having read what is
        sent just then: so it must be possible to ask once more."""
        self.early = b""
        """What has come of an answer whose head is not whole; of one that switches protocols, what came behind it."""
        self.answer: AnswerHead | None = None
        self.answer_body: Body | None = None
        self.status = 0
        """What the client was told; 0: nothing yet."""
        self.answered = False
        """All of the answer is on the way to the client."""
        self.pours = self.pours_up = False
        """What is still to come of the answer, of the request, is long, and goes on without being looked at."""
        self.switching = False
        """The backend has agreed to speak something else: what was read so far is on its way to either side."""
        self.close = False
        """The client's connection ends with it."""
        self.last: Reason = Reason.ANSWERED
        self.reason: Reason | None = None
        """Why it has ended."""
        self.deadline: float | None = None
        """It was closed by us, then (monotonic clock), and the rest is on its way."""
        self.up_bytes = 0
        self.down_bytes = 0
        self.began = self.since = self.stamp = now
        """When its head was whole; when bytes last moved."""
        self.seated = self.dialled = self.first_byte = self.ended = 0.0
        """When there was a backend for it; when that was connected to, if it was not before; when the first byte of the
        answer came; when it was over. 0: not yet."""

    def __repr__(self) -> str:
        where = self.seat.generation.id if self.seat is not None else "no backend"
        return f"<{type(self).__name__} {self.head.method.decode()} on {where}, {self.status or 'no answer yet'}>"

    @property
    def fd(self) -> int:
        """The client's socket."""
        return self.visitor.fd

    @property
    def address(self) -> object:
        """The client's."""
        return self.visitor.address

    @property
    def client(self) -> object:
        """The client's address, by the name that a stream has it under."""
        return self.visitor.address

    @property
    def destination(self) -> object:
        """Where the client had connected to, if a PROXY header said so."""
        return self.visitor.destination

    def unseated(self) -> Unseated | None:
        """It stays here."""
        return None

    @property
    def uploading(self) -> bool:
        """The client has not sent all of its request's body."""
        return self.body is not None and not self.body.done

    # -- what it is told --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Its head is whole, or its door is not paused any more."""
        raise NotImplementedError

    def backend_took_all(self) -> None:
        """The backend has taken what it was sent: more of it may come."""
        raise NotImplementedError

    def hear(self, data: bytes) -> None:
        """The backend has said this."""
        raise NotImplementedError

    def pour(self) -> bool:
        """Send on what can be read of the answer; False: it has to be read. Raises OSError as a read does."""
        raise NotImplementedError

    def backend_ended(self, *, reset: bool) -> None:
        """The backend has closed its connection."""
        raise NotImplementedError

    # -- what the parts of an exchange ask of each other ------------------------------------------------------------

    def leave_backend(self) -> None:
        """Nothing more is to do with the connection to the backend."""
        raise NotImplementedError

    def say(self, status: int, message: str, reason: Reason, retry_after: int | None = None) -> None:
        """Answer it ourselves."""
        raise NotImplementedError

    def refuse(self, status: int, why: str) -> None:
        """What the client has sent is wrong."""
        raise NotImplementedError

    def report(self, what: str) -> None:
        """Say what was wrong with the backend's answer."""
        raise NotImplementedError

    def wrong(self, what: str) -> None:
        """The backend did not answer as it should."""
        raise NotImplementedError

    def end(self, reason: Reason, *, whole: bool = True) -> None:
        """Nothing more becomes of it. ``whole``: the client has its answer."""
        raise NotImplementedError

    def become_stream(self) -> None:
        """Its connections are the relay's from here on, once all that was read of either has gone on."""
        raise NotImplementedError
