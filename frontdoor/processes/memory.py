"""Whether a process is dead already, before anybody has said so."""

import os


class Memory:
    """The memory of a process, seen from outside.

    A killed process loses its memory before its sockets (do_exit: exit_mm, then exit_files). So whoever sees one of its
    sockets close can tell at once whether the process closed it or died: /proc/PID/statm is all zeros then, or ESRCH
    (proc(5)). The keeper's report of the death comes a moment later, and that would be too late for the ledger.
    """

    def __init__(self, pid: int) -> None:
        self._statm: int | None = None
        try:
            self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass  # it is dead already, or /proc is hidden: its streams count as closed by the backend

    def close(self) -> None:
        """Look no more."""
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None

    def is_gone(self) -> bool:
        """Whether there is no memory left: it is dead, or dying."""
        if self._statm is None:
            return False
        try:
            return os.pread(self._statm, 8, 0).startswith(b"0 ")
        except ProcessLookupError:
            return True
