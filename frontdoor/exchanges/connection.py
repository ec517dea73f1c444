"""A connection of an http door, to a client or to a backend: a socket, and what the other side has not taken yet."""

import os
import select

from frontdoor import sockets
from frontdoor.exchanges.pipes import Pipe, Pipes
from frontdoor.traffic.relay import Relay

READ = 64 << 10
"""Bytes asked for in one read."""

CHUNK = 1 << 20
"""Bytes asked for in one splice: more than a pipe holds, so that the pipe's size decides."""

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_write = os.write
_splice = os.splice


class Connection:
    """One non-blocking socket, watched by the relay's loop."""

    __slots__ = ("_held", "_mask", "_out", "_pipe", "deaf", "fd", "reading", "relay", "waits")

    def __init__(self, relay: Relay, fd: int) -> None:
        """The socket is this one's from here on. Raises OSError when it cannot be watched; then it is the caller's."""
        self.relay = relay
        self.fd = fd
        """-1: it is closed."""
        self.waits = False
        """Something is to be sent that was not taken yet. While that is so, no more is read from the other side."""
        self.deaf = False
        """The other side takes nothing any more; what is sent is thrown away."""
        self.reading = True
        """What comes is to be read now."""
        self._out = b""
        self._pipe: Pipe | None = None
        self._held = 0
        """So many bytes are in the pipe, behind those in ``_out``."""
        self._mask = _IN
        relay.listen(fd, self.ready)

    def ready(self) -> None:
        """The kernel has something to say of it."""
        raise NotImplementedError

    def arm(self) -> None:
        """Have it watched for what is wanted now.

        With nothing wanted it is not watched at all: HUP would be reported again and again.
        """
        wanted = (_IN if self.reading else 0) | (_OUT if self.waits else 0)
        if wanted == self._mask or self.fd < 0:
            return
        if not wanted:
            self.relay.unlisten(self.fd)
        elif self._mask:
            self.relay.relisten(self.fd, wanted)
        else:
            self.relay.listen(self.fd, self.ready, wanted)
        self._mask = wanted

    def read(self, wanted: bool, /) -> None:
        """Read, or do not, until said otherwise."""
        if self.reading is not wanted:
            self.reading = wanted
            self.arm()

    def send(self, data: bytes) -> None:
        """Send this, behind what waits already."""
        if self.deaf:
            return
        if self.waits:
            assert not self._held, "what is in the pipe would be overtaken"
            self._out += data
            return
        try:
            sent = _write(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.deaf = True
            return
        if sent != len(data):
            self._out, self.waits = data[sent:], True
            self.arm()

    def pour(self, source: int, most: int, pipes: Pipes) -> int:
        """Send what can be read from the socket ``source``, at most so many bytes, without looking at it.

        How many were read: 0 at its end; -1 if there was no pipe to be had. Nothing may wait here. Raises OSError when
        reading fails, BlockingIOError when there was nothing.
        """
        pipe = pipes.take()
        if pipe is None:
            return -1
        try:
            count = _splice(source, pipe.write, min(most, CHUNK), flags=_FLAGS)
        except OSError:
            pipes.give(pipe)
            raise
        try:
            sent = _splice(pipe.read, self.fd, count, flags=_FLAGS) if count else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.deaf = True
            pipe.close()
            return count
        if sent == count:
            pipes.give(pipe)
        else:
            self._pipe, self._held, self.waits = pipe, count - sent, True
            self.arm()
        return count

    @property
    def behind(self) -> int:
        """Bytes that the other side has not taken: what waits here, and what the kernel has of it."""
        return len(self._out) + self._held + (sockets.unsent(self.fd) if self.fd >= 0 else 0)

    def flush(self, pipes: Pipes) -> bool:
        """Go on sending what waits; whether that was all."""
        try:
            if self._out:
                self._out = self._out[_write(self.fd, self._out) :]
            elif self._pipe is not None:
                self._held -= _splice(self._pipe.read, self.fd, self._held, flags=_FLAGS)
        except BlockingIOError:
            return False
        except OSError:
            self.deaf, self._out = True, b""
            self._discard()
        if self._pipe is not None and not self._held:
            pipes.give(self._pipe)
            self._pipe = None
        if not self._out and not self._held:
            self.waits = False
            self.arm()
        return not self.waits

    def move(self, relay: Relay) -> None:
        """That relay watches it from here on; the one of before is never asked again."""
        self.relay = relay
        if self._mask:
            relay.listen(self.fd, self.ready, self._mask)

    def descriptors(self) -> list[int]:
        """Those that it has."""
        pipe = self._pipe
        return [self.fd, *((pipe.read, pipe.write) if pipe is not None else ())]

    def leave(self) -> int:
        """The socket is somebody else's from here on: its descriptor."""
        fd, self.fd = self.fd, -1
        if self._mask:
            self.relay.unlisten(fd)
            self._mask = 0
        return fd

    def close(self) -> None:
        """Close it, at the end of the batch. Twice is harmless."""
        if self.fd >= 0:
            self.relay.close_later(self.leave())
            self._discard()

    def _discard(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe, self._held = None, 0
