"""One start of a process: a child of the keeper, until the keeper has forgotten it."""

import errno
import signal
from typing import Any

from frontdoor.config import Launch
from frontdoor.keeper.link import Link, Refused
from frontdoor.processes.report import Report


class Child:
    """What is asked of the keeper about one child of its."""

    def __init__(self, key: str, link: Link) -> None:
        self.key = key
        self.report = Report()
        self._link = link

    async def start(self, launch: Launch, env: dict[str, str], **more: Any) -> tuple[int, int]:
        """Start it; its pid, and the read end of its output. Raises Refused."""
        try:
            reply = await self._link.request(
                "spawn", key=self.key, argv=launch.argv, env={**launch.env, **env}, cwd=launch.cwd, **more
            )
        except Refused as error:
            if error.errno == errno.EMFILE:
                # It may run all the same: it was this side that had no descriptor left to take its output.
                await self.kill()
                await self.forget()
            raise
        (output,) = reply.fds
        return reply.body["pid"], output

    async def signal(self, number: int) -> bool:
        """Signal its whole group. False: nothing of it is left."""
        reply = await self._link.request("signal", key=self.key, number=int(number))
        return bool(reply.body["sent"])

    async def kill(self) -> None:
        """SIGKILL to whatever of its group is left, and wait for the end of it."""
        if not self.report.gone.is_set() and await self.signal(signal.SIGKILL):
            await self.report.gone.wait()

    async def forget(self) -> None:
        """Its end has been noted: the keeper need not know of it any more."""
        await self._link.request("forget", key=self.key)
