"""Kernel pipes, pooled: what bytes go through on their way from one socket to the other (splice(2))."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable, Iterable

KEPT = 64
"""Empty pipes that are kept for the next slow receiver. More are closed: each may be 64 KiB of a user's pipe budget."""

WIDE, WIDE_ONES = 256 << 10, 16
"""Bytes that the first so many pipes hold, instead of 64 KiB: a tenth more throughput in bulk. Not all of them: a user
who is not root has 64 MiB of pipes in all, and past that his new ones hold 8 KiB (pipe(7))."""

DISCARD = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
"""Where bytes go that nobody can receive any more. Splicing into it frees them without copying."""


class Pipe:
    """One pipe. It is either empty and in the pool, or borrowed by the one direction whose bytes are in it."""

    __slots__ = ("index", "read", "write")

    def __init__(self, index: int, fds: tuple[int, int] | None = None) -> None:
        """``fds``: both ends of one that there is already; without them it is made. Raises OSError as pipe(2)."""
        self.index = index
        """Its name among those that are open: the number of its owner word, and in its key with the keeper."""
        if fds is None:
            self.read, self.write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        else:
            self.read, self.write = fds
            for fd in fds:
                os.set_blocking(fd, False)  # the flag is everybody's who has a copy: make sure of it

    def __repr__(self) -> str:
        return f"<Pipe {self.index}: {self.read}←{self.write}>"

    def count(self) -> int:
        """How many bytes are in it. Raises OSError when it is no pipe."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.read, termios.FIONREAD, bytes(4)))
        return int(count)

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


def _kept(pipe: Pipe) -> bool:
    return True


def _lost(pipe: Pipe) -> None:
    return None


class Pool:
    """Empty pipes, and the limit to how many there may be."""

    def __init__(
        self,
        room: Callable[[int], bool],
        words: memoryview,
        keep: Callable[[Pipe], bool] = _kept,
        lose: Callable[[Pipe], object] = _lost,
    ) -> None:
        """``room(n)``: whether there are descriptors for an nth pipe. ``words``: the owner word of each that can be.

        ``keep`` is told of a pipe when it is made; if it says no, there is none. ``lose`` is told when one is closed.
        """
        self._room = room
        self._words = words
        self._keep, self._lose = keep, lose
        self._indexes = list(range(len(words) - 1, -1, -1))
        """Those that no pipe has."""
        self._free: list[Pipe] = []
        self.made = 0
        """Pipes that exist, borrowed ones included."""

    def __repr__(self) -> str:
        return f"<Pool of {self.made} pipes, {len(self._free)} free>"

    def take(self, beyond: int = 0) -> Pipe | None:
        """An empty pipe; None when there is none to be had: the limit, the kernel's (EMFILE, ENFILE), or not kept.

        ``beyond``: so many there may be past the limit.
        """
        if self._free:
            return self._free.pop()
        if not self._indexes or (self.made and not self._room(self.made + 1 - beyond)):
            return None  # but one there is, or not a byte would move
        try:
            pipe = Pipe(self._indexes[-1])
        except OSError:
            return None
        self._words[pipe.index] = 0  # before anybody can find it: its namesake's last owner is not its own
        if not self._keep(pipe):
            pipe.close()
            return None
        self._indexes.pop()
        if self.made < WIDE_ONES:
            pipe.widen()
        self.made += 1
        return pipe

    def adopt(self, pipes: Iterable[Pipe]) -> None:
        """These exist already, before the first is made, and all are lent out."""
        assert not self.made
        taken = {pipe.index for pipe in pipes}
        self._indexes = [index for index in self._indexes if index not in taken]
        self.made = len(taken)

    def restock(self, pipe: Pipe) -> None:
        """An empty pipe of the process before this one: it may have to go on with all of them: none is closed yet."""
        self._free.append(pipe)

    def trim(self) -> None:
        """Close those that are too many."""
        while len(self._free) > KEPT:
            self.discard(self._free.pop())

    def give(self, pipe: Pipe) -> None:
        """Give back an *empty* pipe."""
        if len(self._free) < KEPT:
            self._free.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Give back a pipe that has bytes in it: they go with it, and can never reach another stream."""
        pipe.close()
        self._lose(pipe)
        self._indexes.append(pipe.index)
        self.made -= 1
