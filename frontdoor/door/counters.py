"""Counters that outlive the door process: the ledger's cells, in memory that the keeper holds a descriptor of."""

import mmap
import os
from collections.abc import Sequence

from frontdoor.policy.ledger import CELLS, Cells

SIZE = 8 * CELLS


def create(name: str) -> int:
    """A new, zeroed memfd for one ledger (memfd_create(2))."""
    fd = os.memfd_create(f"frontdoor-{name}", os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    return fd


def are_in(fds: Sequence[int]) -> bool:
    """Whether that is the memory of one ledger."""
    try:
        (fd,) = fds
        cells(fd)
    except (ValueError, OSError):  # more or fewer than one; what cannot be mapped (mmap(2)), or made larger
        return False
    return True


def cells(fd: int) -> Cells:
    """The counters in that memory.

    A ledger of an older frontdoor has fewer cells: the memory grows, and the new ones are zero.
    """
    if os.fstat(fd).st_size < SIZE:
        os.ftruncate(fd, SIZE)
    return memoryview(mmap.mmap(fd, SIZE)).cast("Q")
