"""Whoever speaks in the name of a door process: garbage on its wire to the keeper, and in what the keeper has of it."""

import ctypes
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from e2e.crowded import door_pid
from e2e.harness import Frontdoor, until
from frontdoor.keeper import wire

_PIDFD_GETFD = 438
"""A copy of another process's descriptor (pidfd_getfd(2)); Python has no name for it."""

_libc = ctypes.CDLL(None, use_errno=True)


class Wire:
    """A copy of the end that the door process has."""

    def __init__(self, door: Frontdoor) -> None:
        pid = door_pid(door)
        with open(f"/proc/{pid}/cmdline") as file:
            arguments = file.read().split("\0")
        number = int(arguments[arguments.index("frontdoor.door") + 1])
        pidfd = os.pidfd_open(pid)
        try:
            fd = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
        finally:
            os.close(pidfd)
        if fd < 0:
            pytest.skip(f"nobody may take a copy of a descriptor here: {os.strerror(ctypes.get_errno())}")
        self._sock = socket.socket(fileno=fd)
        self.door = str(door.status()["name"])
        """What the door is called: the keeper has things by that name."""
        self.streams = [int(stream["id"]) for stream in door.control.ask("/v1/streams")["streams"]]
        """Likewise."""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sock.close()

    def say(self, op: str, fds: Sequence[int] = (), **fields: Any) -> None:
        """Ask for something, and for no answer."""
        self._when_room(lambda: wire.send(self._sock, wire.encode({"op": op, **fields}), fds))

    def babble(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send that as it is."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, "little") for fd in fds))]
        self._when_room(lambda: self._sock.sendmsg([data], rights if fds else []))

    @staticmethod
    def _when_room(send: Callable[[], object]) -> None:
        def sent() -> bool:
            try:
                send()
            except BlockingIOError:
                return False
            return True

        until(sent, "the wire has room")
