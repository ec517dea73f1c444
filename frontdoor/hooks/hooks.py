"""Hooks: the user's programs, told of what happens. Two of them may forbid a swap; the others stop nothing.

Whatever a hook does, no traffic waits for it: each kind has a queue of its own, which is bounded, and a task that runs
its hook for one event after the other.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import trio

from frontdoor.config import HooksSettings
from frontdoor.control.wording import count, printable
from frontdoor.hooks.hook import Hook, environment
from frontdoor.keeper.link import ChildReport, Link

BEFORE_SWAP = "before_swap"
"""The hook that is asked, and not told, before anything of a candidate is started."""

BEFORE_SWITCH = "before_switch"
"""The one that is asked when the candidate is ready, and has no stream yet."""

TOLD: dict[str, str] = {
    "backend.ready": "ready",
    "swap.switched": "switched",
    "drain.finished": "drained",
    "backend.exited": "exited",
    "swap.failed": "failed",
    "swap.rolled_back": "failed",
    "swap.aborted": "aborted",
    "swap.vetoed": "aborted",
}
"""Event → the hook that is told of it. ``hook.failed`` is none of them, and must not be: it would never end."""

QUEUE = 100
"""Events that may wait for one hook. Past it the oldest are dropped: the last is how things stand."""

OUTPUT_SHOWN = 20
"""Last lines of a hook that are part of the event of its failure."""

SAID_LAST = 300
"""Characters of a hook's last line that are part of the reason why a swap was vetoed."""


class Queue:
    """Events that wait for one hook."""

    def __init__(self) -> None:
        self._events: deque[Mapping[str, Any]] = deque(maxlen=QUEUE)
        self._dropped = 0
        self._filled = trio.Event()
        self._settled = trio.Event()
        """Nothing waits, and nobody is being told of anything."""
        self._settled.set()

    def put(self, event: Mapping[str, Any]) -> None:
        """Add an event; a full queue loses its oldest."""
        self._dropped += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._filled.set()
        if self._settled.is_set():
            self._settled = trio.Event()

    async def take(self) -> tuple[Mapping[str, Any], int]:
        """The oldest event, and how many were dropped since the last one was taken."""
        while not self._events:
            self._settled.set()
            self._filled = trio.Event()
            await self._filled.wait()
        dropped, self._dropped = self._dropped, 0
        return self._events.popleft(), dropped

    async def settled(self) -> None:
        """Wait until every event has been told of."""
        await self._settled.wait()


class Hooks:
    """The hooks of one door."""

    def __init__(
        self,
        *,
        door: str,
        settings: Callable[[], HooksSettings],
        folder: str,
        control: str,
        link: Link,
        say: Callable[..., object],
        output: Callable[[Mapping[str, Any], str, int, str], None],
    ) -> None:
        """What the hooks run with.

        ``settings``: asked before each run, so that a reload changes the next one; ``folder``: the config's, where
        they run; ``control``: path of the control socket; ``say``: publishes an event of this door; ``output``: told
        of each line that a hook prints, with what its event is about, the hook's name and its pid.
        """
        self._door = door
        self._settings = settings
        self._folder = folder
        self._control = control
        self._link = link
        self._say = say
        self._output = output
        self._queues = {hook: Queue() for hook in TOLD.values()}
        self._numbers = itertools.count(1)
        self._hooks: dict[str, Hook] = {}
        """Those that run, by their key."""
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Hooks {self._door}: {[hook.name for hook in self._hooks.values()]} run>"

    def publish(self, event: Mapping[str, Any]) -> None:
        """Pass on an event to the hook that wants it, if there is one. Never waits."""
        hook = TOLD.get(event["event"])
        if event["event"] == "swap.rolled_back" and "reason" not in event:
            return  # somebody has asked for it: nothing has failed
        if hook is not None and event.get("door", self._door) == self._door and self._command(hook):
            self._queues[hook].put(event)

    async def run(self) -> None:
        """Run hooks until cancelled; those that run then are ended."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for hook, queue in self._queues.items():
                    nursery.start_soon(self._serve, hook, queue)
        finally:
            self._nursery = None

    def asks(self, name: str) -> bool:
        """Whether there is such a hook, ``before_swap`` or ``before_switch``."""
        return bool(self._command(name))

    async def veto(self, name: str, event: Mapping[str, Any]) -> str | None:
        """Ask that one: None to go on, else why not. When this is cancelled the hook is ended."""
        problem, output, _ = await self._call(name, event)
        if not problem:
            return None
        last = next((line.strip() for line in reversed(output) if line.strip()), "")
        said = f": {printable(last)[:SAID_LAST]}" if last else ""
        return f"the {name} hook {problem}{said}"

    async def settled(self) -> None:
        """Wait until all that was published has been told."""
        for queue in self._queues.values():
            await queue.settled()

    def on_report(self, report: ChildReport) -> bool:
        """Pass on what the keeper says. False when it is about somebody else."""
        hook = self._hooks.get(report.key)
        if hook is not None:
            hook.on_report(report)
        return hook is not None

    async def _serve(self, name: str, queue: Queue) -> None:
        while True:
            event, dropped = await queue.take()
            if dropped:
                missed = f"{count(dropped, 'event')} dropped: they came faster than it could be run"
                self._say("hook.failed", hook=name, reason=missed)
            problem, output, pid = await self._call(name, event)
            if problem:
                self._say("hook.failed", pid=pid, hook=name, reason=problem, output=output, **_about(event))

    async def _call(self, name: str, event: Mapping[str, Any]) -> tuple[str, list[str], int | None]:
        """Run a hook for an event: why it failed, or an empty string; its last lines; its pid, if it was started."""
        command = self._command(name)  # now: a reload may have changed it since the event came
        if not command:
            return "", [], None
        # With the pid: a hook of the door process before this one may still be there.
        key = f"hook/{self._door}/{os.getpid()}.{next(self._numbers)}"
        told = partial(self._output, _about(event))
        hook = self._hooks[key] = Hook(key, name, door=self._door, link=self._link, output=told)
        env = environment(event, door=self._door, control=self._control)
        try:
            problem = await hook.run(command, event, env=env, cwd=self._folder, at_most=self._settings().timeout)
        except Exception as error:
            problem = f"ran into an error in frontdoor, please report it: {error!r}"
        finally:
            if hook.forgotten or self._nursery is None:
                del self._hooks[key]
            else:
                self._nursery.start_soon(self._see_off, hook)
        return problem, hook.last(OUTPUT_SHOWN), hook.pid or None

    async def _see_off(self, hook: Hook) -> None:
        """Wait for the end of a hook that SIGKILL has not ended in time: nobody else does."""
        await hook.end()
        del self._hooks[hook.key]

    def _command(self, name: str) -> tuple[str, ...]:
        command: tuple[str, ...] = getattr(self._settings(), name)
        return command


def _about(event: Mapping[str, Any]) -> dict[str, Any]:
    """What is said with all that comes of an event."""
    return {field: event[field] for field in ("version", "generation", "swap") if event.get(field) is not None}
