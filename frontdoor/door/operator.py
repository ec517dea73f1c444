"""What the control API can ask of this door process."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from frontdoor.config import ConfigError, UnknownVersion, load
from frontdoor.control.events import Bus
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, FAILED, NOT_FOUND, USAGE, Refused
from frontdoor.control.wording import count
from frontdoor.door import status
from frontdoor.door.door import Door
from frontdoor.door.world import World
from frontdoor.policy.generation import ENDED, Generation, State


class DoorOperator:
    """The doors by name, for ``control.operator.Operator``."""

    def __init__(self, world: World, doors: list[Door], pid: int, since: float, stop: Callable[[bool], None]) -> None:
        self._world = world
        self._doors = {door.name: door for door in doors}
        self._pid = pid
        self._since = since
        self._stop = stop
        self.stopping = False

    @property
    def bus(self) -> Bus:
        """Where events go."""
        return self._world.bus

    @property
    def doors(self) -> Sequence[str]:
        """The names of the doors."""
        return list(self._doors)

    def status(self) -> dict[str, Any]:
        """The whole state."""
        return status.status(list(self._doors.values()), self._pid, self._since, stopping=self.stopping)

    def healthy(self) -> bool:
        """Whether every door has an active generation with a process that takes streams."""
        return not self.stopping and all(_healthy(door) for door in self._doors.values())

    def streams(self, door: str | None, version: str | None) -> list[dict[str, Any]]:
        """The open streams."""
        doors = list(self._doors.values()) if door is None else [self._door(door)]
        if version is None:
            return [stream for each in doors for stream in status.streams(each)]
        shown = []
        for each in doors:
            for generation in self._generations(each, version):
                shown += status.streams(each, generation)
        return sorted(shown, key=lambda stream: -stream["age_s"])

    def swap(self, door: str, version: str) -> Operation:
        """Start a swap: the backends' tables of the config are read again for it."""
        chosen = self._door(door)
        serving = chosen.switchboard.active
        serves = f"{serving.id} still serves" if serving else "nothing serves yet"
        if self.stopping:
            raise Refused(FAILED, f"frontdoor is stopping, and starts nothing any more; {serves} until then")
        if serving is None:
            raise Refused(BUSY, f"the door {door} is still starting its first generation: try again in a moment")
        if chosen.swap is not None and chosen.swap.under_way:
            raise Refused(
                BUSY,
                f"a swap of the door {door} to {chosen.swap.target} is under way ({chosen.swap.phase}): "
                f"wait until it has ended, and try again; {serves}",
                extra={"swap": chosen.swap.number},
            )
        name, numbered, _ = version.partition("#")
        if numbered:
            self._generations(chosen, version)  # an id must be one that there is
        try:
            settings = load(self._world.settings.path)
            if door not in settings.doors:
                raise Refused(USAGE, f"the config has no door {door} any more; {serves}")
            backend = settings.doors[door].backend(name)
        except ConfigError as error:
            raise Refused(USAGE, f"the config is not valid; {serves}\n{error}") from None
        except UnknownVersion as error:
            raise Refused(USAGE, f"{error}; {serves}") from None
        return chosen.begin_swap(name, backend, settings.text).operation

    def abort(self, door: str, swap: int) -> Operation:
        """End a swap before its switch."""
        chosen = self._door(door)
        operation = self.operation(door, swap)
        if chosen.swap is None or chosen.swap.number != swap or not chosen.swap.abort():
            outcome = operation.outcome("switched")
            message = outcome["message"] if outcome else "it is past its switch"
            raise Refused(FAILED, f"swap {swap} cannot be aborted any more: {message}")
        return operation

    def operation(self, door: str, number: int) -> Operation:
        """A swap, under way or done."""
        operation = self._door(door).operations.get(number)
        if operation is None:
            raise Refused(FAILED, f"no swap {number} of the door {door} is known", status=NOT_FOUND)
        return operation

    def drain(self, door: str, version: str, *, over: float) -> dict[str, Any]:
        """Close the streams of a draining generation, or of all draining ones of a version."""
        chosen = self._door(door)
        found = self._generations(chosen, version)
        draining = [chosen.draining[g.number] for g in found if g.state is State.DRAINING]
        if not draining:
            state = f"{found[-1].id} is {found[-1].state}"
            hint = ": swap to another version first" if found[-1].state is State.ACTIVE else ""
            raise Refused(FAILED, f"nothing to drain: {state}{hint}")
        streams = sum(each.hasten(over) for each in draining)
        ids = ", ".join(each.backend.generation.id for each in draining)
        closing = f"{count(streams, 'stream')} {'is' if streams == 1 else 'are'}"
        how = f"over {over:g} s" if over else "now"
        return {"door": door, "draining": ids, "streams": streams, "message": f"{ids}: {closing} being closed {how}"}

    def stop(self, *, now: bool) -> None:
        """Begin to stop."""
        self._stop(now)

    def restart(self) -> None:
        """SIGHUP: a new generation of every door's active version; one that is busy does so when it is free."""
        for door in self._doors.values():
            self._restart(door)

    def _restart(self, door: Door) -> None:
        active = door.switchboard.active
        if active is None:
            return  # its first generation is being started from the code of this moment
        if door.swap is not None and door.swap.under_way:
            # The candidate may have been started before the code that this signal is about was there.
            door.when_free = partial(self._restart, door)
            self._world.log.info("restart.waits", door=door.name, reason=f"a swap to {door.swap.target} is under way")
            return
        try:
            self.swap(door.name, active.version)
        except Refused as refused:
            self._world.log.warning("restart.refused", door=door.name, reason=refused.message)

    def ignored(self, name: str) -> None:
        """A signal of something that is not built yet."""
        self._world.log.warning("signal.ignored", signal=name, reason="what it asks for is not built yet")

    def _door(self, name: str) -> Door:
        try:
            return self._doors[name]
        except KeyError:
            known = ", ".join(self._doors)
            raise Refused(USAGE, f"there is no door {name!r}: there is {known}", status=NOT_FOUND) from None

    def _generations(self, door: Door, version: str) -> list[Generation]:
        """The generations of that version or with that id, the oldest first."""
        found = [g for g in door.generations.values() if version in (g.version, g.id)]
        if not found:
            known = ", ".join(g.id for g in door.generations.values() if g.state not in ENDED)
            raise Refused(USAGE, f"no generation of {version} runs: there is {known or 'none'}", status=NOT_FOUND)
        return sorted(found, key=lambda generation: generation.number)


def _healthy(door: Door) -> bool:
    active = door.switchboard.active
    return active is not None and any(seat.up for seat in active.seats)
