"""The doors of this process: opened, started, closed."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from frontdoor.config import DoorSettings, UnknownVersion
from frontdoor.control.operator import NOT_READY
from frontdoor.door import counters, status
from frontdoor.door.door import Door
from frontdoor.door.fleet import why_not_ready
from frontdoor.door.recipe import Recipe
from frontdoor.door.refusal import CannotStart, why_not
from frontdoor.door.state import choose
from frontdoor.door.steps import OUTPUT_SHOWN
from frontdoor.door.world import World
from frontdoor.keeper.link import Held, Link, Refused
from frontdoor.policy.generation import Happening
from frontdoor.policy.swap import Event
from frontdoor.processes.backend import Backend

GIVE_UP_WITHIN = 5.0
"""Seconds that a first generation that did not become ready gets for its stop signal."""


class NotReady(Exception):  # noqa: N818 - an answer, not an error
    """A first generation did not become ready; the text says why."""

    def __init__(self, door: str, backend: Backend, problem: str, *, aborted: bool) -> None:
        super().__init__(problem)
        self.door = door
        self.generation = backend.generation
        self.aborted = aborted
        """It was not waited for any longer."""
        self.output = backend.ring.last(OUTPUT_SHOWN)


class Doors:
    """Every door, by its name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._doors: dict[str, Door] = {}

    def __repr__(self) -> str:
        return f"<Doors {', '.join(self._doors)}>"

    def __iter__(self) -> Iterator[Door]:
        return iter(list(self._doors.values()))

    def __len__(self) -> int:
        return len(self._doors)

    @property
    def names(self) -> Sequence[str]:
        """In the config's order, those that were added later at the end."""
        return list(self._doors)

    def get(self, name: str) -> Door | None:
        """The door of that name."""
        return self._doors.get(name)

    # -- opening ----------------------------------------------------------------------------------------------------

    async def open(self, settings: DoorSettings, held: Held | None = None, *, listening: bool = True) -> Door:
        """A new door with its listening sockets. It does not accept yet. Raises CannotStart.

        ``held``: what the keeper has, which is taken up; ``listening`` False: only what it has is of interest.
        """
        key = f"ledger/{settings.name}"
        entry = held.take(key) if held else None
        if entry is not None and not counters.are_in(entry[1]):
            why = "the keeper has something else as the ledger of this door: it counts anew"
            self.world.log.error("restore.failed", door=settings.name, reason=why)
            for fd in entry[1]:
                os.close(fd)
            entry = None
        memory = entry[1][0] if entry else counters.create(settings.name)
        try:
            if entry is None:
                await self.world.link.put([(key, None, [memory])])
            door = Door(settings, self.world, memory)
        finally:
            os.close(memory)
        opened: dict[str, list[socket.socket]] = {}
        try:
            for address in settings.listen if listening else ():
                opened[address] = await listen(self.world.link, f"listen/{settings.name}/{address}", address, held)
        except CannotStart:
            await self.let_go(settings.name, opened)
            await self.world.link.request("drop", keys=[key])
            raise
        door.listen_on(opened)
        self._doors[door.name] = door
        if state := self.world.record.known(door.name):
            door.recall(state)
        self.world.record.add(door.name, door.state)
        self.world.nursery.start_soon(door.run)
        return door

    async def let_go(self, door: str, listening: dict[str, list[socket.socket]]) -> None:
        """Close listening sockets for good: clients that come now are refused."""
        keys = [f"listen/{door}/{address}" for address in listening]
        await self.world.link.request("drop", keys=keys)
        remove_files(listening)
        for sockets in listening.values():
            for sock in sockets:
                sock.close()

    # -- the first generation ---------------------------------------------------------------------------------------

    async def first(self, door: Door, text: str) -> Backend:
        """The first generation of a door: of the first version that becomes ready. ``text``: of the config.

        Raises NotReady; its processes are ended then.
        """
        versions = self._to_start(door)
        door.wanted = versions[0]
        refusal: NotReady | None = None
        for version in versions:
            recipe = Recipe(version, door.settings.backend(version), door.settings.ready, text)
            try:
                return await self._first(door, recipe)
            except NotReady as error:
                refusal = error
                door.trouble = str(error)
                if error.aborted:
                    break
        assert refusal is not None, "there is a version to start"
        raise refusal

    def _to_start(self, door: Door) -> list[str]:
        """The versions that a door may begin with, in this order: first what is to serve by the rule of ``active``."""

        def known(version: str) -> bool:
            try:
                door.settings.backend(version)
            except UnknownVersion:
                return False
            return True

        active, state = door.settings.active, door.remembered
        version, why = choose(active, state, known)
        if why:
            self.world.log.warning("state.active", door=door.name, reason=why)
        # At last what served last: a new `active` that does not become ready is no reason to serve nothing.
        last = [state.active] if state is not None and known(state.active) else []
        return list(dict.fromkeys((version, active, *last)))

    async def _first(self, door: Door, recipe: Recipe) -> Backend:
        backend = await door.fleet.start(door.fleet.add(recipe.version), recipe)
        event = await door.fleet.prove(backend, recipe.ready.deadline, self.world.stopping, door.removed)
        if event is Event.PROVED_READY:
            return backend
        aborted = event is Event.ABORT
        refusal = NotReady(door.name, backend, why_not_ready(backend, event, recipe.ready.deadline), aborted=aborted)
        happening = Happening.ABANDONED if aborted else Happening.FAILED
        backend.generation.happen_unless_late(happening, time.time())  # whoever takes the door away may have been first
        backend.generation.problem = str(refusal)
        if not aborted:
            reason = f"it did not become ready: {refusal}"
            door.say("swap.failed", backend.generation, reason=reason, output=refusal.output)
        await door.fleet.stop(backend, at_most=GIVE_UP_WITHIN)
        raise refusal

    def say_started(self, door: Door, pid: int) -> None:
        """``pid``: that of serve."""
        door.say("door.started", door.switchboard.active, pid=pid, listen=status.address(door))
        if door.maintaining.now is not None:
            why = "it is in maintenance, as it was before: requests are answered 503 until frontdoor maintenance off"
            self.world.log.warning("state.maintenance", door=door.name, reason=why)

    # -- closing ----------------------------------------------------------------------------------------------------

    async def close_listeners(self, door: Door) -> None:
        """Who is in the backlog has been let in by the kernel: he is served. Who comes now is refused."""
        self.world.listener.finish(door.gate)
        door.pausing.let_go()
        self.world.exchanges.closing(door.gate)
        listening, door.listening, door.gate.listeners = door.listening, {}, ()
        await self.let_go(door.name, listening)

    async def remove(self, door: Door) -> None:
        """Take a door away that is not in the config any more: its streams may live as long as after a swap."""
        door.removed.set()
        door.say("door.stopping", streams=door.ledger.open)
        if door.swap is not None:
            door.swap.abort("the removal of the door")
            await door.swap.settled.wait()
        await self.close_listeners(door)
        door.retire()
        self.world.listener.dismiss(door.gate)
        for number, backend in list(door.fleet.backends.items()):
            if number in door.warm:
                door.warm[number].cool()
            elif number not in door.draining:
                # It never was active: the reload that brought this door has failed.
                backend.generation.happen_unless_late(Happening.STOPPED, time.time())
                self.world.nursery.start_soon(door.fleet.stop, backend)
        for backend in list(door.fleet.backends.values()):
            await backend.finished.wait()
        door.scope.cancel()
        door.access_log.close(0.0)
        del self._doors[door.name]
        with suppress(OSError):
            os.rmdir(door.fleet.home)
        self.world.record.remove(door.name)
        await self.world.link.request("drop", keys=[f"ledger/{door.name}", f"door/{door.name}"])


