"""The relay: bytes between clients and backends, in batches.

Its sockets are in an epoll set of its own. What is ready there is handled in a plain loop: the way of each message
through trio's scheduler would cost four times as much. :mod:`~frontdoor.traffic.host` makes the turns of that loop.

Bytes move by splice(2), socket → pipe → socket, and are never in this process's memory. The pipe is borrowed for one
move and given back empty; only a direction whose receiver is slow keeps one.

What must hold, and how the kernel tries to break it:

- HUP and ERR are reported for every registered descriptor, asked for or not. They never end a stream: only a read's 0
  or errno ends a direction. A descriptor that is not polled is not registered.
- A write that fails ends only that direction. The other one is delivered to its end first: a backend that answers an
  upload with 413 and closes has said something that the client must get to read.
- Descriptors are closed at the end of a batch: a number that is reused within it would get the events of its
  predecessor.
- This process may be killed between any two instructions, and another one goes on with what the keeper holds: streams
  that are ``kept``, pipes, words. So a pipe's owner word is written while the pipe is empty; bytes of a kept stream are
  in its sockets and in pipes, and nowhere else; none is thrown away that somebody could miss who goes on from there.
"""

import math
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import trio

from frontdoor import sockets
from frontdoor.http.websocket import Frames
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.ending import Ending
from frontdoor.traffic.framed import FramedFlow, follow
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.keeping import Keeping, Nobody
from frontdoor.traffic.pipes import DISCARD, Pipe
from frontdoor.traffic.plumbing import Left, Plumbing
from frontdoor.traffic.stream import DOWN, UP, Flow, Stream, is_hangup
from frontdoor.traffic.words import IN_HAND, Words

CHUNK = 1 << 20
"""Bytes asked for in one move: more than any pipe holds, so that the pipe's size decides."""

BATCH = 128
"""Events taken from the kernel at once. With half as many 500 busy connections were a tenth slower; for twice as many
Python allocates 3 KiB with each call, and one busy connection is slower."""

SPARE_PLACES = 1024
"""By how much the table of flows grows."""

NO_SEAT = Seat(Generation("", 0, 0.0), 0, "")
NO_GATE = Gate("", Switchboard(), Ledger(), Limits(0, math.inf, math.inf, math.inf, math.inf))
"""Where a stream is that is only expected."""

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_splice = os.splice
_clock = time.monotonic


