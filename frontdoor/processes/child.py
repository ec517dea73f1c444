"""One start of a process: a child of the keeper, until the keeper has forgotten it."""

import signal
from collections.abc import Sequence
from typing import Any

from frontdoor.config import Launch
from frontdoor.keeper.link import Link
from frontdoor.processes.report import Report


class Child:
    """What is asked of the keeper about one child of its."""

    def __init__(self, key: str, link: Link) -> None:
        self.key = key
        self.report = Report()
        self._link = link

    async def start(self, launch: Launch, fds: Sequence[int] = (), **more: Any) -> tuple[int, int]:
        """Start it; its pid, and the read end of its output.

        Raises Refused; with EMFILE it may run all the same: it was this side that had no descriptor left to take its
        output. Whoever starts it has to end it then.
        """
        argv, env, cwd = launch.argv, launch.env, launch.cwd
        reply = await self._link.request("spawn", fds, key=self.key, argv=argv, env=env, cwd=cwd, **more)
        (output,) = reply.fds
        return reply.body["pid"], output

    async def signal(self, number: int) -> bool:
        """Signal its whole group. False: nothing of it is left."""
        reply = await self._link.request("signal", key=self.key, number=int(number))
        return bool(reply.body["sent"])

    async def tell(self, number: int) -> bool:
        """Signal it alone, and not its group: it is to go on. False: it has exited. Raises Refused."""
        reply = await self._link.request("tell", key=self.key, number=int(number))
        return bool(reply.body["sent"])

    async def kill(self) -> None:
        """SIGKILL to whatever of its group is left, and wait for the end of it."""
        if not self.report.gone.is_set() and await self.signal(signal.SIGKILL):
            await self.report.gone.wait()

    async def forget(self) -> None:
        """Its end has been noted: the keeper need not know of it any more."""
        await self._link.request("forget", key=self.key)

    async def end(self) -> None:
        """Kill it, and let the keeper forget it. Even if it was never started, as far as this side knows."""
        await self.kill()
        await self.forget()
