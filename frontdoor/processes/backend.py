"""The backend: all processes of one generation."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import trio

from frontdoor.config import BackendSettings, HealthSettings, ReadySettings
from frontdoor.keeper.link import ChildReport, Link
from frontdoor.policy.generation import Generation, Seat
from frontdoor.processes.external import External
from frontdoor.processes.member import Member, Running
from frontdoor.processes.output import Line, Ring
from frontdoor.processes.place import Place
from frontdoor.processes.process import Process
from frontdoor.waiting import first_of

Adopted = dict[int, Running]
"""Process number → the process that runs already."""


class Backend:
    """Starts, watches and stops the processes of a generation."""

    def __init__(
        self,
        generation: Generation,
        settings: BackendSettings,
        checks: ReadySettings,
        *,
        door: str,
        home: str,
        runtime_dir: str,
        health: Callable[[], HealthSettings | None],
        link: Link,
        publish: Callable[..., Any],
        told: Callable[[Line], None],
    ) -> None:
        """What stands behind the door while this generation is its active one.

        ``home``: the door's folder, in which the generation's own is made. ``health`` is asked before each check.
        ``publish``: an event, with the generation's fields added. ``told``: each line of output.
        """
        self.generation = generation
        self.ring = Ring(told)
        self.finished = trio.Event()
        """All its processes have ended for good."""
        self.folder = f"{home}/g{generation.number}"
        note: dict[str, object] = {"door": door, "version": generation.version, "number": generation.number}
        self._external = settings.external
        place = Place(door, generation.version, generation.number, runtime_dir, self.folder, note, health)
        self.processes: list[Member] = []
        for number in range(settings.processes):
            address = f"{self.folder}/{number}.sock"
            if settings.external:
                address = settings.address(
                    version=generation.version, generation=generation.number, process=number, runtime_dir=runtime_dir
                )
            seat = Seat(generation, number, address, proxy_protocol=settings.proxy_protocol)
            generation.seats.append(seat)
            if settings.external:
                self.processes.append(External(seat, settings.proxy_protocol, checks, place, publish))
            else:
                self.processes.append(Process(seat, settings, checks, place, link, self.ring, publish))

    def __repr__(self) -> str:
        return f"<Backend {self.generation.id} of {len(self.processes)}>"

    def adopt(self, running: Adopted) -> None:
        """Go on with processes that run already. The generation was ready before: a crash is no answer any more."""
        for process in self.processes:
            process.adopt(running.get(process.seat.process))

    async def run(self) -> None:
        """Live until stopped."""
        try:
            if not self._external:
                self._make_folder()
        except OSError as error:
            for process in self.processes:
                process.give_up(f"its folder {self.folder} cannot be made: {error.strerror}")
        else:
            async with trio.open_nursery() as nursery:
                for process in self.processes:
                    nursery.start_soon(process.run)
            if not self._external:
                # Not in a ``finally``: when this process dies the backend lives on, and its sockets are in there.
                shutil.rmtree(self.folder, ignore_errors=True)
        self.finished.set()

    def _make_folder(self) -> None:
        home = os.path.dirname(self.folder)
        if not os.path.isdir(home):
            os.makedirs(home)
            os.chmod(home, 0o711)  # noqa: S103 - whatever the umask: the users of the generations pass through
        # Only the user that its processes run as: nobody else may speak to them behind the door's back.
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    async def ready(self) -> None:
        """Wait until all processes are ready."""
        for process in self.processes:
            await process.proved.wait()

    async def failed(self) -> str:
        """Wait until one of the processes has failed for good; why, in words."""
        await first_of(*(process.failed for process in self.processes))
        return self.problem()

    def alive(self) -> bool:
        """Whether every process can take streams at this instant."""
        return all(process.seat.up and not process.seat.gone() for process in self.processes)

    def problem(self, unknown: str = "it did not answer") -> str:
        """What is known of why it is not ready; ``unknown`` if that is nothing."""
        # What has failed for good comes first: that another one is not up yet is then beside the point.
        by_weight = sorted(self.processes, key=lambda process: not process.failed.is_set())
        problems = [process.reason for process in by_weight if process.reason]
        return problems[0] if problems else unknown

    def stop(self, at_most: float | None = None) -> None:
        """Stop all processes; ``finished`` is set when none is left. ``at_most``: seconds before SIGKILL."""
        for process in self.processes:
            process.stop(at_most)

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says. False when it is about somebody else."""
        return any(process.on_report(report) for process in self.processes)
