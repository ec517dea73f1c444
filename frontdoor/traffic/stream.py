"""A stream: one client connection joined to one backend connection, as two one-way flows."""

import select

from frontdoor.policy.generation import Seat
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.pipes import Pipe

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_HANGUP_ONCE = select.EPOLLET
"""HUP and ERR come without being asked for; edge-triggered they come once, and not again and again."""

UP, DOWN = 0, 1
"""The directions: from the client, to the client."""


class Flow:
    """One direction of a stream: from the socket ``source`` to the socket ``sink``.

    It is in one of these states: *reading* (its source is polled); *held* (bytes are in its pipe, since the sink would
    not take them: the sink is polled, the source is not, and that is the backpressure); *ended* (the source's end was
    passed on). ``deaf``: the sink takes nothing any more, and what the source still says is thrown away.
    """

    __slots__ = (
        "deaf",
        "ended",
        "held",
        "live",
        "mask",
        "moved",
        "pipe",
        "reading",
        "rest",
        "sink",
        "source",
        "stamp",
        "stream",
        "twin",
        "word",
    )

    twin: "Flow"

    tracked = False
    """Its frames are followed (:mod:`~frontdoor.traffic.framed`). Of the class, as the next: others pay nothing."""

    leaving: float | None = None
    """Since when the end of a frame is waited for, of the monotonic clock: with it the stream ends."""

    def __init__(self, stream: "Stream", direction: int, source: int, sink: int) -> None:
        self.stream = stream
        self.word = stream.number << 1 | direction
        """Says of a pipe that its bytes are this flow's."""
        self.source = source
        self.sink = sink
        self.pipe: Pipe | None = None
        self.held = 0
        """Bytes in the pipe."""
        self.rest: bytes = b""
        """They are in here instead, if there was no pipe to be had."""
        self.moved = 0
        """Bytes read so far."""
        self.stamp = 0.0
        """When bytes last moved, of the monotonic clock. Here, and not in the stream: it is written with each message,
        and the flow is in the processor's cache then."""
        self.reading = True
        self.ended = False
        self.deaf = False
        self.live = True
        """Its stream has not been finished."""
        self.mask = _READ
        """What the source's descriptor is registered for with epoll right now; 0: it is not."""

    def __repr__(self) -> str:
        state = "ended" if self.ended else "held" if self.held else "reading" if self.reading else "still"
        return (
            f"<Flow {self.source}→{self.sink} {state}{' deaf' if self.deaf else ''} {self.moved} B, {self.held} held>"
        )

    @property
    def over(self) -> bool:
        """Nothing more will be delivered in this direction."""
        return self.ended or self.deaf

    @property
    def wanted(self) -> int:
        """What the source's descriptor should be registered for: its own bytes, and room for the other direction's."""
        twin = self.twin
        wanted = (_READ if self.reading else 0) | (_WRITE if twin.held and not twin.deaf else 0)
        return wanted or (_HANGUP_ONCE if self.ended and not twin.over else 0)


class Stream:
    """One accepted client joined to one backend process."""

    __slots__ = (
        "client",
        "deadline",
        "down",
        "gate",
        "grace",
        "kept",
        "lent",
        "number",
        "reason",
        "seat",
        "since",
        "slot",
        "up",
    )

    def __init__(self, number: int, gate: Gate, seat: Seat, client: object, fds: tuple[int, int], now: float) -> None:
        """``fds``: the client's socket and the backend's. ``now``: of the monotonic clock, in seconds."""
        self.number = number
        """Never reused in the life of a keeper, and never 0."""
        self.gate = gate
        self.seat = seat
        self.client = client
        """The client's address, as accept(2) gave it."""
        self.since = now
        self.kept = False
        """The keeper has copies of its descriptors, or is about to get them: set before they are sent, in one go with
        that. From then on the relay sees to it that they are dropped, and takes this back."""
        self.lent = False
        """It was ``kept`` once, and the keeper may not have closed its copies yet."""
        self.slot = -1
        """Where its bytes are tallied, among the words; -1: nowhere."""
        self.up = Flow(self, UP, fds[0], fds[1])
        self.down = Flow(self, DOWN, fds[1], fds[0])
        self.up.twin, self.down.twin = self.down, self.up
        self.up.stamp = now
        self.reason: Reason | None = None
        """The first thing that ended one of its directions."""
        self.deadline: float | None = None
        """Only the goodbye is left: wait for the client's own end until then."""
        self.grace: float | None = None
        """It was closed by us, and gets a RST so many seconds after its FIN, at ``deadline``; None: it gets none."""

    @property
    def stamp(self) -> float:
        """When bytes last moved, in either direction."""
        return max(self.up.stamp, self.down.stamp)

    @stamp.setter
    def stamp(self, now: float) -> None:
        self.up.stamp = self.down.stamp = now

    def __repr__(self) -> str:
        return f"<Stream {self.number} on {self.seat.generation.id} up={self.up} down={self.down} {self.reason or ''}>"


def is_hangup(events: int) -> bool:
    """Whether the other side of a Unix socket has closed it wholly, and not only finished sending (unix_poll)."""
    return bool(events & (select.EPOLLHUP | select.EPOLLERR))