class Relay:
    """All live streams, and the loop that moves their bytes."""

    def __init__(
        self, room: Callable[[int, int], bool], words: Words | None = None, keeping: Keeping | None = None
    ) -> None:
        """``room(streams, pipes)``: whether there are descriptors for so many of both.

        Without ``words`` and ``keeping`` all ends with this process, or until ``begin`` says where they are.
        """
        self._callbacks: dict[int, Callable[[], object]] = {}
        """Listeners, by descriptor."""
        self.words = words or Words.alone()
        self._owners = self.words.owners
        self.still = False
        """No byte moves for now (:mod:`~frontdoor.traffic.host`): nor does any stream end because its time is up."""
        self._streams: dict[int, Stream] = {}
        """By number, so the oldest first."""
        self._plumbing = Plumbing(lambda pipes: room(len(self), pipes), self.words, keeping or Nobody())
        self._ending = Ending(self._plumbing, self._streams)
        self._flows = self._ending.flows
        self._epoll = self._plumbing.epoll
        self._poll = self._epoll.poll
        self.when_room = self._plumbing.when_room
        self.discard = self._plumbing.discard
        self.replenish = self._plumbing.replenish
        self.close_later = self._plumbing.close_later
        self.close_now = self._plumbing.close_now
        self.look = self._plumbing.look
        self.now = time.monotonic()
        """When the last batch of events came, of the monotonic clock."""
        self.events = 0
        """How much has happened so far. While this stays the same, so does all that there is to say of the streams."""

    def __repr__(self) -> str:
        return f"<Relay of {len(self._streams)} streams, {self._plumbing}>"

    # -- what others call -------------------------------------------------------------------------------------------

    def begin(self, words: Words, keeping: Keeping, pipes: Sequence[Pipe] = ()) -> dict[int, Left]:
        """Before the first stream: who keeps what is made from here on, and the pipes that were kept before.

        These are the relay's from here on; each has an index of its own, below ``words.PIPES``.

        Returns what is in them, by the number of the stream: for ``adopt``. What nobody adopts is to be given to
        ``discard``: nobody knows where it belongs.
        """
        assert not self._streams
        if words is not self.words:
            self.words.close()
        self.words, self._owners = words, words.owners
        return self._plumbing.begin(words, keeping, pipes)

    def end(self) -> None:
        """Watch nothing any more, and never make another turn. Descriptors stay open."""
        self._epoll.close()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def streams(self) -> Iterator[Stream]:
        """The open streams, the oldest first."""
        return iter(list(self._streams.values()))

    @property
    def lacks_room(self) -> bool:
        """Something waits for a descriptor, and is tried again by ``replenish``."""
        return self._plumbing.lacks_room

    @property
    def newest(self) -> Iterator[Stream]:
        """The open streams, the newest first. None may come or go while they are looked at: it is no copy."""
        return reversed(self._streams.values())

    @property
    def parting(self) -> list[Stream]:
        """Streams of which one direction has ended."""
        return list(self._ending.parting.values())

    def of(self, generation: Generation) -> list[Stream]:
        """The open streams of a generation, the oldest first."""
        return [stream for stream in self._streams.values() if stream.seat.generation is generation]

    def listen(self, fd: int, ready: Callable[[], object], events: int = _IN) -> None:
        """Call ``ready`` whenever ``fd`` is readable, in the same loop as the streams' bytes. Twice is harmless.

        ``events``: what to wait for instead (epoll_ctl(2)); not nothing, for HUP and ERR would be reported for ever.
        """
        if fd not in self._callbacks:
            self._make_room(fd)
            self._epoll.register(fd, events)
        self._callbacks[fd] = ready

    def relisten(self, fd: int, events: int) -> None:
        """Wait for these events of ``fd`` from now on."""
        self._epoll.modify(fd, events)

    def unlisten(self, fd: int) -> None:
        """Stop watching ``fd``. It is harmless when nobody does."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def join(self, gate: Gate, seat: Seat, client: object, client_fd: int, backend_fd: int) -> Stream:
        """Make a stream of two connected, non-blocking sockets. They are the relay's from here on.

        Raises OSError when the kernel has no room for them (epoll_ctl(2): ENOMEM, ENOSPC); then the client's socket is
        the caller's again, and the backend's is closed.
        """
        try:
            self._plumbing.watch(client_fd, backend_fd)
        except OSError:
            os.close(backend_fd)
            raise
        words = self.words.view
        number = words[0] + 1
        words[0] = number  # in one place with those of the processes before and after this one
        return self._enter(Stream(number, gate, seat, client, (client_fd, backend_fd), time.monotonic()))

    def follow(self, stream: Stream, frames: Frames, farewell: bytes) -> None:
        """Follow the frames of what its backend says, so that a drain can end the stream between two of them.

        ``farewell``: the last frame for the client then. ``frames`` has been fed with what he has got already. To be
        called right after ``join``.
        """
        down = follow(stream, frames, farewell)
        self._flows[down.source] = down

    def expect(self, number: int, client: object, fds: tuple[int, int], since: float) -> Stream:
        """Make ready for a stream that another process has relayed, or still relays: nobody else notices.

        ``fds``: the client's socket and the backend's. It is adopted, or forgotten, before the next turn.

        Raises OSError when one of them cannot be watched; then they are the caller's again.
        """
        for fd in fds:
            os.set_blocking(fd, False)
        self._plumbing.watch(*fds)
        stream = Stream(number, NO_GATE, NO_SEAT, client, fds, since)
        stream.kept = True
        self._place(stream)
        return stream

    def forget(self, stream: Stream) -> None:
        """A stream that was expected does not come. Its descriptors are the caller's again."""
        for flow in (stream.up, stream.down):
            self._epoll.unregister(flow.source)
            self._flows[flow.source] = None

    def adopt(
        self, stream: Stream, gate: Gate, seat: Seat, moved: tuple[int, int], held: Mapping[int, tuple[Pipe, int]]
    ) -> None:
        """Go on with a stream that was expected, in the order of their numbers. It is the relay's from here on.

        ``moved``: bytes so far, up and down. ``held``: what is left in pipes of it, as ``begin`` has found it. A side
        that had finished, or has gone, will say so again.
        """
        words, number, up, down = self.words.view, stream.number, stream.up, stream.down
        words[IN_HAND] = up.word  # also this process may die of it, and here already
        stream.gate, stream.seat = gate, seat
        up.stamp = down.stamp = _clock()  # when that was, nobody knows: its silence begins now
        up.moved, down.moved = moved
        if number > words[0]:
            words[0] = number
        self._streams[number] = stream
        if held:
            for direction, flow in ((UP, up), (DOWN, down)):
                if direction in held:
                    flow.pipe, flow.held = held[direction]
                    flow.reading = False
            self._plumbing.arm(up)
            self._plumbing.arm(down)
        words[IN_HAND] = 0

    def _enter(self, stream: Stream) -> Stream:
        self._streams[stream.number] = stream
        self._place(stream)
        return stream

    def _place(self, stream: Stream) -> None:
        up, down = stream.up, stream.down
        self._make_room(max(up.source, down.source))
        self._flows[up.source], self._flows[down.source] = up, down

    def close(self, stream: Stream, reason: Reason, grace: float | None = None) -> None:
        """End a stream in order: what is in its pipe is delivered, then FIN, then a short goodbye.

        With a ``grace`` in seconds the goodbye lasts that long, and ends with RST. What is in the pipe has to be taken
        in as much time, so that a client who reads nothing is reset after it. Where frames are followed, the frame that
        has begun may be finished in as much time, too.
        """
        self.events += 1
        self._ending.force(stream, reason, grace)
        self._plumbing.close_now()

    def cut_short(self, stream: Stream) -> None:
        """The time for the end of a frame is over."""
        self.events += 1
        self._ending.cut_short(stream)
        self._plumbing.close_now()

    def reset(self, stream: Stream) -> None:
        """The time of a stream's goodbye is over: the client gets RST."""
        assert stream.reason is not None
        sockets.reset(stream.up.source)
        self.abandon(stream, stream.reason)

    def abandon(self, stream: Stream, reason: Reason) -> None:
        """End a stream at once, whatever is in its pipes. One that says goodbye has its reason already."""
        self.events += 1
        if stream.up.live:
            stream.reason = reason if stream.deadline is None else stream.reason
            self._ending.finish(stream)
            self._plumbing.close_now()

    def pour(self) -> bool:
        """Put into pipes what is in this process's memory, so that another one finds it; whether that was all.

        Nothing may move meanwhile.
        """
        pour = self._plumbing.pour
        poured = [pour(flow) for each in self._streams.values() for flow in (each.up, each.down) if flow.rest]
        return all(poured)

    def _make_room(self, fd: int) -> None:
        """In the table of flows, for a descriptor of this number."""
        lacking = fd + 1 - len(self._flows)
        if lacking > 0:
            self._flows.extend([None] * (lacking + SPARE_PLACES))

    # -- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Move bytes until cancelled, as a task among others: what :mod:`~frontdoor.traffic.host` does faster."""
        set_fd = self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(set_fd)
            self.turn(0)

    def turn(self, timeout: float | None) -> None:
        """Handle one batch of events. When there are none, wait for them: seconds, or None for ever."""
        ready = self._poll(timeout, BATCH)
        self.now = _clock()
        self.events += len(ready)
        flows, words = self._flows, self.words.view
        for fd, events in ready:
            flow = flows[fd]
            if flow is None:
                words[IN_HAND] = 0
                callback = self._callbacks.get(fd)
                if callback is not None:  # else: closed earlier in this batch
                    callback()
                continue
            words[IN_HAND] = flow.word
            if events != _IN and flow.twin.held:
                self._push(flow.twin)
            if flow.reading and events != _OUT:
                self._pull(flow, events)
            elif flow.tracked:
                self._pull_framed(flow, events)
            elif flow.ended and flow.live and is_hangup(events):
                self._ending.hung_up(flow)
        words[IN_HAND] = 0  # not if that was left by an exception: the process ends by it
        if self._plumbing.closing:
            self._plumbing.close_now()

    # -- moving bytes -----------------------------------------------------------------------------------------------

    def _pull(self, flow: Flow, events: int, most: int = CHUNK) -> None:
        """Take what the source has, as much as fits into a pipe, and pass it on. ``most``: bytes at the most."""
        pipe = self._plumbing.spare or self._plumbing.find(flow)
        if pipe is None:
            return
        self._owners[pipe.index] = flow.word
        try:
            count = _splice(flow.source, pipe.write, most, None, None, _FLAGS)
        except BlockingIOError:
            count = self._pull_by_hand(flow, pipe, most)
            if count < 0:
                return
        except OSError:
            self._ending.source_failed(flow)
            return
        if not count:
            self._ending.source_ended(flow, events)
            return
        flow.moved += count
        flow.stamp = self.now
        try:
            sent = _splice(pipe.read, flow.sink, count, None, None, _FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = _splice(pipe.read, DISCARD, count)  # first: this pipe serves the next stream
            self._ending.sink_failed(flow)
        if sent != count:
            # The receiver is slow: this direction keeps the pipe, and its source is not read until it is empty.
            self._plumbing.hold(flow, count - sent)

    def _pull_framed(self, flow: Flow, events: int) -> None:
        """The same where frames are followed: no more than is known, and what was moved is told."""
        assert isinstance(flow, FramedFlow)
        if not flow.polled or events == _OUT:
            if flow.ended and flow.live and is_hangup(events):
                self._ending.hung_up(flow)
            return
        try:
            most = flow.look_ahead()
        except OSError:
            self._ending.source_failed(flow)
            return
        before = flow.moved
        self._pull(flow, events, most)
        flow.passed(flow.moved - before)
        if flow.leaving is not None:
            self._ending.part(flow)

    def _pull_by_hand(self, flow: Flow, pipe: Pipe, most: int) -> int:
        """Read and write instead of splice; the count, -1 for nothing.

        With one byte of urgent data in the queue splice says EAGAIN for ever although the socket is readable, even
        with SO_OOBINLINE, and a level-triggered loop would burn a core. A plain read steps over the mark.
        """
        if not self._plumbing.take_back(flow.stream):
            return -1  # for an instant the bytes are in memory alone; it is reported again
        try:
            # A page: an empty pipe always takes that much without blocking (pipe(7)).
            data = sockets.receive(flow.source, min(most, 4096))
        except BlockingIOError:
            return -1
        except OSError:
            self._ending.source_failed(flow)
            return -1
        return os.write(pipe.write, data) if data else 0

    def _push(self, flow: Flow) -> None:
        """The sink has room: go on with what the pipe holds."""
        pipe = flow.pipe
        try:
            if pipe is not None:
                sent = _splice(pipe.read, flow.sink, flow.held, flags=_FLAGS)
            else:
                sent = os.write(flow.sink, flow.rest)
                flow.rest = flow.rest[sent:]
        except BlockingIOError:
            return
        except OSError:
            self._ending.sink_failed(flow)
            return
        flow.held -= sent
        flow.stamp = self.now
        if flow.held:
            return
        self._plumbing.let_go(flow)
        if flow.stream.deadline is not None and flow is flow.stream.down:
            self._ending.last_delivered(flow)
            return
        flow.reading = True
        self._plumbing.arm(flow)
        self._plumbing.arm(flow.twin)
