"""Reload: the config is read again, and all of it is applied, or nothing."""

import socket
from collections.abc import Sequence

import trio

from frontdoor.config import ConfigError, DoorSettings, Settings, changes, load
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, DONE, FAILED, NOT_READY, USAGE, Refused
from frontdoor.door import orders
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors, NotReady, listen
from frontdoor.door.refusal import CannotStart
from frontdoor.door.swap import Swap
from frontdoor.keeper.link import Refused as KeeperRefused
from frontdoor.policy.swap import Phase
from frontdoor.processes.backend import Backend

FIXED = ("runtime_dir", "state_dir", "user", "group", "admin", "log_format")
"""Keys of ``[frontdoor]`` that hold for the life of a frontdoor."""


class _Ended(Exception):  # noqa: N818 - an answer, not an error
    """One of the swaps has ended before all was ready: it failed, or somebody has ended it."""

    def __init__(self, swap: Swap) -> None:
        super().__init__(repr(swap))
        self.swap = swap


class Reload:
    """One reload. What can fail comes first; what is applied then is applied without an ``await``."""

    def __init__(self, doors: Doors, pid: int) -> None:
        """Decide whether it can begin. Raises Refused."""
        self.operation = Operation(0)
        self.swapped: set[str] = set()
        """Doors of which the active version has changed, or which are new."""
        self.done = trio.Event()
        self._doors = doors
        self._world = doors.world
        self._pid = pid
        self._new = self._read()
        self._changed = changes(self._world.settings, self._new)
        self._go = trio.Event()
        self._opened: dict[str, dict[str, list[socket.socket]]] = {}
        """Door → address → new listening sockets."""
        self._started: list[tuple[Door, Backend]] = []
        """New doors, with their first generations."""
        self._swaps: dict[str, Swap] = {}

    def __repr__(self) -> str:
        return f"<Reload of {', '.join(self._changed) or 'nothing'}>"

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _read(self) -> Settings:
        try:
            settings = load(self._world.settings.path)
        except ConfigError as error:
            raise self._refuse(USAGE, "the config is not valid, and nothing was changed", error) from None
        ours, theirs = self._world.settings.frontdoor, settings.frontdoor
        fixed = [f"frontdoor.{key}" for key in FIXED if getattr(ours, key) != getattr(theirs, key)]
        if fixed:
            text = f"{', '.join(fixed)} cannot be changed while frontdoor runs; nothing was changed"
            raise self._refuse(USAGE, f"{text}: change it back, or stop frontdoor and start it anew")
        for door in self._doors:
            if door.swap is not None and door.swap.under_way:
                text = f"a swap of the door {door.name} to {door.swap.target} is under way: {door.swap.way_out}"
                raise self._refuse(BUSY, f"{text}; nothing was changed")
            if door.leaving and door.name in settings.doors:
                text = f"the door {door.name} is still being closed: reload when its last stream has ended"
                raise self._refuse(BUSY, f"{text}; nothing was changed")
        return settings

    def _refuse(self, exit_code: int, message: str, error: ConfigError | None = None) -> Refused:
        if error is None:
            self._world.bus.publish("config.refused", reason=message)
            return Refused(exit_code, message)
        self._world.bus.publish("config.refused", reason=message, problems=str(error).splitlines())
        return Refused(exit_code, f"{message}\n{error}", extra={"problems": error.as_json()})

    # -- doing ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do it, or leave everything as it was."""
        try:
            await self._prepare()
        except (Refused, CannotStart, NotReady, _Ended) as error:
            await self._undo()
            self._fail(error)
        except BaseException:
            self.operation.fail("failed", FAILED, "frontdoor stops, and nothing was changed")
            raise
        else:
            await self._apply()
        finally:
            self.done.set()

    async def _prepare(self) -> None:
        """All that can fail: listening sockets, new doors, candidates."""
        added = [door for name, door in self._new.doors.items() if self._doors.get(name) is None]
        for door in self._staying():
            settings = self._new.doors[door.name]
            opened = self._opened[door.name] = {}
            for address in settings.listen:
                if address not in door.listening:
                    self._check_address(address, door)
                    opened[address] = await listen(self._world.link, f"listen/{door.name}/{address}", address)
        for settings in added:
            door = await self._doors.open(settings)
            self._started.append((door, await self._doors.first(door, self._new.text)))
        for door in self._staying():
            settings = self._new.doors[door.name]
            if settings.active != door.settings.active or door.trouble:
                self._begin_swap(door, settings)
        for swap in self._swaps.values():
            await swap.ready.wait()
        for swap in self._swaps.values():
            if not swap.under_way:
                raise _Ended(swap)

    def _check_address(self, address: str, wanted_by: Door) -> None:
        """An address cannot go from one door to another in one step: it would have to be closed in between."""
        for door in self._doors:
            if door is not wanted_by and address in door.listening:
                how = f"take it away there in one reload, and add it to {wanted_by.name} in the next"
                raise CannotStart(f"the door {door.name} listens on {address} until this is applied: {how}")

    def _staying(self) -> Sequence[Door]:
        return [door for door in self._doors if door.name in self._new.doors and door not in self._new_doors()]

    def _new_doors(self) -> list[Door]:
        return [door for door, _ in self._started]

    def _begin_swap(self, door: Door, settings: DoorSettings) -> None:
        active = door.switchboard.active
        if active is not None and active.version == settings.active:
            return  # a swap was there first
        orders.check_free(door)
        orders.check_room(door, settings)
        recipe = orders.recipe(self._new, door, settings.active, settings.ready)
        swap = self._swaps[door.name] = door.begin_swap(Swap(door, recipe, go=self._go))
        self._world.nursery.start_soon(self._show, swap)

    async def _show(self, swap: Swap) -> None:
        """Who follows the reload sees its swaps, too."""
        async for line in swap.operation.follow("baked"):
            if "exit_code" not in line:
                self.operation.record(line)

    async def _apply(self) -> None:
        gone = [door for door in self._doors if door.name not in self._new.doors and not door.leaving]
        closing: list[tuple[Door, dict[str, list[socket.socket]]]] = []
        # No await: from one instant to the next all of it holds.
        self._world.settings = self._new
        self._world.log.set_level(self._new.frontdoor.log_level)
        self._world.log.direct(self._new.frontdoor.log_file)
        self._world.protection.protect_after(self._new.frontdoor.protect_after)
        self._world.link.set_pulse(self._new.frontdoor.hang_timeout)
        for door in self._staying():
            closing.append((door, self._relisten(door)))
            door.apply(self._new.doors[door.name])
        for door, backend in self._started:
            door.serve(backend)
            door.accept()
        self._go.set()
        self.operation.record(self._world.bus.publish("config.reloaded", changed=self._changed))
        # From here on it is done, whatever becomes of what follows.
        try:
            await self._world.link.request("note", key="config", note=self._new.text)
        except KeeperRefused as error:
            # A crash of this process now would take it back to the config before.
            self._world.log.error("note.failed", error=error.strerror)
        for door, listening in closing:
            await self._doors.let_go(door.name, listening)
            await door.remember()
        for door, _ in self._started:
            self._doors.say_started(door, self._pid)
            await door.remember()
        for door in gone:
            self._world.nursery.start_soon(self._remove, door)
        self.swapped = {*self._swaps, *(door.name for door in self._new_doors())}
        await self._report()

    async def _remove(self, door: Door) -> None:
        try:
            await self._doors.remove(door)
        except Exception as error:
            self._world.log.error("door.broken", door=door.name, error=repr(error))  # and the other doors go on

    def _relisten(self, door: Door) -> dict[str, list[socket.socket]]:
        """Change the door's listening sockets; those that are gone."""
        wanted = self._new.doors[door.name].listen
        have = {**door.listening, **self._opened[door.name]}
        closing = {address: found for address, found in have.items() if address not in wanted}
        door.listen_on({address: have[address] for address in wanted})
        return closing

    async def _report(self) -> None:
        what = f"reloaded: {', '.join(self._changed) or 'nothing has changed in the config'}"
        if any(_is_of_generations(key) for key in self._changed):
            what += " (how generations are started and checked holds for those that start from now on)"
        for name, swap in self._swaps.items():
            await swap.settled.wait()
            outcome = swap.operation.outcome("baked") or {}
            if outcome.get("exit_code") != DONE:
                # It was ready, and in the instant of the switch it was not; or it has failed in its probation.
                text = f"{what}; but {self._where(name)}{outcome.get('message', 'the swap failed')}"
                self.operation.fail("failed", int(outcome.get("exit_code", FAILED)), text)
                return
            what += f"; {self._where(name)}{outcome.get('message')}"
        self.operation.reach("drained", "reloaded", DONE, what, changed=self._changed)

    def _where(self, door: str) -> str:
        return f"door {door}: " if len(self._doors) > 1 else ""

    async def _undo(self) -> None:
        for swap in self._swaps.values():
            swap.abort("the reload, of which another part failed")
        for name, opened in self._opened.items():
            await self._doors.let_go(name, opened)
        for door in [door for door in self._doors if door.name not in self._world.settings.doors and not door.leaving]:
            await self._doors.remove(door)
        for swap in self._swaps.values():
            await swap.settled.wait()

    def _fail(self, error: Exception) -> None:
        """Say why nothing was changed."""
        if isinstance(error, _Ended):
            outcome = error.swap.operation.outcome("switched") or {}
            aborted = error.swap.phase is Phase.ABORTED  # by somebody else: nobody has interrupted this reload
            exit_code = FAILED if aborted else int(outcome.get("exit_code", FAILED))
            why = str(outcome.get("message"))
            extra = {key: outcome[key] for key in ("reason", "output") if key in outcome}
        elif isinstance(error, NotReady) and error.aborted:
            exit_code, why, extra = FAILED, f"frontdoor is being stopped, and door {error.door} was still starting", {}
        elif isinstance(error, NotReady):
            exit_code, why = NOT_READY, f"door {error.door}: {error.generation.id} did not become ready ({error})"
            extra = {"reason": str(error), "output": error.output}
        elif isinstance(error, Refused):
            exit_code, why, extra = error.exit_code, error.message, {}
        else:
            exit_code, why, extra = FAILED, str(error), {}
        message = f"the config was not applied, and nothing was changed: {why}"
        self.operation.record(self._world.bus.publish("config.refused", reason=message))
        self.operation.fail("failed", exit_code, message, **extra)


def _is_of_generations(key: str) -> bool:
    """Whether this key of the config is about how a generation is started: ``doors.api.backends.v1.env``."""
    words = key.split(".")
    table = words[2] if words[0] == "doors" and len(words) > 2 else words[0]
    return table in ("backends", "ready")
