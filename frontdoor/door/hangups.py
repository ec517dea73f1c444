"""SIGHUP: the config is read again, and every door is restarted."""

from typing import TYPE_CHECKING

import trio

from frontdoor.control.operator import DONE, Refused
from frontdoor.door import orders
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors

if TYPE_CHECKING:
    from frontdoor.door.operator import DoorOperator


class HangUps:
    """The SIGHUPs that this door process is sent, answered one at a time."""

    def __init__(self, doors: Doors, operator: "DoorOperator") -> None:
        self.answered = 0
        """Those that nothing more will come of."""
        self._doors = doors
        self._operator = operator
        self._log = doors.world.log
        self._told = 0
        self._came = trio.Event()

    def __repr__(self) -> str:
        return f"<HangUps: {self.answered} of {self._told} answered{', one waits' if self.waits else ''}>"

    @property
    def waits(self) -> bool:
        """Whether one has come that nobody has begun to answer."""
        return self._came.is_set()

    def take(self, *, told: bool = True) -> None:
        """One has come: ``reload``, then ``restart`` of each door that the reload itself has not swapped.

        ``told`` False: it was the door process before this one that was told of it.
        """
        self._told += told
        self._came.set()

    async def run(self) -> None:
        """Answer them for ever."""
        while True:
            await self._came.wait()
            # First: the candidate of a swap that is under way may have been started before the code that this
            # signal is about was there. Several signals until then are one.
            while (busy := self._busy()) is not None:
                until, said = busy
                self._log.info("restart.waits", **said)
                await until.wait()
            self._came, told = trio.Event(), self._told
            await self._reload_and_restart()
            self.answered = told
            self._operator.on_reload()

    def _busy(self) -> tuple[trio.Event, dict[str, str]] | None:
        """The end of what is under way, and what there is to say of it; None: nothing is."""
        upgrades, reload = self._operator.upgrades, self._operator.last_reload
        if upgrades.under_way:
            # If it succeeds, this process does not come back from it: the next one is told.
            return upgrades.done, {"reason": "an upgrade is under way"}
        if reload is not None and not reload.done.is_set():
            return reload.done, {"reason": "a reload is under way"}
        for door in self._doors:
            if door.swap is not None and door.swap.under_way:
                reason = f"a swap to {door.swap.target} is under way"
                return door.swap.settled, {"door": door.name, "reason": reason}
        return None

    async def _reload_and_restart(self) -> None:
        try:
            reload = self._operator.begin_reload()
            await reload.done.wait()
            if (reload.operation.outcome("switched") or {}).get("exit_code") != DONE:
                return  # the log has said why, and that nothing was changed
            for door in self._doors:
                if door.name not in reload.swapped and not door.leaving and not self._operator.stopping:
                    self._restart(door)
            for door in self._doors:
                if door.swap is not None:
                    await door.swap.settled.wait()
        except Refused as refused:
            reason = refused.message.partition("\n")[0]  # the problems of a config are in config.refused
            self._log.warning("restart.refused", reason=reason)
        except Exception as error:
            self._log.error("reload.broken", error=repr(error))  # and whatever serves goes on

    def _restart(self, door: Door) -> None:
        try:
            orders.restart(door)
        except Refused as refused:
            self._log.warning("restart.refused", door=door.name, reason=refused.message)
