"""What the relay's flows run through: the epoll set, the pipes, and the descriptors' end."""

import os
import select
from collections.abc import Callable

from frontdoor.traffic.pipes import DISCARD, Pipe, Pool
from frontdoor.traffic.stream import Flow


def _read_all(fd: int, count: int) -> bytes:
    """Take ``count`` bytes that are in a pipe. More than one read: each gives what one splice has put in."""
    data = b""
    while len(data) < count:
        data += os.read(fd, count - len(data))
    return data


class Plumbing:
    """Registers flows for what they want, lends them pipes, and closes descriptors when it is safe to.

    ``spare`` is the pipe through which every move goes. It is empty between two moves; None: there is none to be had,
    and flows that would need it starve until one comes back.
    """

    def __init__(self, room: Callable[[int], bool]) -> None:
        """``room(n)``: whether there are descriptors for an nth pipe."""
        self.epoll = select.epoll()
        self._pool = Pool(room)
        self.spare: Pipe | None = self._pool.take()
        self._starved: list[Flow] = []
        self.closing: list[int] = []
        """Descriptors that are closed at the end of the batch."""
        self._waiting: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<Plumbing {self._pool}, {len(self._starved)} starved>"

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
        """
        pipe = self.spare
        assert pipe is not None
        another = self._pool.take()
        if another is None:
            flow.rest = _read_all(pipe.read, count)
        else:
            flow.pipe, self.spare = pipe, another
        flow.held, flow.reading = count, False
        self.arm(flow)
        self.arm(flow.twin)

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

    def starve(self, flow: Flow) -> None:
        """There is no pipe to be had: the flow is not read until one comes back."""
        flow.reading = False
        self.arm(flow)
        self._starved.append(flow)

    def _feed(self) -> None:
        starved, self._starved = self._starved, []
        for flow in starved:
            if flow.live and not flow.ended:
                flow.reading = True
                self.arm(flow)

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
            os.close(fd)
        self.replenish()

    def when_room(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once, when a stream has ended and its descriptors are closed, or at the next sweep."""
        self._waiting.append(callback)

    @property
    def lacks_room(self) -> bool:
        """Something waits for a descriptor."""
        return self.spare is None or bool(self._waiting)

    def replenish(self) -> None:
        """Try again what there was no descriptor for: a pipe, or accepting."""
        if self.spare is None:
            self.spare = self._pool.take()
            if self.spare is not None:
                self._feed()
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
