"""The backend: all processes of one generation."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import trio

from frontdoor.config import BackendSettings, ReadySettings
from frontdoor.keeper.link import ChildReport, Link
from frontdoor.policy.generation import Generation, Seat
from frontdoor.processes.output import Ring
from frontdoor.processes.place import Place
from frontdoor.processes.process import Process, cancel_after

Adopted = dict[int, tuple[ChildReport, int, bool]]
"""Process number → the process that runs already, its output, and whether it was ready."""


class Backend:
    """Starts, watches and stops the processes of a generation."""

    def __init__(
        self,
        generation: Generation,
        settings: BackendSettings,
        checks: ReadySettings,
        *,
        door: str,
        runtime_dir: str,
        link: Link,
        publish: Callable[..., Any],
        told: Callable[[int, str], None],
    ) -> None:
        """``publish``: an event, with the generation's fields added; ``told``: each line of output, with its pid."""
        self.generation = generation
        self.ring = Ring(told)
        self.finished = trio.Event()
        """All its processes have ended for good."""
        self.folder = f"{runtime_dir}/g{generation.number}"
        note: dict[str, object] = {"door": door, "version": generation.version, "number": generation.number}
        place = Place(door, generation.version, generation.number, runtime_dir, self.folder, note)
        self.processes: list[Process] = []
        for number in range(settings.processes):
            seat = Seat(generation, number, f"{self.folder}/{number}.sock")
            generation.seats.append(seat)
            self.processes.append(Process(seat, settings, checks, place, link, self.ring, publish))

    def __repr__(self) -> str:
        return f"<Backend {self.generation.id} of {len(self.processes)}>"

    def adopt(self, running: Adopted) -> None:
        """Go on with processes that run already. The generation was ready before: a crash is no answer any more."""
        for process in self.processes:
            process.proved.set()
            if process.seat.process in running:
                report, output, was_ready = running[process.seat.process]
                process.adopt(report, output, was_ready=was_ready)

    async def run(self) -> None:
        """Live until stopped."""
        try:
            # Only the owner, whom its processes run as: nobody else may speak to them behind the door's back.
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        except OSError as error:
            for process in self.processes:
                process.give_up(f"its folder {self.folder} cannot be made: {error.strerror}")
        else:
            async with trio.open_nursery() as nursery:
                for process in self.processes:
                    nursery.start_soon(process.run)
            # Not in a ``finally``: when this process dies the backend lives on, and its sockets are in there.
            shutil.rmtree(self.folder, ignore_errors=True)
        self.finished.set()

    async def ready(self) -> None:
        """Wait until all processes are ready."""
        for process in self.processes:
            await process.proved.wait()

    async def failed(self) -> str:
        """Wait until one of the processes has failed for good; why, in words."""
        async with trio.open_nursery() as nursery:
            for process in self.processes:
                nursery.start_soon(cancel_after, process.failed, nursery.cancel_scope)
        return self.problem()

    def alive(self) -> bool:
        """Whether every process can take streams at this instant."""
        return all(process.seat.up and not process.seat.gone() for process in self.processes)

    def problem(self) -> str:
        """What is known of why it is not ready."""
        # What has failed for good comes first: that another one is not up yet is then beside the point.
        by_weight = sorted(self.processes, key=lambda process: not process.failed.is_set())
        problems = [process.reason for process in by_weight if process.reason]
        return problems[0] if problems else "it did not answer"

    def stop(self, at_most: float | None = None) -> None:
        """Stop all processes; ``finished`` is set when none is left. ``at_most``: seconds before SIGKILL."""
        for process in self.processes:
            process.stop(at_most)

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says. False when it is about somebody else."""
        for process in self.processes:
            if process.key == report.key:
                process.on_report(report)
                return True
        return False
