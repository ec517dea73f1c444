"""Pipes that the keeper was given, and could not take: it is at its limit of open files.

A pipe is handed over in the middle of a batch, without waiting for an answer, and is used from then on: that it is not
kept costs its streams their protection, and nobody the service. Whoever has bytes in it when this process dies is lost,
and the next process knows that by the pipe's word.
"""

from collections.abc import Callable, Sequence

import trio

from frontdoor.keeper.link import Link, Refused
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.relay import Relay

TRY_AGAIN = 1.0
"""Seconds until the keeper is given them again."""


class Unkept:
    """Those pipes, and the task that hands them over again."""

    def __init__(self, link: Link, relay: Relay, tell: Callable[[str], object]) -> None:
        """``tell`` is told why some are not kept."""
        self._link = link
        self._relay = relay
        self._tell = tell
        self._made: dict[str, Pipe] = {}
        """All that were made by this process, by key."""
        self._pipes: dict[str, Pipe] = {}
        self._some = trio.Event()
        """There are some."""
        link.on_unkept = self._refused

    def __repr__(self) -> str:
        return f"<Unkept: {len(self._pipes)} of {len(self._made)} pipes>"

    def __len__(self) -> int:
        return len(self._pipes)

    def made(self, key: str, pipe: Pipe) -> None:
        """The keeper has been given this one."""
        self._made[key] = pipe

    def closed(self, key: str) -> None:
        """That pipe is no more."""
        self._made.pop(key, None)
        self._pipes.pop(key, None)

    async def run(self) -> None:
        """Hand them over again, for ever; but not while the relay stands still: another process may have it all."""
        while True:
            await self._some.wait()
            await trio.sleep(TRY_AGAIN)
            if not self._relay.still:
                await self._hand_over()
            if not self._pipes:
                self._some = trio.Event()

    def _refused(self, keys: Sequence[str], why: str) -> None:
        self._pipes.update({key: self._made[key] for key in keys if key in self._made})
        if self._pipes:
            self._some.set()
            self._tell(why)

    async def _hand_over(self) -> None:
        for key, pipe in list(self._pipes.items()):
            if self._pipes.get(key) is not pipe:
                continue  # closed meanwhile
            try:
                await self._link.put([(key, None, [pipe.read, pipe.write])])
            except Refused as error:
                self._tell(error.strerror or str(error))
                return
            if self._pipes.get(key) is pipe:
                del self._pipes[key]
