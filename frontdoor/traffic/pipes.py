"""Kernel pipes, pooled: what bytes go through on their way from one socket to the other (splice(2))."""

import fcntl
import os
from collections.abc import Callable

KEPT = 64
"""Empty pipes that are kept for the next slow receiver. More are closed: each may be 64 KiB of a user's pipe budget."""

WIDE, WIDE_ONES = 256 << 10, 16
"""Bytes that the first so many pipes hold, instead of 64 KiB: a tenth more throughput in bulk. Not all of them: a user
who is not root has 64 MiB of pipes in all, and past that his new ones hold 8 KiB (pipe(7))."""

DISCARD = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
"""Where bytes go that nobody can receive any more. Splicing into it frees them without copying."""


class Pipe:
    """One pipe. It is either empty and in the pool, or borrowed by the one direction whose bytes are in it."""

    __slots__ = ("read", "write")

    def __init__(self) -> None:
        self.read, self.write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __repr__(self) -> str:
        return f"<Pipe {self.read}←{self.write}>"

    def widen(self) -> None:
        """Let it hold ``WIDE`` bytes, if the kernel allows that."""
        try:
            fcntl.fcntl(self.write, fcntl.F_SETPIPE_SZ, WIDE)
        except OSError:
            pass  # EPERM: the user's budget is used up; it works as it is

    def close(self) -> None:
        """Close both ends, with what is in it."""
        os.close(self.read)
        os.close(self.write)


class Pool:
    """Empty pipes, and the limit to how many there may be."""

    def __init__(self, room: Callable[[int], bool]) -> None:
        """``room(n)``: whether there are descriptors for an nth pipe."""
        self._room = room
        self._free: list[Pipe] = []
        self.made = 0
        """Pipes that exist, borrowed ones included."""

    def __repr__(self) -> str:
        return f"<Pool of {self.made} pipes, {len(self._free)} free>"

    def take(self) -> Pipe | None:
        """An empty pipe; None when there is none to be had: the limit, or the kernel's (EMFILE, ENFILE)."""
        if self._free:
            return self._free.pop()
        if self.made and not self._room(self.made + 1):
            return None  # but one there is, or not a byte would move
        try:
            pipe = Pipe()
        except OSError:
            return None
        if self.made < WIDE_ONES:
            pipe.widen()
        self.made += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Give back an *empty* pipe."""
        if len(self._free) < KEPT:
            self._free.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Give back a pipe that has bytes in it: they go with it, and can never reach another stream."""
        pipe.close()
        self.made -= 1
