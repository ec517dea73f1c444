"""Pipes for big bodies: bytes that nobody here looks at go from socket to socket through one, inside the kernel."""

import os
from dataclasses import dataclass

MOST = 64
"""Pipes at once. A user has 1,024 of the usual size (pipe(7)), and those are for the streams; beyond these few, bodies
are read and written."""


@dataclass(eq=False, slots=True)
class Pipe:
    """One pipe, by the descriptors of its ends."""

    read: int
    write: int
    owner: "Pipes"

    def close(self) -> None:
        """Close it, with what is in it."""
        os.close(self.read)
        os.close(self.write)
        self.owner.made -= 1


class Pipes:
    """They are made when they are needed, and kept."""

    def __init__(self, most: int = MOST) -> None:
        self._most = min(most, MOST)
        self.made = 0
        """That are open."""
        self._free: list[Pipe] = []

    def __repr__(self) -> str:
        return f"<Pipes: {self.made}, {len(self._free)} of them free>"

    def take(self) -> Pipe | None:
        """An empty one; None: there is none to be had."""
        if self._free:
            return self._free.pop()
        if self.made >= self._most:
            return None
        try:
            read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        self.made += 1
        return Pipe(read, write, self)

    def descriptors(self) -> list[int]:
        """Of those that nobody uses just now."""
        return [fd for pipe in self._free for fd in (pipe.read, pipe.write)]

    def give(self, pipe: Pipe) -> None:
        """It is empty, and not needed."""
        self._free.append(pipe)

    def trim(self) -> None:
        """Close one that nobody has needed lately, if there is one."""
        if self._free:
            self._free.pop(0).close()
