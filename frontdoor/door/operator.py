"""What the control API can ask of this door process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trio

from frontdoor.control.events import Bus
from frontdoor.control.feed import Feed
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, FAILED, NOT_FOUND, USAGE, Refused
from frontdoor.control.wording import count
from frontdoor.door import orders, status
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.reload import Reload
from frontdoor.door.upgrade import Upgrades, check_free
from frontdoor.policy.generation import State
from frontdoor.traffic.host import Host
from frontdoor.traffic.stream import Stream


class DoorOperator:
    """The doors by name, for ``control.operator.Operator``."""

    def __init__(
        self, doors: Doors, pid: int, since: float, stop: Callable[[bool], None], host: Host, keeper: str = ""
    ) -> None:
        """``pid``, ``since``, ``keeper``: of serve, on the monotonic clock, and the version of its code."""
        self._doors = doors
        self.upgrades = Upgrades(doors, host, keeper, lambda: self._hung_up.is_set())
        self._world = doors.world
        self.pid = pid
        self._since = since
        self._stop = stop
        self._reload: Reload | None = None
        self._hung_up = trio.Event()
        self._hang_ups = 0
        self.answered = 0
        """SIGHUPs that nothing more will come of."""
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
        return self._reload is not None and not self._reload.done.is_set()

    # -- what is so -------------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """The whole state."""
        generations = [generation for door in self._doors for generation in door.fleet.generations.values()]
        sums = await status.carried(self._world.relay, generations)
        vault = self._world.protection.status()
        return status.status(self._doors, sums, vault, self.pid, self._since, stopping=self.stopping)

    def healthy(self) -> bool:
        """Whether every door has an active generation with a process that takes streams."""
        return not self.stopping and all(_healthy(door) for door in self._doors if not door.leaving)

    def streams(self, door: str | None, version: str | None) -> Iterable[list[dict[str, Any]]]:
        """The open streams, in slices."""
        of = self._of(door, version)
        whole = {each.gate for each, generation in of if generation is None}
        some = {generation for _, generation in of if generation is not None}

        def wanted(stream: Stream) -> bool:
            return stream.gate in whole or stream.seat.generation in some

        return status.streams(self._world.relay, wanted)

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

    def swap(self, door: str, version: str, *, reuse: bool) -> Operation:
        """Start a swap."""
        return orders.swap(self._for_swap(door), version, reuse=reuse)

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
        return self._begin_reload().operation

    def _begin_reload(self) -> Reload:
        self._check_stopping("reloads nothing any more")
        self._check_upgrade()
        self._check_reload("another reload")
        reload = self._reload = Reload(self._doors, self.pid)
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

    def upgrade_on_signal(self) -> None:
        """SIGUSR2: nobody can be told no but by the log."""
        try:
            self.upgrade()
        except Refused as refused:
            self._world.log.warning("upgrade.refused", reason=refused.message)

    def drain(self, door: str, version: str, *, over: float) -> dict[str, Any]:
        """Close the streams of a draining generation, or of all draining ones of a version."""
        chosen = self._door(door)
        found = orders.generations(chosen, version)
        draining = [chosen.draining[g.number] for g in found if g.number in chosen.draining]
        warm = [g.id for g in found if g.number in chosen.warm]
        if warm and not draining:
            # No failure: a script that says so to be sure goes on. It stays warm, for a rollback.
            message = f"{', '.join(warm)}: drained already, no stream is open"
            return {"door": door, "draining": "", "streams": 0, "message": message}
        if not draining:
            state = f"{found[-1].id} is {found[-1].state}"
            hint = ": swap to another version first" if found[-1].state is State.ACTIVE else ""
            raise Refused(FAILED, f"nothing to drain: {state}{hint}")
        streams = sum(each.hasten(over) for each in draining)
        chosen.noting.post()  # a crash must not give them their time back; if the wire is full, it is told in a second
        ids = ", ".join(each.backend.generation.id for each in draining)
        closing = f"{count(streams, 'stream')} {'is' if streams == 1 else 'are'}"
        how = f"over {over:g} s" if over else "now"
        return {"door": door, "draining": ids, "streams": streams, "message": f"{ids}: {closing} being closed {how}"}

    async def pause(self, door: str) -> dict[str, Any]:
        """Let nobody in any more, until ``resume``."""
        chosen = self._for_change(door)
        already = "already " if chosen.paused else ""
        if not chosen.paused:
            chosen.pause()
            await _remember(chosen)
        waiting = "new clients wait in the backlog until frontdoor resume, open streams go on"
        return {"door": door, "paused": True, "message": f"the door {door} is {already}paused: {waiting}"}

    async def resume(self, door: str) -> dict[str, Any]:
        """Let clients in again."""
        chosen = self._for_change(door)
        if not chosen.paused:
            return {"door": door, "paused": False, "message": f"the door {door} was not paused"}
        chosen.resume()
        await _remember(chosen)
        return {"door": door, "paused": False, "message": f"the door {door} accepts clients again"}

    def stop(self, *, now: bool) -> None:
        """Begin to stop."""
        self._stop(now)

    # -- SIGHUP -----------------------------------------------------------------------------------------------------

    def hang_up(self, *, told: bool = True) -> None:
        """SIGHUP: ``reload``, then ``restart`` of each door that the reload itself has not swapped.

        ``told`` False: it was the door process before this one that was told of it.
        """
        self._hang_ups += told
        self._hung_up.set()

    async def run(self) -> None:
        """Answer to SIGHUP, one at a time."""
        while True:
            await self._hung_up.wait()
            # First: the candidate of a swap that is under way may have been started before the code that this
            # signal is about was there. Several signals until then are one.
            while (busy := self._busy()) is not None:
                until, said = busy
                self._world.log.info("restart.waits", **said)
                await until.wait()
            self._hung_up, hang_ups = trio.Event(), self._hang_ups
            await self._reload_and_restart()
            self.answered = hang_ups
            self.on_reload()

    def _busy(self) -> tuple[trio.Event, dict[str, str]] | None:
        """The end of what is under way, and what there is to say of it; None: nothing is."""
        if self.upgrades.under_way:
            # If it succeeds, this process does not come back from it: the next one is told.
            return self.upgrades.done, {"reason": "an upgrade is under way"}
        if self._reload is not None and not self._reload.done.is_set():
            return self._reload.done, {"reason": "a reload is under way"}
        for door in self._doors:
            if door.swap is not None and door.swap.under_way:
                reason = f"a swap to {door.swap.target} is under way"
                return door.swap.settled, {"door": door.name, "reason": reason}
        return None

    async def _reload_and_restart(self) -> None:
        try:
            reload = self._begin_reload()
            await reload.done.wait()
            if (reload.operation.outcome("switched") or {}).get("exit_code") != 0:
                return  # the log has said why, and that nothing was changed
            for door in self._doors:
                if door.name not in reload.swapped and not door.leaving and not self.stopping:
                    self._restart(door)
            for door in self._doors:
                if door.swap is not None:
                    await door.swap.settled.wait()
        except Refused as refused:
            reason = refused.message.partition("\n")[0]  # the problems of a config are in config.refused
            self._world.log.warning("restart.refused", reason=reason)
        except Exception as error:
            self._world.log.error("reload.broken", error=repr(error))  # and whatever serves goes on

    def _restart(self, door: Door) -> None:
        try:
            orders.restart(door)
        except Refused as refused:
            self._world.log.warning("restart.refused", door=door.name, reason=refused.message)

    def ignored(self, name: str) -> None:
        """A signal of something that is not built yet."""
        self._world.log.warning("signal.ignored", signal=name, reason="what it asks for is not built yet")

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
        if self._reload is not None and not self._reload.done.is_set():
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
