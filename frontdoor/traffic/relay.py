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
"""

import itertools
import os
import select
import time
from collections.abc import Callable, Iterator

import trio

from frontdoor import sockets
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import Ending
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.pipes import DISCARD, Pipe
from frontdoor.traffic.plumbing import Plumbing
from frontdoor.traffic.stream import Flow, Stream, is_hangup

CHUNK = 1 << 20
"""Bytes asked for in one move: more than any pipe holds, so that the pipe's size decides."""

BATCH = 128
"""Events taken from the kernel at once. With half as many 500 busy connections were a tenth slower; for twice as many
Python allocates 3 KiB with each call, and one busy connection is slower."""

SPARE_PLACES = 1024
"""By how much the table of flows grows."""

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_splice = os.splice
_clock = time.monotonic


class Relay:
    """All live streams, and the loop that moves their bytes."""

    def __init__(self, room: Callable[[int, int], bool]) -> None:
        """``room(streams, pipes)``: whether there are descriptors for so many of both."""
        self._callbacks: dict[int, Callable[[], object]] = {}
        """Listeners, by descriptor."""
        self._numbers = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        """By number, so the oldest first."""
        self._plumbing = Plumbing(lambda pipes: room(len(self), pipes))
        self._ending = Ending(self._plumbing, self._streams)
        self._flows = self._ending.flows
        self._epoll = self._plumbing.epoll
        self._poll = self._epoll.poll
        self.when_room = self._plumbing.when_room
        self.replenish = self._plumbing.replenish
        self.close_later = self._plumbing.close_later
        self.close_now = self._plumbing.close_now
        self.now = time.monotonic()
        """When the last batch of events came, of the monotonic clock."""

    def __repr__(self) -> str:
        return f"<Relay of {len(self._streams)} streams, {self._plumbing}>"

    # -- what others call -------------------------------------------------------------------------------------------

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
    def parting(self) -> list[Stream]:
        """Streams of which one direction has ended."""
        return list(self._ending.parting.values())

    def of(self, generation: Generation) -> list[Stream]:
        """The open streams of a generation, the oldest first."""
        return [stream for stream in self._streams.values() if stream.seat.generation is generation]

    def listen(self, fd: int, ready: Callable[[], object]) -> None:
        """Call ``ready`` whenever ``fd`` is readable, in the same loop as the streams' bytes. Twice is harmless."""
        if fd not in self._callbacks:
            self._make_room(fd)
            self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = ready

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
        stream = Stream(next(self._numbers), gate, seat, client, (client_fd, backend_fd), time.monotonic())
        self._streams[stream.number] = stream
        self._make_room(max(backend_fd, client_fd))
        self._flows[client_fd] = stream.up
        self._flows[backend_fd] = stream.down
        return stream

    def close(self, stream: Stream, reason: Reason) -> None:
        """End a stream in order: what is in its pipe is delivered, then FIN, then a short goodbye."""
        self._ending.force(stream, reason)
        self._plumbing.close_now()

    def abandon(self, stream: Stream, reason: Reason) -> None:
        """End a stream at once, whatever is in its pipes. One that says goodbye has its reason already."""
        if stream.up.live:
            stream.reason = reason if stream.deadline is None else stream.reason
            self._ending.finish(stream)
            self._plumbing.close_now()

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
        flows = self._flows
        for fd, events in ready:
            flow = flows[fd]
            if flow is None:
                callback = self._callbacks.get(fd)
                if callback is not None:  # else: closed earlier in this batch
                    callback()
                continue
            if events != _IN and flow.twin.held:
                self._push(flow.twin)
            if flow.reading and events != _OUT:
                self._pull(flow, events)
            elif flow.ended and flow.live and is_hangup(events):
                self._ending.hung_up(flow)
        if self._plumbing.closing:
            self._plumbing.close_now()

    # -- moving bytes -----------------------------------------------------------------------------------------------

    def _pull(self, flow: Flow, events: int) -> None:
        """Take what the source has, as much as fits into a pipe, and pass it on."""
        pipe = self._plumbing.spare
        if pipe is None:
            self._plumbing.starve(flow)
            return
        try:
            count = _splice(flow.source, pipe.write, CHUNK, None, None, _FLAGS)
        except BlockingIOError:
            count = self._pull_by_hand(flow, pipe)
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

    def _pull_by_hand(self, flow: Flow, pipe: Pipe) -> int:
        """Read and write instead of splice; the count, -1 for nothing.

        With one byte of urgent data in the queue splice says EAGAIN for ever although the socket is readable, even
        with SO_OOBINLINE, and a level-triggered loop would burn a core. A plain read steps over the mark.
        """
        try:
            # A page: an empty pipe always takes that much without blocking (pipe(7)).
            data = sockets.receive(flow.source, 4096)
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
