"""The stderr of ``serve``, as one of the places where lines of a log go. Several threads write there."""

import os
import select
import threading

from frontdoor.keeper import journal

_PRIORITIES = {"debug": journal.DEBUG, "info": journal.INFO, "warning": journal.WARNING, "error": journal.ERROR}

_AT_ONCE = 4096
"""Bytes that a pipe which has room takes without a wait (pipe(7), PIPE_BUF)."""


class Stderr:
    """A descriptor that was there before us, and stays: a terminal, a file, a pipe, the journal's socket."""

    path = ""
    """It is no file of ours."""

    def __init__(self, fd: int = 2) -> None:
        self.fd = fd
        self.turn = threading.Lock()
        """Held while something is written: so that no line begins in the middle of another one."""
        self._journal = journal.reads(fd)

    def __repr__(self) -> str:
        return f"<Stderr {self.fd}{', which the journal reads' if self._journal else ''}>"

    def mark(self, text: str, level: str) -> str:
        """The text as it is to be written: the journal wants to know how much each line matters."""
        return journal.mark(text, _PRIORITIES[level]) if self._journal else text

    def put(self, data: bytes) -> int:
        """Write, waiting as long as it takes; how many bytes were written: not all if nobody reads it any more."""
        with self.turn:
            return _write_all(self.fd, data)

    def mention(self, text: str, level: str) -> bool:
        """Write that if it can be written without waiting; whether it was."""
        data = self.mark(text, level).encode("utf-8", "backslashreplace")[: _AT_ONCE - 1] + b"\n"
        if not self.turn.acquire(blocking=False):
            return False  # whoever has the turn may wait for a reader
        try:
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            return bool(poll.poll(0)) and os.write(self.fd, data) == len(data)
        except OSError:
            return False
        finally:
            self.turn.release()

    def open(self) -> None:
        """It is open."""

    def reopen(self) -> None:
        """It has no name."""

    def close(self) -> None:
        """It is not ours."""


def _write_all(fd: int, data: bytes) -> int:
    """Write `data`; returns how many bytes were written, which is less than all if `fd` is closed or broken.

    A stderr may be non-blocking: O_NONBLOCK belongs to the open file description, which a shell, or another
    program on the same terminal, shares with us.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            try:
                # poll, not select: descriptors here may be above 1023.
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll(1000)
            except OSError:
                break
        except OSError:
            break  # EPIPE, EIO, EBADF: nobody reads it any more
    return len(data) - len(view)
