"""The fleet: the generations of one door as running things, from the first process to the last."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from frontdoor.config import HealthSettings
from frontdoor.control.feed import timestamp
from frontdoor.door.folder import door_home
from frontdoor.door.recipe import Recipe
from frontdoor.door.world import World
from frontdoor.keeper.link import ChildReport
from frontdoor.policy.generation import Generation, Happening, State
from frontdoor.policy.swap import Event
from frontdoor.processes.backend import Adopted, Backend
from frontdoor.processes.output import Line

ENDED_SHOWN = 5
"""Generations that have ended and are still shown by ``status`` and ``logs``; and as many that have failed."""

Say = Callable[..., Any]


class Fleet:
    """Starts, restores, proves and stops the generations of a door."""

    def __init__(
        self,
        door: str,
        world: World,
        *,
        say: Say,
        health: Callable[[], HealthSettings | None],
        remember: Callable[[], Awaitable[object]],
    ) -> None:
        """``say``: publish an event of a generation; ``remember``: make what has changed survive this process."""
        self.generations: dict[int, Generation] = {}
        """Those that run, and the last few that have ended."""
        self.backends: dict[int, Backend] = {}
        """Of those that run."""
        self.next = 1
        """The number of the next generation."""
        self._door = door
        self._world = world
        self._say = say
        self._health = health
        self._remember = remember
        self._ended: deque[Backend] = deque()
        self._failed: deque[Backend] = deque()

    def __repr__(self) -> str:
        return f"<Fleet of {self._door}: {list(self.generations.values())}>"

    @property
    def home(self) -> str:
        """The folder in which generations have theirs."""
        return door_home(self._world.settings.frontdoor.runtime_dir, self._door)

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says of a child. False when it is none of these."""
        return any(backend.on_report(report) for backend in self.backends.values())

    def add(self, version: str) -> Generation:
        """A new generation, with a number that none had before. Nothing of it runs yet."""
        generation = Generation(version, self.next, time.time())
        self.next += 1
        return generation

    async def start(self, generation: Generation, recipe: Recipe, say: Say | None = None) -> Backend:
        """Start a generation; its processes are being started when this returns."""
        # Before there is a process of that number: it must never be given again, and the next door process must know
        # how to run it, though the file may have changed by then.
        await self._world.link.request("note", key=self._config_key(generation), note=recipe.encode())
        backend = self._backend(generation, recipe, say)
        await self._remember()
        self._world.nursery.start_soon(self._run, backend)
        return backend

    def restore(self, generation: Generation, recipe: Recipe, adopted: Adopted) -> Backend:
        """A generation that runs already."""
        backend = self._backend(generation, recipe, None)
        backend.adopt(adopted)
        self._world.nursery.start_soon(self._run, backend)
        return backend

    async def prove(self, backend: Backend, deadline: float, *aborts: trio.Event) -> Event:
        """Wait until the backend is ready, or will not be: what happened first.

        ``deadline``: in seconds; ``aborts``: it is not waited for any longer when one of them happens.
        """
        happened: list[Event] = []

        async def until(wait: Callable[[], Any], event: Event, scope: trio.CancelScope) -> None:
            await wait()
            happened.append(event)
            scope.cancel()

        with trio.move_on_after(deadline):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until, backend.ready, Event.PROVED_READY, nursery.cancel_scope)
                nursery.start_soon(until, backend.failed, Event.CANDIDATE_FAILED, nursery.cancel_scope)
                for abort in aborts:
                    nursery.start_soon(until, abort.wait, Event.ABORT, nursery.cancel_scope)
        if Event.CANDIDATE_FAILED in happened:
            return Event.CANDIDATE_FAILED  # it may have been ready, and then exited
        return happened[0] if happened else Event.DEADLINE

    async def stop(self, backend: Backend, at_most: float | None = None) -> None:
        """Stop a backend that has no stream any more, and forget it."""
        generation = backend.generation
        backend.stop(at_most)
        await backend.finished.wait()
        if self.backends.pop(generation.number, None) is None:
            return  # somebody else waited for the same
        if generation.state is State.STOPPING:
            generation.happen(Happening.FAILED if generation.problem else Happening.GONE, time.time())
        self._say("generation.stopped", generation)
        # Those that failed have a place of their own: a day of deploys must not push out what the bad one said.
        ended = self._failed if generation.state is State.FAILED else self._ended
        ended.append(backend)
        while len(ended) > ENDED_SHOWN:
            del self.generations[ended.popleft().generation.number]
        await self._world.link.request("drop", keys=[self._config_key(generation)])
        await self._remember()

    def output(self, generation: Generation, count: int) -> list[dict[str, Any]]:
        """The last lines that its processes printed."""
        known = [*self.backends.values(), *self._ended, *self._failed]
        backend = next((backend for backend in known if backend.generation is generation), None)
        lines = backend.ring.lines[-count:] if backend is not None and count else []
        return [self._line(generation, line) for line in lines]

    def _backend(self, generation: Generation, recipe: Recipe, say: Say | None) -> Backend:
        backend = self.backends[generation.number] = Backend(
            generation,
            recipe.backend,
            recipe.ready,
            door=self._door,
            home=self.home,
            runtime_dir=self._world.settings.frontdoor.runtime_dir,
            health=self._health,
            link=self._world.link,
            publish=say or partial(self._say_of, generation),
            told=partial(self._told, generation),
        )
        self.generations[generation.number] = generation
        return backend

    def _say_of(self, generation: Generation, event: str, /, **fields: Any) -> None:
        self._say(event, generation, **fields)

    async def _run(self, backend: Backend) -> None:
        try:
            await backend.run()
        except Exception as error:
            # Whatever is wrong with one generation, or with our code for it, costs no other its streams.
            about = {"version": backend.generation.version, "generation": backend.generation.id}
            self._world.log.error("backend.broken", door=self._door, **about, error=repr(error))
            for process in backend.processes:
                process.give_up(f"an error in frontdoor, please report it: {error!r}")
            backend.finished.set()

    def _told(self, generation: Generation, line: Line) -> None:
        said = self._line(generation, line)
        self._world.outputs.add(said)
        self._world.log.info("output", **{key: value for key, value in said.items() if key != "time"})

    def _line(self, generation: Generation, line: Line) -> dict[str, Any]:
        return {
            "time": timestamp(line.time),
            "door": self._door,
            "version": generation.version,
            "generation": generation.id,
            "pid": line.pid,
            "line": line.text,
        }

    def _config_key(self, generation: Generation) -> str:
        return f"config/{self._door}/{generation.number}"


def why_not_ready(backend: Backend, event: Event, deadline: float) -> str:
    """What came of a proof that ended with ``event``, in words. ``deadline``: the time it had, in seconds."""
    if event is Event.DEADLINE:
        return f"not ready within {deadline:g} s: {backend.problem()}"
    return backend.problem()
