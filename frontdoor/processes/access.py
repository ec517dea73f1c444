"""Access to the socket of a process that runs as somebody else, who has made it with whatever rights."""

from contextlib import suppress

from frontdoor.keeper.link import Link, Refused
from frontdoor.processes.ready import Check, ShutOut


class Access:
    """To one socket. The keeper, which is root then, gives it."""

    def __init__(self, path: str, link: Link) -> None:
        self._path = path
        self._link = link

    def __repr__(self) -> str:
        return f"<Access to {self._path}>"

    async def ask(self) -> None:
        """Ask for it. If it was needed, and is not given, the next dial says why it fails."""
        with suppress(Refused):
            await self._link.request("let_in", path=self._path)

    def asked_if_shut_out(self, check: Check) -> Check:
        """That check of the socket; if this process is shut out, access is asked for, and it is made again."""

        async def made() -> None:
            try:
                await check()
            except ShutOut:
                await self.ask()
                await check()

        return made

    def asked_after(self, check: Check) -> Check:
        """A check for which the socket was not dialled, and then asking for access."""

        async def made() -> None:
            await check()
            await self.ask()

        return made
