"""One door: its listeners, its route, its generations, its swap."""

import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from frontdoor.config import BackendSettings, DoorSettings
from frontdoor.control.operation import MILESTONES, Operation
from frontdoor.door import counters
from frontdoor.door.draining import Draining
from frontdoor.door.notes import DoorNote, GenerationNote, SwapNote
from frontdoor.door.swap import Swap
from frontdoor.door.world import World
from frontdoor.keeper.link import ChildReport, Refused
from frontdoor.policy.generation import ENDED, Generation, Happening, State
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.swap import Event
from frontdoor.policy.switchboard import Switchboard
from frontdoor.processes.backend import Adopted, Backend
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.stream import Stream

ENDED_SHOWN = 5
"""Generations that have ended and are still shown by ``status``."""

OPERATIONS_KEPT = 100
"""Swaps of which the outcome can still be asked."""


class Door:
    """One public service."""

    def __init__(self, settings: DoorSettings, world: World, counters_fd: int) -> None:
        self.name = settings.name
        self.settings = settings
        self.world = world
        self.switchboard = Switchboard(self._emptied)
        self.ledger = Ledger(counters.cells(counters_fd))
        self.gate = Gate(self.name, self.switchboard, self.ledger, self._limits())
        self.gate.limit_reached = self._limit_reached
        self.generations: dict[int, Generation] = {}
        self.backends: dict[int, Backend] = {}
        self.draining: dict[int, Draining] = {}
        self.swap: Swap | None = None
        self.operations: dict[int, Operation] = {}
        self.note = DoorNote()
        self.when_free: Callable[[], None] | None = None
        """Called once when no swap is under way any more: SIGHUP came in the middle of one."""
        self._ended: deque[int] = deque()

    def __repr__(self) -> str:
        return f"<Door {self.name}: {self.switchboard.active}, {len(self.backends)} backends>"

    # -- what it is told --------------------------------------------------------------------------------------------

    def listen_on(self, listeners: list[socket.socket]) -> None:
        """These are its listening sockets. It does not accept yet: ``World.listener`` opens the gate."""
        self.gate.listeners = listeners

    def remove_addresses(self) -> None:
        """Remove the files of its Unix sockets: those that it listens on, and no file that was in its way."""
        for listening in self.gate.listeners:
            if listening.family == socket.AF_UNIX:
                with suppress(OSError):
                    os.unlink(listening.getsockname())

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says of a child. False when it is none of this door's."""
        return any(backend.on_report(report) for backend in self.backends.values())

    def say(self, event: str, generation: Generation | None = None, /, **fields: Any) -> dict[str, Any]:
        """Publish an event of this door; one that has ``swap`` goes to those who follow that swap, too."""
        if generation is not None:
            fields = {"version": generation.version, "generation": generation.id, **fields}
        said = self.world.bus.publish(event, door=self.name, **fields)
        operation = self.operations.get(fields.get("swap") or -1)
        if operation is not None:
            operation.record(said)
        return said

    # -- swaps ------------------------------------------------------------------------------------------------------

    def begin_swap(self, version: str, settings: BackendSettings, text: str) -> Swap:
        """Start a swap. The caller has made sure that none is under way."""
        number, self.note.next_swap = self.note.next_swap, self.note.next_swap + 1
        swap = self.swap = Swap(self, number, version, settings, text)
        self.operations[number] = swap.operation
        while len(self.operations) > OPERATIONS_KEPT:
            del self.operations[min(self.operations)]
        self.world.nursery.start_soon(self._run_swap, swap)
        return swap

    async def _run_swap(self, swap: Swap) -> None:
        try:
            await swap.run()
        except Exception as error:
            # A swap that fails for a reason of ours takes no stream with it, and keeps no later swap out.
            self.world.log.error("swap.broken", door=self.name, swap=swap.number, error=repr(error))
            swap.broken(f"an error in frontdoor, please report it: {error!r}")
            if swap.candidate is not None and not swap.switched:
                self.world.nursery.start_soon(self.stop_backend, swap.candidate)
        finally:
            swap.broken("frontdoor stops")  # keeps the outcomes that there are
            swap.ended.set()
            self.free()

    async def swap_ended(self) -> None:
        """Wait until nothing more will become of the last swap."""
        if self.swap is not None:
            await self.swap.ended.wait()

    def close_stream(self, stream: Stream, reason: Reason) -> None:
        """Close a stream in order, for a reason that is not its drain's own."""
        draining = self.draining.get(stream.seat.generation.number)
        if draining is not None and stream.deadline is None:
            draining.cut += 1
        self.world.relay.close(stream, reason)

    def free(self) -> None:
        """The swap is settled: another one may begin."""
        callback, self.when_free = self.when_free, None
        if callback is not None:
            callback()

    def switch(self, backend: Backend, swap: int | None) -> Draining | None:
        """New streams go to this backend from here on. No await: it is one instant."""
        old = self.switchboard.switch(backend.generation, time.time())
        if old is None:
            return None
        draining = self.draining[old.number] = Draining(self, self.backends[old.number])
        self.world.nursery.start_soon(draining.run, swap)
        return draining

    async def prove(self, backend: Backend, abort: trio.Event) -> Event:
        """Wait until the backend is ready, or will not be: what happened first."""
        happened: list[Event] = []

        async def until(wait: Callable[[], Any], event: Event, scope: trio.CancelScope) -> None:
            await wait()
            happened.append(event)
            scope.cancel()

        with trio.move_on_after(self.settings.ready.deadline):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until, backend.ready, Event.PROVED_READY, nursery.cancel_scope)
                nursery.start_soon(until, backend.failed, Event.CANDIDATE_FAILED, nursery.cancel_scope)
                nursery.start_soon(until, abort.wait, Event.ABORT, nursery.cancel_scope)
        if Event.CANDIDATE_FAILED in happened:
            return Event.CANDIDATE_FAILED  # it may have been ready, and then exited
        return happened[0] if happened else Event.DEADLINE

    def why_not_ready(self, backend: Backend, event: Event) -> str:
        """What came of ``prove``, in words: ``event`` is its answer."""
        if event is Event.DEADLINE:
            return f"not ready within {self.settings.ready.deadline:g} s: {backend.problem()}"
        return backend.problem()

    # -- generations ------------------------------------------------------------------------------------------------

    async def start_backend(
        self, version: str, settings: BackendSettings, text: str, say: Callable[..., Any] | None = None
    ) -> Backend:
        """A new generation of ``version``; its processes are being started when this returns.

        ``text``: of the config that ``settings`` were read from.
        """
        number, self.note.next_generation = self.note.next_generation, self.note.next_generation + 1
        generation = Generation(version, number, time.time())
        # Before there is a process of that number: it must never be given again, and the next door process must know
        # how to run it, though the file may have changed by then.
        await self.world.link.request("note", key=self._config_key(generation), note=text)
        await self.remember()
        backend = self.add_backend(generation, settings, say)
        self.world.nursery.start_soon(self._run_backend, backend)
        return backend

    def restore_backend(self, generation: Generation, settings: BackendSettings, adopted: Adopted) -> Backend:
        """A generation that runs already."""
        backend = self.add_backend(generation, settings, None)
        backend.adopt(adopted)
        self.world.nursery.start_soon(self._run_backend, backend)
        return backend

    def add_backend(self, generation: Generation, settings: BackendSettings, say: Callable[..., Any] | None) -> Backend:
        """Make the backend of a generation known."""
        backend = self.backends[generation.number] = Backend(
            generation,
            settings,
            self.settings.ready,
            door=self.name,
            runtime_dir=self.world.settings.frontdoor.runtime_dir,
            link=self.world.link,
            publish=say or partial(self._say_of, generation),
            told=partial(self._output, generation),
        )
        self.generations[generation.number] = generation
        return backend

    def _say_of(self, generation: Generation, event: str, /, **fields: Any) -> None:
        self.say(event, generation, **fields)

    async def _run_backend(self, backend: Backend) -> None:
        try:
            await backend.run()
        except Exception as error:
            # Whatever is wrong with one generation, or with our code for it, costs no other its streams.
            self.world.log.error("backend.broken", generation=backend.generation.id, error=repr(error))
            for process in backend.processes:
                process.give_up(f"an error in frontdoor, please report it: {error!r}")
            backend.finished.set()

    async def stop_backend(self, backend: Backend, at_most: float | None = None) -> None:
        """Stop a backend that has no stream any more, and forget it."""
        generation = backend.generation
        backend.stop(at_most)
        await backend.finished.wait()
        if self.backends.pop(generation.number, None) is None:
            return  # somebody else waited for the same
        if generation.state is State.STOPPING:
            generation.happen(Happening.GONE, time.time())
        self.draining.pop(generation.number, None)
        self.say("generation.stopped", generation)
        self._ended.append(generation.number)
        while len(self._ended) > ENDED_SHOWN:
            del self.generations[self._ended.popleft()]
        await self.world.link.request("drop", keys=[self._config_key(generation)])
        await self.remember()

    def _emptied(self, generation: Generation) -> None:
        draining = self.draining.get(generation.number)
        if draining is not None:
            draining.changed()

    def _output(self, generation: Generation, pid: int, line: str) -> None:
        self.world.log.info(
            "output", door=self.name, version=generation.version, generation=generation.id, pid=pid, line=line
        )

    # -- for the next door process ----------------------------------------------------------------------------------

    async def remember(self) -> None:
        """Tell the keeper how things stand."""
        note, swap = self.note, self.swap
        note.active = self.switchboard.active.number if self.switchboard.active else None
        note.generations = [
            GenerationNote(g.version, g.number, str(g.state), g.since, g.total, g.up_bytes, g.down_bytes)
            for g in self.generations.values()
            if g.state not in ENDED
        ]
        if swap is not None:
            outcomes = {name: swap.operation.outcome(name) for name in MILESTONES}
            note.swap = SwapNote(swap.number, swap.switched, swap.message, outcomes)
        try:
            await self.world.link.request("note", key=f"door/{self.name}", note=note.encode())
        except Refused as error:
            # It serves all the same; a crash of this process now would take it back to what was noted last.
            self.world.log.error("note.failed", door=self.name, error=error.strerror)

    def _config_key(self, generation: Generation) -> str:
        return f"config/{self.name}/{generation.number}"

    # -- limits -----------------------------------------------------------------------------------------------------

    def _limits(self) -> Limits:
        limits = self.settings.limits
        connections = min(limits.connections or math.inf, self.world.room)
        return Limits(
            connections=int(connections),
            connect_timeout=limits.connect_timeout,
            hold_timeout=limits.hold_timeout,
            idle_timeout=limits.idle_timeout,
            half_close_timeout=limits.half_close_timeout,
        )

    def _limit_reached(self, limit: str) -> None:
        self.say("limit.reached", limit=limit, open=self.ledger.open)
