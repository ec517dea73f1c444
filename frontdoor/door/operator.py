"""What the control API can ask of this door process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trio

from frontdoor.control.events import Bus
from frontdoor.control.feed import Feed
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, FAILED, NOT_FOUND, USAGE, Refused
from frontdoor.door import orders, status
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.hangups import HangUps
from frontdoor.door.reload import Reload
from frontdoor.door.upgrade import Upgrades, check_free
from frontdoor.exchanges.exchange import Exchange
from frontdoor.policy.canary import Plan
from frontdoor.policy.share import show_share
from frontdoor.traffic.host import Host
from frontdoor.traffic.stream import Stream


class DoorOperator:
    """The doors by name, for ``control.operator.Operator``."""

    def __init__(
        self, doors: Doors, pid: int, since: float, stop: Callable[[bool], None], host: Host, keeper: str = ""
    ) -> None:
        """``pid``, ``since``, ``keeper``: of serve, on the monotonic clock, and the version of its code."""
        self._doors = doors
        self.hang_ups = HangUps(doors, self)
        self.upgrades = Upgrades(doors, host, keeper, lambda: self.hang_ups.waits)
        self._world = doors.world
        self.pid = pid
        self._since = since
        self._stop = stop
        self.last_reload: Reload | None = None
        """Under way, or done."""
        self.on_reload: Callable[[], object] = lambda: None
        """Called when ``reloading`` or ``answered`` has changed."""
        self.stopping = False

    @property
    def bus(self) -> Bus:
        """Where events go."""
        return self._world.bus

    @property
    def outputs(self) -> Feed:
        """Where each line goes that a backend prints."""
        return self._world.outputs

    @property
    def doors(self) -> Sequence[str]:
        """The names of the doors."""
        return self._doors.names

    @property
    def closing(self) -> Sequence[str]:
        """Those of them that are not in the config any more."""
        return [door.name for door in self._doors if door.leaving]

    @property
    def reloading(self) -> bool:
        """A reload is under way."""
        return self.last_reload is not None and not self.last_reload.done.is_set()

    @property
    def answered(self) -> int:
        """SIGHUPs that nothing more will come of."""
        return self.hang_ups.answered

    # -- what is so -------------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """The whole state."""
        generations = [generation for door in self._doors for generation in door.fleet.generations.values()]
        sums = await status.carried(self._world.streams, generations)
        vault = self._world.protection.status()
        earlier = self._world.predecessors.status()
        return status.status(self._doors, sums, vault, self.pid, self._since, stopping=self.stopping, earlier=earlier)

    def healthy(self) -> bool:
        """Whether every door has an active generation with a process that takes streams."""
        return not self.stopping and all(_healthy(door) for door in self._doors if not door.leaving)

    def streams(self, door: str | None, version: str | None) -> Iterable[list[dict[str, Any]]]:
        """The open streams, in slices."""
        of = self._of(door, version)
        whole = {each.gate for each, generation in of if generation is None}
        some = {generation for _, generation in of if generation is not None}

        def wanted(stream: Stream | Exchange) -> bool:
            return stream.gate in whole or (stream.seat is not None and stream.seat.generation in some)

        return status.streams(self._world.streams, wanted)

    def logs(self, door: str | None, version: str | None, history: int) -> list[dict[str, Any]]:
        """The last lines that the backends printed."""
        lines: list[dict[str, Any]] = []
        for each, generation in self._of(door, version):
            known = [generation] if generation is not None else each.fleet.generations.values()
            for one in known:
                lines += each.fleet.output(one, history)
        lines.sort(key=lambda line: str(line["time"]))
        return lines[-history:] if history else []

    def _of(self, door: str | None, version: str | None) -> list[tuple[Door, Any]]:
        """The doors that are meant, each with a generation that is meant; with None where all of them are."""
        doors = list(self._doors) if door is None else [self._door(door)]
        if version is None:
            return [(each, None) for each in doors]
        found = []
        for each in doors:
            try:
                found += [(each, generation) for generation in orders.generations(each, version)]
            except Refused:
                if len(doors) == 1:
                    raise
        if not found:
            raise Refused(USAGE, f"no generation of {version} runs in any door", status=NOT_FOUND)
        return found

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
        doors = [door.name for door in self._doors if door.access_log.reopen()]
        fields = {} if doors else {"reason": "no door has an access log in a file"}
        self._world.log.info("log.reopened", doors=doors, **fields)

    # -- which door -------------------------------------------------------------------------------------------------

    def _door(self, name: str) -> Door:
        door = self._doors.get(name)
        if door is None:
            known = ", ".join(self._doors.names)
            raise Refused(USAGE, f"there is no door {name!r}: there is {known}", status=NOT_FOUND)
        return door

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


def _healthy(door: Door) -> bool:
    active = door.switchboard.active
    return active is not None and any(seat.up for seat in active.seats)
