"""Socket activation: the listening sockets that systemd has opened, and has started frontdoor with (sd_listen_fds(3)).

The keeper holds them for as long as it lives, whatever becomes of the door process and of the config: a listener of
the vault is a copy. So what a reload takes away another one can bring back.
"""

import os
import socket
import stat
from collections.abc import MutableMapping, Sequence

from frontdoor.keeper.listeners import prepare_tcp

PREFIX = "systemd:"
"""Of an address in ``listen``; what follows is the socket's name."""

_FIRST = 3
"""SD_LISTEN_FDS_START."""

_NAMELESS = "unknown"
"""What sd_listen_fds_with_names(3) calls a socket that has no name."""

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class ActivationError(OSError):
    """There is no such socket, or it is of no use; the text says what to write into the unit."""


class Activation:
    """The sockets that were passed, each with its name; several may have the same."""

    def __init__(self, passed: Sequence[tuple[str, int]] = (), missing: str = "") -> None:
        """``missing``: why there is none."""
        self._passed = [(name, fd) for name, fd in passed]
        self._missing = missing or "systemd has passed none: is there a .socket unit of this service's name?"

    def __repr__(self) -> str:
        return f"<Activation of {', '.join(f'{name}={fd}' for name, fd in self._passed) or 'nothing'}>"

    @classmethod
    def take(cls, env: MutableMapping[str, str]) -> "Activation":
        """Take what the environment speaks of, and take that out of it: who comes after ``exec`` must not do it again.

        Raises nothing: that there is no socket of a name is said to whoever asks for it.
        """
        pid, count, names = (env.pop(name, "") for name in _VARIABLES)
        if not count:
            return cls()
        if pid != str(os.getpid()):
            return cls(missing=f"they were passed to process {pid or 'nobody'} (LISTEN_PID), and this is {os.getpid()}")
        if not (count.isascii() and count.isdigit() and len(count) < 6):
            return cls(missing=f"LISTEN_FDS={count[:40]!r} is no number")
        called = names.split(":") if names else []
        if len(called) != int(count):
            called = [_NAMELESS] * int(count)
        passed = []
        for fd, name in enumerate(called, _FIRST):
            try:
                os.set_inheritable(fd, False)
            except OSError:
                continue  # it is not open: whoever started this has closed it
            passed.append((name or _NAMELESS, fd))
        return cls(passed, "" if passed else "none of them is open any more")

    @property
    def passed(self) -> list[tuple[str, int]]:
        """All of it: name and descriptor."""
        return list(self._passed)

    def open(self, address: str) -> list[socket.socket]:
        """Copies of all sockets at ``"systemd:NAME"``, non-blocking.

        Raises ActivationError when there is none, or when one is no listening stream socket.
        """
        name = address.removeprefix(PREFIX)
        fds = [fd for called, fd in self._passed if called == name]
        if not fds:
            raise ActivationError(self._no_such(name))
        copies: list[socket.socket] = []
        try:
            for fd in fds:
                copies.append(_copy(name, fd))  # noqa: PERF401 - those that were made before one fails are to be closed
        except OSError:
            for sock in copies:
                sock.close()
            raise
        return copies

    def _no_such(self, name: str) -> str:
        if not self._passed:
            return f"there is no socket called {name!r}. {self._missing[0].upper()}{self._missing[1:]}"
        known = ", ".join(sorted({repr(called) for called, _ in self._passed}))
        how = "FileDescriptorName= in the .socket unit is the name, else the name of that unit"
        return f"systemd has passed no socket called {name!r}, but {known}. {how}"


def _copy(name: str, fd: int) -> socket.socket:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise ActivationError(f"what systemd has passed as {name!r} is no socket: write ListenStream= in the unit")
    sock = socket.socket(fileno=os.dup(fd))
    why = _unfit(sock)
    if why:
        sock.close()
        raise ActivationError(f"{name!r} is {why}")
    # The flag is systemd's copy's too, which accepts nothing; a relay must never wait in accept(2).
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        prepare_tcp(sock)
    return sock


def _unfit(sock: socket.socket) -> str | None:
    if sock.type != socket.SOCK_STREAM:
        return "no stream socket: write ListenStream= in the .socket unit"
    if sock.family not in _FAMILIES:
        return "neither a TCP nor a Unix socket"
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "a connection, and no listening socket: write Accept=no in the .socket unit"
    return None
