"""Words that outlive the door process: whose bytes are in which pipe, and how far a stream has come.

They are in a memfd that the keeper holds too, mapped into this process: a store is all that it takes to say something,
and it is said even if the process is killed in the next instant.

=====================  =========================================================================================
word                   is
=====================  =========================================================================================
0                      the highest number that a stream was given so far
1                      whose bytes are in hand: the flow's word, as for a pipe; 0 between two batches. So the next door
                       process knows what this one died of
2 + a pipe's index     whose bytes are in that pipe: the stream's number and the direction (``Flow.word``).
                       Written before each move into it, while it is empty; it means something only while it is not
then, three a slot     the tally of a stream: its number, bytes up, bytes down
=====================  =========================================================================================
"""

import mmap
import os

PIPES = 4096
"""Pipes that there may be: each has a word."""

SLOTS = 1 << 15
"""Streams whose bytes are tallied. Memory that nobody has written to costs nothing."""

IN_HAND = 1
_FIRST_PIPE = 2
_FIRST_SLOT = _FIRST_PIPE + PIPES

LAST_STREAM = (1 << 62) - 1
"""The highest number that a stream may be found with. With its direction it must fit into a word, and so must those of
all who come after it."""

SIZE = 8 * (_FIRST_SLOT + 3 * SLOTS)
"""Bytes of the memory."""


class Words:
    """The memory. One door process writes at a time."""

    PIPES, SLOTS = PIPES, SLOTS

    def __init__(self, fd: int, memory: mmap.mmap) -> None:
        self.fd = fd
        """Of the memfd; -1: nobody else can see it."""
        self._memory = memory
        self.view = memoryview(memory).cast("Q")
        """All words."""
        self.owners = self.view[_FIRST_PIPE:_FIRST_SLOT]
        """The pipes' words alone, by their indexes."""

    def __repr__(self) -> str:
        return f"<Words up to stream {self.last_stream}>"

    @classmethod
    def create(cls) -> "Words":
        """New ones, all zero. Raises OSError as memfd_create(2)."""
        fd = os.memfd_create("frontdoor-words", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, SIZE)
            return cls(fd, mmap.mmap(fd, SIZE))
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def open(cls, fd: int) -> "Words":
        """Those of the door process before this one; ``fd`` is theirs from here on.

        Raises ValueError, and leaves ``fd`` alone, when it is not the memory that ``create`` makes; OSError as mmap(2).
        """
        size = os.fstat(fd).st_size
        if size != SIZE:
            raise ValueError(f"{size} bytes, not {SIZE}")
        return cls(fd, mmap.mmap(fd, SIZE))

    @classmethod
    def alone(cls) -> "Words":
        """Words that end with this process: for a relay that nobody would restore."""
        return cls(-1, mmap.mmap(-1, SIZE))

    def close(self) -> None:
        """Give the memory back. Nobody may use a view of it any more, and who does gets a ValueError."""
        self.owners.release()
        self.view.release()
        self._memory.close()
        if self.fd >= 0:
            os.close(self.fd)

    @property
    def last_stream(self) -> int:
        """The highest number that a stream was given so far."""
        return self.view[0]

    @last_stream.setter
    def last_stream(self, number: int) -> None:
        self.view[0] = number

    def owner(self, index: int) -> int:
        """Whose bytes are in the pipe of this index, if there are any: ``number << 1 | direction``."""
        return self.owners[index]

    def tally(self, slot: int) -> tuple[int, int, int]:
        """A stream's number, and its bytes up and down; the number is 0 when nobody has the slot."""
        first = _FIRST_SLOT + 3 * slot
        number, up, down = self.view[first : first + 3]
        return number, up, down

    def tallies(self, slots: int) -> list[int]:
        """The tallies of the first ``slots`` slots, three numbers each: as ``tally``, but for thousands at once."""
        return self.view[_FIRST_SLOT : _FIRST_SLOT + 3 * slots].tolist()

    def set_tally(self, slot: int, number: int, up: int, down: int) -> None:
        """Write a tally. One that a crash interrupts is nobody's: not half of this stream and half of another."""
        first, view = _FIRST_SLOT + 3 * slot, self.view
        view[first] = 0
        view[first + 1] = up
        view[first + 2] = down
        view[first] = number
