"""One door: its listeners, its route, its generations, its swap."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import trio

from frontdoor.config import DoorSettings
from frontdoor.control.operation import Operation
from frontdoor.door import counters, folder
from frontdoor.door.access_log import DoorAccessLog
from frontdoor.door.draining import Draining
from frontdoor.door.entrance import Refusals, limits, rules, trusted
from frontdoor.door.fleet import Fleet
from frontdoor.door.maintaining import Maintaining
from frontdoor.door.notes import DrainNote
from frontdoor.door.noting import Noting
from frontdoor.door.pausing import Pausing
from frontdoor.door.state import DoorState
from frontdoor.door.swap import Swap
from frontdoor.door.warm import Warm
from frontdoor.door.world import World
from frontdoor.exchanges.exchange import Exchange
from frontdoor.hooks.hooks import Hooks
from frontdoor.keeper.link import ChildReport
from frontdoor.policy.generation import Generation, Happening
from frontdoor.policy.history import History
from frontdoor.policy.ledger import Ledger, Reason
from frontdoor.policy.roster import to_send_away
from frontdoor.policy.share import Turns
from frontdoor.policy.switchboard import Switchboard
from frontdoor.processes.backend import Backend
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.stream import Stream

OPERATIONS_KEPT = 100
"""Swaps of which the outcome can still be asked."""


class Door:
    """One public service."""

    def __init__(self, settings: DoorSettings, world: World, counters_fd: int) -> None:
        self.name = settings.name
        self.settings = settings
        self.world = world
        self.switchboard = Switchboard(self._emptied, self._passed_over)
        self.ledger = Ledger(counters.cells(counters_fd))
        self.gate = Gate(self.name, self.switchboard, self.ledger, limits(settings, world.room))
        self.gate.limit_reached = self._limit_reached
        self.gate.header_refused = Refusals(self.name, world.log)
        self.gate.trusted = trusted(settings)
        self.access_log = DoorAccessLog(self.name, world.log)
        self.gate.http = rules(settings, world.log, self.access_log)
        self.fleet = Fleet(self.name, world, say=self.say, health=lambda: self.settings.health, remember=self.remember)
        self.hooks = Hooks(
            door=self.name,
            settings=lambda: self.settings.hooks,
            folder=world.settings.folder,
            control=os.path.join(world.settings.frontdoor.runtime_dir, folder.CONTROL_SOCKET),
            link=world.link,
            say=self.say,
            output=self._hook_output,
        )
        self.scope = trio.CancelScope()
        """Of what runs as long as the door is there."""
        self.listening: dict[str, list[socket.socket]] = {}
        """Its listening sockets, by the address as the config has it."""
        self.draining: dict[int, Draining] = {}
        self.warm: dict[int, Warm] = {}
        self.history = History()
        self.noting = Noting(self)
        self.remembered: DoorState | None = None
        """What the frontdoor before this one has left behind of it."""
        self.wanted = settings.active
        """The version that its first generation should be, by the rule of ``active``."""
        self.pausing = Pausing(self)
        self.maintaining = Maintaining(self)
        self.removed = trio.Event()
        """It is not in the config any more, and finishes what it has."""
        self.trouble = ""
        """Why nothing is active, if its first generation has failed."""
        self.swap: Swap | None = None
        self.operations: dict[int, Operation] = {}
        self.next_operation = 1
        self._last = settings.active
        """The version that was made active last."""
        self._as_remembered = False
        """What should serve has not become ready since frontdoor was started: the next start is to try it again."""

    def __repr__(self) -> str:
        return f"<Door {self.name}: {self.switchboard.active}, {len(self.fleet.backends)} backends>"

    @property
    def leaving(self) -> bool:
        """It is not in the config any more."""
        return self.removed.is_set()

    @property
    def serves(self) -> str:
        """What serves, as the end of a sentence."""
        active = self.switchboard.active
        if self.world.stopping.is_set():
            return "frontdoor is being stopped"
        return f"{active.id} still serves" if active else "nothing serves"

    # -- what it is told --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run its hooks, until ``scope`` is cancelled."""
        with self.scope:
            await self.hooks.run()

    def listen_on(self, listening: dict[str, list[socket.socket]]) -> None:
        """These are its listening sockets from here on, by address. Those that are gone let in who waits there."""
        self.listening = listening
        self.world.listener.relisten(self.gate, [sock for found in listening.values() for sock in found])

    def accept(self) -> None:
        """Let clients in, unless it is paused."""
        if not self.pausing.paused:
            self.world.listener.open(self.gate)

    def apply(self, settings: DoorSettings) -> None:
        """These settings hold from now on. What is under way goes on as it was begun."""
        if settings.active != self.settings.active:
            self._as_remembered = False
        self.settings = settings
        self.gate.limits = limits(settings, self.world.room)
        self.gate.trusted = trusted(settings)
        # For the next request; who speaks tcp already goes on so.
        self.gate.http = rules(settings, self.world.log, self.access_log)
        if self.gate.http is None:
            self.maintaining.end("the door speaks tcp now")

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says of a child. False when it is none of this door's."""
        return self.fleet.on_report(report) or self.hooks.on_report(report)

    def say(self, event: str, generation: Generation | None = None, /, **fields: Any) -> dict[str, Any]:
        """Publish an event of this door; one that has ``swap`` goes to those who follow that swap, too."""
        if generation is not None:
            fields = {"version": generation.version, "generation": generation.id, **fields}
        said = self.world.bus.publish(event, door=self.name, **fields)
        operation = self.operations.get(fields.get("swap") or -1)
        if operation is not None:
            operation.record(said)
        self.hooks.publish(said)
        return said

    # -- swaps ------------------------------------------------------------------------------------------------------

    def operate(self) -> Operation:
        """A new operation, which can be asked for by its number."""
        number, self.next_operation = self.next_operation, self.next_operation + 1
        operation = self.operations[number] = Operation(number)
        while len(self.operations) > OPERATIONS_KEPT:
            del self.operations[min(self.operations)]
        return operation

    def begin_swap(self, swap: Swap) -> Swap:
        """Start a swap. The caller has made sure that none is under way."""
        if self.swap is not None:
            self.swap.overtake("another swap")
        self.swap = swap
        for place in (self.draining.get(swap.takes or 0), self.warm.get(swap.takes or 0)):
            if place is not None:
                place.reserve(swap.settled)
        self.world.nursery.start_soon(self._run_swap, swap)
        return swap

    def make_room(self) -> None:
        """Send warm generations away, so that one more may be started. Raises Full: those that are left serve."""
        most = self.settings.swap.max_generations
        for generation in to_send_away(self.fleet.generations.values(), most, self.history.previous):
            self.warm[generation.number].cool()

    async def _run_swap(self, swap: Swap) -> None:
        try:
            await swap.run()
        except Exception as error:
            # A swap that fails for a reason of ours takes no stream with it, and keeps no later swap out.
            self.world.log.error("swap.broken", door=self.name, swap=swap.number, error=repr(error))
            swap.broken(f"an error in frontdoor, please report it: {error!r}")
            if self.switchboard.canary is swap.generation:
                self.withdraw(swap.number)
            elif swap.candidate is not None and not swap.switched and swap.takes is None:
                self.world.nursery.start_soon(self.fleet.stop, swap.candidate)
        finally:
            swap.broken("frontdoor stops")  # keeps the outcomes that there are
            swap.ended.set()
            swap.forget()

    async def swap_ended(self) -> None:
        """Wait until nothing more will become of the last swap."""
        if self.swap is not None:
            await self.swap.ended.wait()

    def switch(self, backend: Backend, swap: int | None) -> Draining | None:
        """New streams go to this backend from here on. No await: it is one instant."""
        taken = backend.generation
        old = self.switchboard.switch(taken, time.time())
        self.trouble = ""
        self._last = taken.version
        if swap is not None:
            self._as_remembered = False
        self._take_back(taken)
        if old is None:
            return None
        self.history = self.history.switched(old, taken)
        return self._drain(old, swap)

    def switch_back(self, generation: Generation, swap: int, history: History) -> None:
        """New streams go to ``generation`` again, as if they had never gone elsewhere. ``history``: that of before."""
        self.switch(self.fleet.backends[generation.number], swap)
        self.history = history

    def try_out(self, backend: Backend, share: Turns) -> None:
        """That share of the new streams goes to this backend from here on. No await."""
        self.switchboard.try_out(backend.generation, share, time.time())
        self._take_back(backend.generation)

    def withdraw(self, swap: int) -> None:
        """The canary gets no new stream any more, and drains."""
        self._drain(self.switchboard.withdraw(time.time()), swap)

    def _take_back(self, generation: Generation) -> None:
        """It has new streams again: it neither drains nor is kept for a rollback."""
        for place in (self.draining.pop(generation.number, None), self.warm.pop(generation.number, None)):
            if place is not None:
                place.recall()
        generation.problem = ""  # what was wrong with it before is nothing to who wants it all the same

    def retire(self) -> None:
        """Nothing is active any more: what was, drains."""
        old = self.switchboard.retire(time.time())
        if old is not None:
            self._drain(old, None)

    def _drain(self, generation: Generation, swap: int | None) -> Draining:
        self.world.streams.forget(generation)  # first: no request is sent on what was kept for the next one
        return self._begin_drain(Draining(self, self.fleet.backends[generation.number], swap))

    def resume_drain(self, backend: Backend, note: DrainNote | None) -> Draining:
        """Go on with a drain that was begun by a door process that has died. Without a note it has all its time."""
        return self._begin_drain(Draining(self, backend, note.swap if note else None, resumed=True, note=note))

    def _begin_drain(self, draining: Draining) -> Draining:
        self.draining[draining.backend.generation.number] = draining
        self.world.nursery.start_soon(draining.run)
        return draining

    def keeps_warm(self, backend: Backend) -> float:
        """For how many seconds a generation that is drained now is kept; 0: not at all."""
        gone = self.leaving or backend.finished.is_set() or bool(backend.generation.problem)
        return 0.0 if gone else self.settings.swap.keep_warm

    def keep_warm(self, backend: Backend, keep: float) -> None:
        """Keep a drained generation for so many seconds."""
        warm = self.warm[backend.generation.number] = Warm(self, backend, keep)
        self.world.nursery.start_soon(warm.run)

    def close_stream(self, stream: Stream | Exchange, reason: Reason) -> None:
        """Close a stream in order, for a reason that is not its drain's own."""
        draining = self.draining.get(stream.seat.generation.number) if stream.seat is not None else None
        if draining is not None and stream.deadline is None:
            draining.cut += 1
        self.world.streams.close(stream, reason)

    def _emptied(self, generation: Generation) -> None:
        draining = self.draining.get(generation.number)
        if draining is not None:
            draining.changed()

    def _passed_over(self, canary: Generation) -> None:
        canary.conduct.dial_failed(canary.total, time.monotonic())

    def serve(self, backend: Backend) -> None:
        """Make the first generation, which is ready, the active one."""
        self._as_remembered = backend.generation.version != self.wanted
        backend.generation.happen(Happening.PROVED_READY, time.time())
        if state := self.remembered:
            self.history = History.resumed(backend.generation.version, state.active, state.previous)
        self.switch(backend, None)

    # -- what is remembered -----------------------------------------------------------------------------------------

    async def remember(self) -> None:
        """Make how things stand survive: this process, and then frontdoor itself, as soon as the disk has it."""
        await self.tell_keeper()
        await self.world.record.save()

    async def tell_keeper(self) -> None:
        """Tell the keeper how things stand, for the next door process."""
        await self.noting.tell()

    def state(self) -> DoorState:
        """What the next frontdoor has to know of it."""
        active = self.switchboard.active
        kept = self.remembered if self._as_remembered else None
        return DoorState(
            active=kept.active if kept else active.version if active else self._last,
            configured=kept.configured if kept else self.settings.active,
            previous=kept.previous if kept else self.history.earlier,
            next_generation=self.fleet.next,
            next_swap=self.next_operation,
            maintenance=self.maintaining.now,
        )

    def recall(self, state: DoorState) -> None:
        """Go on counting where the frontdoor before this one has ended."""
        self.remembered, self._as_remembered = state, True
        self.history = History.resumed(state.active, state.active, state.previous)
        self.fleet.next = state.next_generation
        self.next_operation = state.next_swap
        self.maintaining.restore(state.maintenance)

    def _limit_reached(self, limit: str) -> None:
        self.say("limit.reached", limit=limit, open=self.ledger.open)

    def _hook_output(self, about: Mapping[str, Any], hook: str, pid: int, line: str) -> None:
        self.world.log.info("hook.output", door=self.name, **about, hook=hook, pid=pid, line=line)
