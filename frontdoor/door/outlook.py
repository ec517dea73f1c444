"""What can be seen of this door process, by whoever may use the control API."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from frontdoor.control.events import Bus
from frontdoor.control.feed import Feed, Follower
from frontdoor.control.operator import NOT_FOUND, USAGE, Refused
from frontdoor.door import orders, status
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors
from frontdoor.door.live import Live
from frontdoor.door.report_archive import Archive
from frontdoor.door.report_files import ReportFiles
from frontdoor.door.reporting import Reporting
from frontdoor.door.scrape import Scrape
from frontdoor.door.status import Look
from frontdoor.exchanges.exchange import Exchange
from frontdoor.traffic.stream import Stream


class Outlook:
    """The half of ``control.operator.Operator`` that changes nothing."""

    def __init__(self, doors: Doors, pid: int, since: float) -> None:
        """``pid``, ``since``: of serve, the latter on the monotonic clock."""
        self._doors = doors
        self._world = doors.world
        self.pid = pid
        self._since = since
        self.stopping = False
        self.admin: str | None = None
        """Where the control API is offered over TCP, if it is."""
        self.scrape = Scrape(doors, self.look)
        self.reporting = Reporting(doors, ReportFiles(self._world.settings.frontdoor.state_dir, self._world.log))
        self.archive = Archive(self.reporting)
        self.lively = Live(doors, self.look, lambda: self.scrape.lag.last_ms)

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

    def admin_hosts(self) -> Sequence[str]:
        """Further names by which the control API is reached."""
        return self._world.settings.frontdoor.admin_hosts

    async def status(self) -> dict[str, Any]:
        """The whole state."""
        return (await self.look()).status

    async def look(self) -> Look:
        """The same, with what it was made from."""
        generations = [generation for door in self._doors for generation in door.fleet.generations.values()]
        sums = await status.carried(self._world.streams, generations)
        vault = self._world.protection.status()
        earlier = self._world.predecessors.status()
        now = status.status(
            self._doors,
            sums,
            vault,
            self.pid,
            self._since,
            stopping=self.stopping,
            earlier=earlier,
            log={
                "dropped": self._world.log.dropped,
                "requests_dropped": sum(door.access_log.dropped for door in self._doors),
            },
            admin=self.admin,
        )
        return Look(now, sums)

    def live(self) -> AbstractAsyncContextManager[Follower]:
        """How things stand, again and again."""
        return self.lively.follow()

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The same for Prometheus."""
        return await self.scrape.text(accept)

    async def reports(self, door: str) -> list[dict[str, Any]]:
        """A summary of each swap of a door, the newest first."""
        return await self.archive.summaries(self._door(door).name)

    async def report(self, door: str, number: int | None, form: str) -> tuple[bytes, str]:
        """What happened in a swap."""
        return await self.archive.report(self._door(door).name, number, form)

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

    def _door(self, name: str) -> Door:
        door = self._doors.get(name)
        if door is None:
            known = ", ".join(self._doors.names)
            raise Refused(USAGE, f"there is no door {name!r}: there is {known}", status=NOT_FOUND)
        return door


def _healthy(door: Door) -> bool:
    active = door.switchboard.active
    return active is not None and any(seat.up for seat in active.seats)
