"""A direction whose frames are followed, so that its stream can be ended between two of them, with a last word.

That is the way from a backend to its client in a WebSocket, where the config of an http door asks for it. Its bytes go
by splice, as those of any stream: what is looked at is a copy of the first of them (MSG_PEEK, recv(2)), and of a long
payload not even that. Where its frames stand is known to this process alone: a stream that outlives it is an ordinary
one in the next.
"""

import select

from frontdoor import sockets
from frontdoor.http.websocket import Frames
from frontdoor.traffic.stream import DOWN, Flow, Stream

PEEK = 4096
"""Bytes that are looked at before one move. What is between two frames' heads in there is copied for nothing."""

ANY = 1 << 20
"""Bytes asked for in one move where nobody knows what they are: more than a pipe holds, as with any stream."""

_READ = select.EPOLLIN


class FramedFlow(Flow):
    """One direction of a stream; the relay asks it how much of what is there may be moved, and tells it what was.

    To the relay's loop it never is ``reading``: so those that are pay nothing for it. ``polled`` is what that means
    with others.
    """

    __slots__ = ("_ahead", "farewell", "frames", "leaving", "polled")

    tracked = True

    def __init__(self, flow: Flow, frames: Frames, farewell: bytes) -> None:
        """It takes the place of ``flow``, of which nothing has been moved yet. ``farewell``: the last word."""
        self.polled = True
        super().__init__(flow.stream, DOWN, flow.source, flow.sink)
        self.twin = flow.twin
        self.moved, self.stamp = flow.moved, flow.stamp
        self.frames: Frames | None = frames
        """None: nobody knows any more where they begin."""
        self.farewell = farewell
        self.leaving: float | None = None
        """Since when the end of the frame is waited for, of the monotonic clock: then the stream ends."""
        self._ahead: bytes | None = b""

    def __repr__(self) -> str:
        leaving = "" if self.leaving is None else " leaving"
        return f"<FramedFlow{leaving} {self.frames or 'lost'}{' polled' if self.polled else ''} {super().__repr__()}>"

    @property
    def reading(self) -> bool:
        """Never, as the relay's loop means it."""
        return False

    @reading.setter
    def reading(self, polled: bool) -> None:
        self.polled = polled

    @property
    def wanted(self) -> int:
        """As with any flow."""
        return super().wanted | _READ if self.polled else super().wanted

    def look_ahead(self) -> int:
        """How many bytes may be moved now. Raises OSError when its source has failed (recv(2))."""
        if self.deaf:
            self.frames = None  # nobody hears how it ends
        if self.frames is None:
            return ANY
        left = self.frames.left
        self._ahead = b""
        if left:
            return left
        try:
            self._ahead = sockets.peek(self.source, PEEK)
        except BlockingIOError:  # readable, and nothing is there: an urgent byte (unix(7), MSG_OOB)
            self._ahead = None
            return ANY
        return len(self._ahead) or 1  # to be told of the end

    def passed(self, count: int) -> None:
        """So many bytes were moved."""
        frames, ahead = self.frames, self._ahead
        if frames is None or not count:
            return
        if ahead is None:
            self.frames = None  # nobody has seen them
            return
        if ahead:
            frames.feed(ahead[:count])
        else:
            frames.skip(count)
        if frames.broken:
            self.frames = None


def follow(stream: Stream, frames: Frames, farewell: bytes) -> FramedFlow:
    """Follow what the backend of a new stream says to its client."""
    down = FramedFlow(stream.down, frames, farewell)
    stream.down = stream.up.twin = down
    return down
