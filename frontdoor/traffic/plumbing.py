"""What the relay's flows run through: the epoll set, the pipes, and the descriptors' end."""

import os
import select
from collections.abc import Callable, Sequence

from frontdoor.traffic.keeping import Keeping
from frontdoor.traffic.pipes import DISCARD, Pipe, Pool
from frontdoor.traffic.stream import Flow, Stream
from frontdoor.traffic.words import Words

Left = dict[int, tuple[Pipe, int]]
"""What is left in pipes of one stream: by direction, the pipe and how many bytes."""

PIPE = 64 << 10
"""Bytes that a pipe holds, where the user has pipes left (pipe(7))."""

BEYOND = 64
"""Pipes past the limit, for bytes that would be lost without. The limit leaves 256 descriptors for other things."""

DROPS = 256
"""Streams that the keeper is asked to drop in one message."""


def _read_all(fd: int, count: int) -> bytes:
    """Take ``count`` bytes that are in a pipe. More than one read: each gives what one splice has put in."""
    data = b""
    while len(data) < count:
        data += os.read(fd, count - len(data))
    return data


class Plumbing:
    """Registers flows for what they want, lends them pipes, and closes descriptors when it is safe to.

    ``spare`` is the pipe through which every move goes. It is empty between two moves; None: there is none to be had,
    and flows that would need it starve until one comes back. At first there is none because nobody has needed it.
    """

    def __init__(self, room: Callable[[int], bool], words: Words, keeping: Keeping) -> None:
        """``room(n)``: whether there are descriptors for an nth pipe."""
        self.epoll = select.epoll()
        self._room = room
        self.spare: Pipe | None = None
        self._starved: list[Flow] = []
        self._leaving: list[Stream] = []
        """Streams that the keeper is to drop, and has not been told of yet."""
        self.begin(words, keeping, ())
        self.closing: list[int] = []
        """Descriptors that are closed at the end of the batch."""
        self._waiting: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<Plumbing {self._pool}, {len(self._starved)} starved>"

    def begin(self, words: Words, keeping: Keeping, pipes: Sequence[Pipe]) -> dict[int, Left]:
        """Before anything moves: who keeps what is made from here on, and the pipes that he has of earlier times.

        Returns what is in these, by the number of the stream. Those that are empty are as good as new.
        """
        self._keeping, self._owners = keeping, words.owners
        if self.spare is not None:
            self.spare.close()  # made while nobody kept anything: what went through it would be lost in a crash
            self.spare = None
        self._pool = Pool(self._room, words.owners, keeping.keep_pipe, keeping.lose_pipe)
        self._pool.adopt(pipes)
        left: dict[int, Left] = {}
        for pipe in pipes:
            try:
                count = pipe.count()
            except OSError:
                self._pool.discard(pipe)  # it is no pipe
                continue
            if count:
                number, direction = divmod(words.owner(pipe.index), 2)
                left.setdefault(number, {})[direction] = (pipe, count)
            else:
                self._pool.restock(pipe)
        return left

    # -- registrations ----------------------------------------------------------------------------------------------

    def arm(self, flow: Flow) -> None:
        """Register the source's descriptor for what is wanted now, and for nothing if that is nothing."""
        wanted, mask = flow.wanted, flow.mask
        if wanted == mask:
            return
        if not mask:
            self.epoll.register(flow.source, wanted)
        elif not wanted:
            self.epoll.unregister(flow.source)
        else:
            self.epoll.modify(flow.source, wanted)
        flow.mask = wanted

    def watch(self, client: int, backend: int) -> None:
        """Register both descriptors of a new stream for reading.

        Raises OSError when the kernel has no room for them (epoll_ctl(2): ENOMEM, ENOSPC), and then neither is.
        """
        self.epoll.register(client, select.EPOLLIN)
        try:
            self.epoll.register(backend, select.EPOLLIN)
        except OSError:
            self.epoll.unregister(client)
            raise

    # -- pipes ------------------------------------------------------------------------------------------------------

    def hold(self, flow: Flow, count: int) -> None:
        """The receiver is slow: the flow keeps the spare pipe with ``count`` bytes in it, and is not read.

        The last pipe is not given away, or a number of slow receivers would stop everybody: its bytes go into memory.
        The stream dies with this process from then on, so the keeper drops it first. If it cannot be told now, because
        the wire to it is full, then all have to wait for a pipe after all.
        """
        pipe = self.spare
        assert pipe is not None
        another = self._pool.take()
        if another is None and self.take_back(flow.stream):
            flow.rest = _read_all(pipe.read, count)
        else:
            flow.pipe, self.spare = pipe, another
        flow.held, flow.reading = count, False
        self.arm(flow)
        self.arm(flow.twin)

    def pour(self, flow: Flow) -> bool:
        """Put into a pipe what the flow has in memory, while nothing moves; False: there is none, or it does not fit.

        For an instant there may be more pipes than the limit allows: all of it is another process's soon.
        """
        if not flow.rest:
            return True
        pipe = self._pool.take(BEYOND)
        if pipe is None:
            return False
        self._owners[pipe.index] = flow.word  # while it is empty
        if len(flow.rest) > PIPE:
            pipe.widen()
        if os.write(pipe.write, flow.rest) < len(flow.rest):
            self._pool.discard(pipe)  # the user's budget of pipes is used up (pipe(7))
            return False
        flow.pipe, flow.rest = pipe, b""
        return True

    def fill(self, flow: Flow, data: bytes) -> Pipe | None:
        """The spare pipe, with this in it for the flow's sink; None: there is none. ``data``: less than a page."""
        pipe = self.spare or self.find(flow)
        if pipe is not None:
            self._owners[pipe.index] = flow.word  # while it is empty
            os.write(pipe.write, data)
        return pipe

    def let_go(self, flow: Flow) -> None:
        """What the flow held has been delivered: its pipe, if it has one, is empty again."""
        pipe, flow.pipe = flow.pipe, None
        if pipe is None:
            return
        if self.spare is None:
            self.spare = pipe
            self._feed()
        else:
            self._pool.give(pipe)

    def drop(self, flow: Flow) -> None:
        """Nobody will receive what the flow's pipe holds: it is freed, and the pipe is as new."""
        while flow.held and flow.pipe is not None:
            flow.held -= os.splice(flow.pipe.read, DISCARD, flow.held)
        flow.held, flow.rest = 0, b""
        self.let_go(flow)

    def find(self, flow: Flow) -> Pipe | None:
        """A spare pipe, when there was none; None: the flow starves, and is not read until there is one."""
        self.spare = self._pool.take()
        if self.spare is None:
            flow.reading = False
            self.arm(flow)
            self._starved.append(flow)
        elif self._starved:
            self._feed()  # the others that there was none for
        return self.spare

    def discard(self, pipe: Pipe) -> None:
        """Nobody knows whose the bytes in this pipe are: they go, and it goes with them."""
        self._pool.discard(pipe)

    def _feed(self) -> None:
        starved, self._starved = self._starved, []
        for flow in starved:
            if flow.live and not flow.ended:
                flow.reading = True
                self.arm(flow)

    # -- what the keeper has copies of ------------------------------------------------------------------------------

    def leave(self, stream: Stream) -> None:
        """The keeper is to drop the stream, at the end of the batch; then it is closed."""
        if stream.kept:
            stream.kept, stream.lent = False, True
            self._leaving.append(stream)

    def take_back(self, stream: Stream) -> bool:
        """The keeper is to drop the stream now, before something happens to it that must not happen to a kept one.

        Whether it could be told; if not, it still has the stream.
        """
        if not stream.kept:
            return True
        if not self._keeping.drop([stream]):
            return False
        stream.kept, stream.lent = False, True
        return True

    def _part(self) -> None:
        """Tell the keeper whom to drop. What it cannot be told now is tried again by ``replenish``."""
        while self._leaving and self._keeping.drop(self._leaving[:DROPS]):
            told, self._leaving = self._leaving[:DROPS], self._leaving[DROPS:]
            for stream in told:
                for flow in (stream.up, stream.down):
                    if flow.held and not flow.live:
                        # Not sooner: who is restored must not miss bytes in the middle of what it says.
                        self.drop(flow)

    # -- descriptors ------------------------------------------------------------------------------------------------

    def close_later(self, fd: int) -> None:
        """Close ``fd`` at the end of the batch: a number reused within it would get its predecessor's events."""
        self.closing.append(fd)

    def close_now(self) -> None:
        """The end of a batch."""
        if not self.closing:
            return
        closing, self.closing = self.closing, []
        for fd in closing:
            os.close(fd)  # of a stream that is kept, this sends no FIN: the keeper's copy is the last one
        self.replenish()

    def when_room(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once, when a stream has ended and its descriptors are closed, or at the next sweep."""
        self._waiting.append(callback)

    @property
    def lacks_room(self) -> bool:
        """Something waits for a descriptor, or for room in the wire to the keeper."""
        return bool(self._starved or self._waiting or self._leaving)

    def look(self, now: float) -> None:
        """Some time has passed: who keeps streams may have something to do (``now``: of the monotonic clock)."""
        self._keeping.look(now)

    def replenish(self) -> None:
        """Try again what there was no descriptor for, a pipe or accepting; and what the keeper could not be told."""
        self._part()
        if self.spare is None:
            self.spare = self._pool.take()
            if self.spare is not None:
                self._feed()
        self._pool.trim()
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
