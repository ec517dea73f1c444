"""What the control API can ask of this door process."""

from collections.abc import Callable
from typing import Any

import trio

from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, FAILED, Refused
from frontdoor.door import orders
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.hangups import HangUps
from frontdoor.door.outlook import Outlook
from frontdoor.door.reload import Reload
from frontdoor.door.upgrade import Upgrades, check_free
from frontdoor.policy.canary import Plan
from frontdoor.policy.share import show_share
from frontdoor.traffic.host import Host


class DoorOperator(Outlook):
    """The doors by name, for ``control.operator.Operator``: what can be seen, and what can be asked."""

    def __init__(
        self, doors: Doors, pid: int, since: float, stop: Callable[[bool], None], host: Host, keeper: str = ""
    ) -> None:
        """``pid``, ``since``, ``keeper``: of serve, on the monotonic clock, and the version of its code."""
        super().__init__(doors, pid, since)
        self.hang_ups = HangUps(doors, self)
        self.upgrades = Upgrades(doors, host, keeper, lambda: self.hang_ups.waits)
        self._stop = stop
        self.last_reload: Reload | None = None
        """Under way, or done."""
        self.on_reload: Callable[[], object] = lambda: None
        """Called when ``reloading`` or ``answered`` has changed."""

    @property
    def reloading(self) -> bool:
        """A reload is under way."""
        return self.last_reload is not None and not self.last_reload.done.is_set()

    @property
    def answered(self) -> int:
        """SIGHUPs that nothing more will come of."""
        return self.hang_ups.answered

    # -- what is asked ----------------------------------------------------------------------------------------------

    def swap(self, door: str, version: str, *, reuse: bool, canary: Plan | None = None) -> Operation:
        """Start a swap."""
        return orders.swap(self._for_swap(door), version, reuse=reuse, canary=canary)

    def promote(self, door: str) -> Operation:
        """Make the canary the active one."""
        return orders.promote(self._for_swap(door))

    def canary(self, door: str, share: int) -> dict[str, Any]:
        """Give the canary another share."""
        message = orders.canary(self._for_swap(door), share)
        return {"door": door, "share": show_share(share), "message": message}

    def rollback(self, door: str) -> Operation:
        """Go back, or end the swap that is under way."""
        return orders.rollback(self._for_swap(door))

    def restart(self, door: str) -> Operation:
        """Start a new generation of the active version."""
        return orders.restart(self._for_swap(door))

    def abort(self, door: str, swap: int) -> Operation:
        """End a swap before its switch."""
        return orders.abort(self._door(door), swap)

    def operation(self, door: str, number: int) -> Operation:
        """A swap, under way or done."""
        return orders.find(self._door(door), number)

    def reload(self) -> Operation:
        """Read the config again: all of it or nothing."""
        return self.begin_reload().operation

    def begin_reload(self) -> Reload:
        """The same, to be followed from inside. Raises Refused."""
        self._check_stopping("reloads nothing any more")
        self._check_upgrade()
        self._check_reload("another reload")
        reload = self.last_reload = Reload(self._doors, self.pid)
        self.on_reload()
        self._world.nursery.start_soon(self._run_reload, reload)
        return reload

    async def _run_reload(self, reload: Reload) -> None:
        try:
            await reload.run()
        except Exception as error:
            self._world.log.error("reload.broken", error=repr(error))
            why = f"an error in frontdoor, please report it: {error!r}; what served still serves"
            reload.operation.fail("failed", FAILED, why)
        finally:
            self.on_reload()

    def upgrade(self) -> Operation:
        """Have a door process from the code on disk take over."""
        self._check_stopping("is not upgraded any more")
        self._check_upgrade()
        self._check_reload("a reload")
        check_free(self._doors)
        return self.upgrades.begin()

    def find_upgrade(self, number: int) -> Operation:
        """An upgrade, under way or done."""
        return self.upgrades.find(number)

    def drain(self, door: str, version: str, *, over: float) -> dict[str, Any]:
        """Close the streams of a draining generation, or of all draining ones of a version."""
        return orders.drain(self._door(door), version, over)

    async def pause(self, door: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Let nobody in any more, for so many seconds or until ``resume``."""
        chosen = self._for_change(door)
        pausing = chosen.pausing
        already = "already " if pausing.paused and seconds is None and pausing.left is None else ""
        if not already:
            pausing.pause(seconds)
            await _remember(chosen)
        until = "until frontdoor resume" if seconds is None else f"for {seconds:g} s, or until frontdoor resume"
        message = f"the door {door} is {already}paused: new clients wait in the backlog {until}, open streams go on"
        return {"door": door, "paused": True, "for_s": seconds, "message": message}

    async def resume(self, door: str) -> dict[str, Any]:
        """Let clients in again."""
        chosen = self._for_change(door)
        if not chosen.pausing.paused:
            return {"door": door, "paused": False, "message": f"the door {door} was not paused"}
        chosen.pausing.resume()
        await _remember(chosen)
        return {"door": door, "paused": False, "message": f"the door {door} accepts clients again"}

    async def maintain(self, door: str, message: str | None, retry_after: int | None) -> dict[str, Any]:
        """Answer requests of an http door with 503 and that message."""
        chosen = self._for_change(door)
        if already := not chosen.maintaining.begin(message, retry_after):
            what = f"the door {door} is in maintenance already, with this message"
        else:
            await _remember(chosen)
            what = f"the door {door} is in maintenance: requests are answered 503 until frontdoor maintenance off"
        return {"door": door, "on": True, "changed": not already, "message": f"{what}, nothing is stopped"}

    async def end_maintenance(self, door: str) -> dict[str, Any]:
        """Requests go to the backends again."""
        chosen = self._for_change(door)
        if not chosen.maintaining.end():
            return {"door": door, "on": False, "message": f"the door {door} was not in maintenance"}
        await _remember(chosen)
        message = f"the door {door} is in maintenance no more: requests are served again"
        return {"door": door, "on": False, "message": message}

    def stop(self, *, now: bool) -> None:
        """Begin to stop."""
        self._stop(now)

    # -- signals ----------------------------------------------------------------------------------------------------

    def upgrade_on_signal(self) -> None:
        """SIGUSR2: nobody can be told no but by the log."""
        try:
            self.upgrade()
        except Refused as refused:
            self._world.log.warning("upgrade.refused", reason=refused.message)

    def reopen_logs(self) -> None:
        """SIGUSR1: log files have other names by now."""
        log = self._world.log
        doors = [door.name for door in self._doors if door.access_log.reopen()]
        fields = {"file": log.path} if log.reopen() else {}
        if not doors and not fields:
            fields = {"reason": "the log goes to stderr, and no door has an access log in a file"}
        log.info("log.reopened", doors=doors, **fields)

    # -- which door -------------------------------------------------------------------------------------------------

    def _for_change(self, name: str) -> Door:
        door = self._door(name)
        self._check_stopping(f"starts nothing any more; {door.serves} until then")
        return door

    def _for_swap(self, name: str) -> Door:
        door = self._for_change(name)
        self._check_upgrade()
        return door

    def _check_upgrade(self) -> None:
        if self.upgrades.under_way:
            raise Refused(BUSY, "an upgrade of frontdoor is under way: wait until it has ended, and try again")

    def _check_reload(self, which: str) -> None:
        if self.reloading:
            raise Refused(BUSY, f"{which} is under way: wait until it has ended, and try again")

    def _check_stopping(self, what: str) -> None:
        if self.stopping:
            raise Refused(FAILED, f"frontdoor is stopping, and {what}")


async def _remember(door: Door) -> None:
    """Before it is answered: what was said to be so must be so after a crash too. Also if nobody waits for that."""
    with trio.CancelScope(shield=True):
        await door.remember()
