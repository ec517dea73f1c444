"""The listening socket of a process that does not open it itself (``listen_fd``)."""

import os
import select
from contextlib import suppress

import trio

from frontdoor.keeper.link import Link
from frontdoor.processes.ready import Check

_LOOK = 0.02
"""Seconds between two looks at the queue."""


class KeptListener:
    """A Unix socket that the keeper holds and passes to each process in turn.

    So it outlives the process: who waits in its queue when that dies is served by the next one.
    """

    def __init__(self, key: str, path: str, link: Link) -> None:
        self.key = key
        """Where the keeper has it."""
        self._path = path
        self._link = link
        self._copy: int | None = None

    async def open(self) -> None:
        """Make sure that the keeper has it. Raises Refused."""
        self.close()
        if not self._can_be_found():
            # It is the first start, or somebody has removed the file: nobody can come to that socket any more.
            await self._link.request("drop", keys=[self.key])
        reply = await self._link.request("listen", key=self.key, address=f"unix:{self._path}")
        (self._copy,) = reply.fds

    async def empties(self, check: Check) -> None:
        """A ready check: the other check, and that the process takes it out of the queue.

        That the socket can be dialled says nothing about the process: the keeper has opened it.
        """
        await self._empty()  # what is in it was put there by the check before this one: let it not become more
        await check()
        await self._empty()

    async def _empty(self) -> None:
        while self._somebody_waits():  # noqa: ASYNC110 - the process takes them, and no event tells of that
            await trio.sleep(_LOOK)

    def close(self) -> None:
        """It is not looked at any more. The keeper's own stays."""
        if self._copy is not None:
            os.close(self._copy)
            self._copy = None

    async def drop(self) -> None:
        """There will be no process any more: nobody is to wait there."""
        await self._link.request("drop", keys=[self.key])
        with suppress(OSError):
            os.unlink(self._path)

    def _can_be_found(self) -> bool:
        return os.path.lexists(self._path)

    def _somebody_waits(self) -> bool:
        if self._copy is None:
            return False
        poll = select.poll()
        poll.register(self._copy, select.POLLIN)
        return bool(poll.poll(0))


def socket_key(door: str, generation: int, process: int) -> str:
    """Where the keeper holds the listener of a process."""
    return f"socket/{door}/g{generation}/{process}"