async def listen(
    link: Link, key: str, address: str, held: Held | None = None, mode: int | None = None, group: str = ""
) -> list[socket.socket]:
    """Listening sockets: those that the keeper holds, or new ones.

    ``mode`` and ``group`` are of the file of a Unix socket. Raises CannotStart.
    """
    entry = held.take(key) if held else None
    try:
        if entry is None:
            fds = (await link.request("listen", key=key, address=address, mode=mode, group=group)).fds
        else:
            fds = entry[1]
    except Refused as error:
        raise CannotStart(f"cannot listen on {address}: {why_not(error)}") from None
    return [socket.socket(fileno=fd) for fd in fds]


def remove_files(listening: dict[str, list[socket.socket]]) -> None:
    """Remove the files of Unix sockets: of those that are listened on, and no file that was in the way of one.

    Those of systemd's sockets are systemd's: it goes on listening there.
    """
    for address, sockets in listening.items():
        for sock in sockets:
            if sock.family == socket.AF_UNIX and not address.startswith("systemd:"):
                with suppress(OSError):
                    os.unlink(sock.getsockname())


def nothing_serves(refusals: Sequence[NotReady]) -> CannotStart:
    """No door has become ready: why not, each with its last output."""
    parts = []
    for refusal in refusals:
        which = f"door {refusal.door}: " if len(refusals) > 1 else ""
        lines = "".join(f"\n  | {line}" for line in refusal.output)
        parts.append(
            f"{which}{refusal.generation.id} did not become ready ({refusal}); nothing serves. "
            f"Its last output:{lines or ' none'}"
        )
    return CannotStart("\nfrontdoor: ".join(parts), NOT_READY)
