"""How a stream ends: which direction first, what the other one still gets, when that is all.

HUP and ERR never end a direction, and no failed write ends the other one: only a read's 0 or errno does, and only
after what was read before has been delivered.
"""

import os
import socket
import time

from frontdoor import sockets
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.framed import FramedFlow
from frontdoor.traffic.pipes import DISCARD
from frontdoor.traffic.plumbing import Plumbing
from frontdoor.traffic.stream import Flow, Stream, is_hangup

GOODBYE = 30.0
"""Seconds for a client to notice that the backend has closed, while what it still sends is thrown away; and"""
GOODBYE_SILENCE = 5.0
"""seconds of its silence that are enough. Both are nginx's lingering_time and lingering_timeout."""

FORCED_GOODBYE = 1.0
"""Seconds for a client to take what is in the pipe and to close, when its stream is closed by a deadline."""

_BY_THE_BACKEND = frozenset({Reason.BACKEND_CLOSED, Reason.BACKEND_RESET, Reason.BACKEND_GONE})

_BY_THE_DOOR = frozenset({Reason.DRAIN_CLOSED, Reason.SHUTDOWN})
"""The client is to come back to another process: what a last frame can tell him."""


class Ending:
    """The streams of a relay, from the first sign of an end to the last descriptor."""

    def __init__(self, plumbing: Plumbing, streams: dict[int, Stream]) -> None:
        """``streams``: the open ones, by number. Those that have ended are taken out."""
        self._plumbing = plumbing
        self.streams = streams
        self.flows: list[Flow | None] = []
        """By the descriptor that they read from: the kernel's numbers are small, and a list is faster than a dict."""
        self.parting: dict[int, Stream] = {}
        """Streams of which one direction has ended: those whose time is counted."""

    def force(self, stream: Stream, reason: Reason, grace: float | None) -> None:
        """End a stream before its time, in order.

        What the client still sends is thrown away until it has closed too: closing a socket with unread input sends
        RST, which would destroy what the client has not read yet. After ``grace`` seconds it is sent all the same;
        None: never, and the goodbye is short.
        """
        if not stream.up.live:
            return
        patience = FORCED_GOODBYE if grace is None else grace
        until = time.monotonic() + patience
        if stream.deadline is not None:
            stream.deadline = min(stream.deadline, until)  # it has ended already, for another reason
            stream.grace = None if stream.grace is None else min(stream.grace, patience)
            return
        stream.reason = reason
        stream.deadline, stream.grace = until, grace
        down = stream.down
        if isinstance(down, FramedFlow) and reason in _BY_THE_DOOR and not down.over:
            down.leaving = time.monotonic()
            self.parting[stream.number] = stream
            self.part(down)
        else:
            self._cut(stream)

    def _cut(self, stream: Stream) -> None:
        """What was said to the client so far, and is in the pipe, is all; the backend and he get FIN."""
        # Before anything is thrown away: if this process dies in between, nobody may send what comes behind that.
        sockets.shut(stream.down.source, socket.SHUT_RDWR)
        self._deafen(stream.up)
        if not stream.down.over and not stream.down.held:
            self._end(stream.down)
        self._settle(stream)

    def part(self, down: FramedFlow) -> None:
        """The stream is to end with the frame that has begun: if that is whole and delivered, say so, and FIN."""
        if down.over or down.held:
            return
        frames, farewell = down.frames, down.farewell
        if frames is None:
            self.cut_short(down.stream)
            return
        if not frames.between:
            down.reading = True
            self._plumbing.arm(down)
            self._plumbing.arm(down.twin)
            return
        down.farewell = b""
        if frames.closed or not farewell or self._say(down, farewell):
            self._redirect(down)

    def _redirect(self, down: FramedFlow) -> None:
        """The client has heard the last that he is to hear. FIN: he waits for it, and then closes (RFC 6455 §7.1.1).

        To the backend nothing is said: it hears from the client, who answers the last frame with one of the same kind
        (§5.5.1), behind all that he had said before. So the app loses none of that, and sees the closing handshake of
        a client that leaves. What it still says itself is read, and thrown away: with that unread, it would be reset.
        """
        stream, down.leaving, down.frames = down.stream, None, None
        self._restart(stream)
        if stream.up.over:
            self._cut(stream)  # there is nothing that it could wait for
            return
        sockets.shut(down.sink)
        down.sink, down.reading = DISCARD, True
        self._settle(stream)

    def _say(self, down: Flow, word: bytes) -> bool:
        """Send the client a word of ours; without a pipe it remains unsaid. False: he has not taken all of it.

        By a pipe: if this process dies in the middle of it, whoever goes on finds the rest.
        """
        pipe = self._plumbing.fill(down, word)
        if pipe is None:
            return True
        try:
            sent = os.splice(pipe.read, down.sink, len(word), flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            sent = 0
        except OSError:
            os.splice(pipe.read, DISCARD, len(word))
            self.sink_failed(down)
            return False
        if sent != len(word):
            self._plumbing.hold(down, len(word) - sent)
        return sent == len(word)

    def cut_short(self, stream: Stream) -> None:
        """The end of the frame has not come in time."""
        down = stream.down
        assert isinstance(down, FramedFlow)
        assert down.leaving is not None
        taken = not down.held or down.stamp > down.leaving
        down.leaving = None
        if taken:  # else: he who has not taken a byte in all that time gets no more of it
            self._restart(stream)
            self._cut(stream)

    @staticmethod
    def _restart(stream: Stream) -> None:
        """The time of the goodbye begins now."""
        stream.deadline = time.monotonic() + (FORCED_GOODBYE if stream.grace is None else stream.grace)

    def last_delivered(self, flow: Flow) -> None:
        """The stream was closed by a deadline, and this was the rest of what it had to say to the client."""
        stream = flow.stream
        if isinstance(flow, FramedFlow) and flow.leaving is not None:
            self.part(flow)
            return
        self._end(flow)
        if stream.grace is not None:
            stream.deadline = time.monotonic() + stream.grace  # it is counted from the FIN
        self._settle(stream)

    def source_ended(self, flow: Flow, events: int) -> None:
        """The source has said all: pass its FIN on. Its pipe is empty, or it would not have been read."""
        stream = flow.stream
        if flow is stream.up:
            stream.reason = stream.reason or Reason.CLIENT_CLOSED
        else:
            stream.reason = stream.reason or self._blame(stream, Reason.BACKEND_CLOSED)
            if is_hangup(events):
                self._deafen(stream.up)
                self._left(stream)
        self._end(flow)
        self._settle(stream)

    def hung_up(self, flow: Flow) -> None:
        """A side that had finished sending before has now closed, or reset: it does not receive any more either."""
        if flow.twin.sink != DISCARD:
            self._deafen(flow.twin)
        if flow is flow.stream.down:
            self._left(flow.stream)
        self._settle(flow.stream)

    def source_failed(self, flow: Flow) -> None:
        """Reading failed: that side is gone, in both directions."""
        stream = flow.stream
        if flow is stream.up:
            stream.reason = stream.reason or Reason.CLIENT_RESET
            self.finish(stream)
            return
        # A Unix socket says ECONNRESET also when the backend closed it with a part of the request unread. What it
        # answered before is delivered already; the client gets a FIN behind it, since a RST could destroy that.
        stream.reason = stream.reason or self._blame(stream, Reason.BACKEND_RESET)
        self._deafen(stream.up)
        self._left(stream)
        self._end(flow)
        self._settle(stream)

    def sink_failed(self, flow: Flow) -> None:
        """Writing failed: this direction is over, the other one goes on to its own end."""
        stream = flow.stream
        if flow is stream.up:
            stream.reason = stream.reason or self._blame(stream, Reason.BACKEND_CLOSED)
            if stream.down.ended:
                self._left(stream)
        else:
            stream.reason = stream.reason or Reason.CLIENT_RESET
        self._deafen(flow)
        self._settle(stream)

    @staticmethod
    def _blame(stream: Stream, reason: Reason) -> Reason:
        # A slow client may hear of it so late that another process has that seat.
        return Reason.BACKEND_GONE if stream.since < stream.seat.born or stream.seat.gone() else reason

    @staticmethod
    def _left(stream: Stream) -> None:
        """The backend has gone, in both directions: one that goes early, and without a word, has failed its client.

        Not where the client was the first to end it: that is what a look at whether the port is open comes to.
        """
        if stream.down.moved or stream.reason not in _BY_THE_BACKEND:
            return
        if time.monotonic() - stream.since < stream.gate.limits.early:
            generation = stream.seat.generation
            generation.conduct.closed_early(generation.total)

    def _deafen(self, flow: Flow) -> None:
        """Nobody receives this direction any more: go on reading, so that the source can finish, and throw it away.

        As after ``_end``, what is polled is put right by ``_settle``: once, and not at all for a stream that is over.
        """
        if flow.deaf:
            return
        flow.deaf = True
        flow.sink = DISCARD
        if flow.held:
            self._plumbing.drop(flow)
        if flow is flow.stream.down:
            # As if there were no door: who sends to a client that has gone gets EPIPE. Else a backend that never stops
            # sending, and does not read either, would keep the stream for ever. What it has sent can still be read.
            sockets.shut(flow.source, socket.SHUT_RD)
        flow.reading = not flow.ended

    def _end(self, flow: Flow) -> None:
        """Nothing more comes in this direction: FIN."""
        flow.ended, flow.reading = True, False
        if isinstance(flow, FramedFlow) and flow.leaving is not None:
            flow.leaving = None
            self._restart(flow.stream)
        if flow.sink != DISCARD:
            sockets.shut(flow.sink)

    def _settle(self, stream: Stream) -> None:
        """After a direction is over: end the stream, if that was all."""
        if not stream.up.live:
            return
        up, down = stream.up, stream.down
        if up.over and down.over and (up.ended or down.deaf):
            self.finish(stream)
            return
        self.parting[stream.number] = stream
        stream.stamp = time.monotonic()  # the silence that matters from here on begins now
        if up.over and down.over and stream.deadline is None:
            # The backend is gone, and its last word is on the way to a client that is still sending.
            stream.deadline = stream.stamp + GOODBYE
            self._plumbing.leave(stream)
            self._close(down)
        self._plumbing.arm(up)
        self._plumbing.arm(down)

    def finish(self, stream: Stream) -> None:
        """Release everything: no descriptor, pipe or lease is left."""
        del self.streams[stream.number]
        self.parting.pop(stream.number, None)
        kept = stream.kept
        self._plumbing.leave(stream)
        for flow in (stream.up, stream.down):
            self._close(flow)
            if flow.held and not kept:  # else: when the keeper has been told
                self._plumbing.drop(flow)
            flow.reading = flow.live = False
        seat = stream.seat
        seat.generation.up_bytes += stream.up.moved
        seat.generation.down_bytes += stream.down.moved
        assert stream.reason is not None
        stream.gate.ledger.end(stream.reason, seat.generation.conduct.ended)
        stream.gate.switchboard.release(seat)

    def _close(self, flow: Flow) -> None:
        """Nothing is to be done any more with the descriptor that the flow reads from."""
        if flow.source < 0:
            return
        if flow.mask and (flow.stream.kept or flow.stream.lent):
            # The keeper's copy keeps the file open. It would stay in the set, and be reported for ever under a number
            # that is somebody else's by then, with no way to take it out (epoll(7)).
            self._plumbing.epoll.unregister(flow.source)
        flow.mask = 0  # close(2) takes it out of the set, where nobody else holds it
        self.flows[flow.source] = None
        self._plumbing.close_later(flow.source)
        flow.source = -1
