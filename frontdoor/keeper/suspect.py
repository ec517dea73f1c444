"""Which stream a door process had in hand when it died."""

import fcntl
import os
import struct

from frontdoor.keeper.vault import Entry

KEY = "words"
"""Where a door process keeps its words. The note says which byte the one begins at that says what is in hand."""

_WORD = struct.Struct("Q")


def in_hand(words: Entry | None) -> int:
    """The number of the stream; 0: none, or it is not known.

    It is told once: whoever dies before it has anything in hand is not to be taken for the one that died before it.
    """
    try:
        if words is None:
            return 0
        (fd,), at = words.fds, int(words.note["in_hand"])
        # Nothing but a memfd: another file might hold up who reads it, and some ask who it is that writes (proc(5)).
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        (word,) = _WORD.unpack(os.pread(fd, _WORD.size, at))
        os.pwrite(fd, bytes(_WORD.size), at)
    except (KeyError, TypeError, ValueError, OverflowError, struct.error, OSError):
        return 0  # what the door process keeps there is its own affair
    return int(word) >> 1
