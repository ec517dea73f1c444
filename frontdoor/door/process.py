"""The door process: its nursery tree, from the first message to the keeper to the last.

::

    link                 messages from the keeper, for ever
    └─ serving           relay, listener's waiting clients, sweeper, control API, backends, swaps, drains
"""

import os
import signal
import socket
import time

import trio

from frontdoor.config import ConfigError, Settings, load, parse
from frontdoor.control import api, server
from frontdoor.control.events import Bus
from frontdoor.control.operator import DONE, NOT_READY, USAGE
from frontdoor.door import counters, folder, status
from frontdoor.door.door import Door
from frontdoor.door.operator import DoorOperator
from frontdoor.door.refusal import CannotStart, confess, in_words, why_not
from frontdoor.door.restore import restore
from frontdoor.door.stop import STOPPING, Stop
from frontdoor.door.swap import OUTPUT_SHOWN
from frontdoor.door.world import World
from frontdoor.keeper.link import ChildReport, Held, Link, Refused
from frontdoor.observe.log import Log
from frontdoor.policy.generation import Happening
from frontdoor.policy.swap import Event
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.sweeper import Sweeper

_STOPS = (signal.SIGTERM, signal.SIGINT)

OTHER_DESCRIPTORS = 512
"""Descriptors for everything that is not a stream: pipes at work, control clients, outputs of backends, logs."""


PIPES_SHARE = 20
"""One in so many descriptors is kept for pipes of slow receivers, when there are as many streams as there may be: with
too few of them, some stalled readers would hold up everybody."""


class DoorProcess:
    """The composition root."""

    def __init__(self, link: Link, config: str, nofile: int) -> None:
        self._link = link
        self._config = config
        self._nofile = nofile
        self._doors: list[Door] = []
        self._early_signals: list[int] = []
        self._stop: Stop | None = None
        self._operator: DoorOperator | None = None
        self._nursery: trio.Nursery | None = None
        self._folder: str | None = None
        """The runtime folder, once it is ours."""
        self._was_stopping = False
        """The door process before this one died on the way out."""
        self._doomed: set[str] = set()
        """Keys of processes that nobody has taken up: they are being ended."""

    async def run(self) -> int:
        """Serve until stopped; the exit code. Raises KeeperGone when the keeper has died."""
        code = DONE
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._link.on_exit = self._on_exit
            self._link.on_signal = self._on_signal
            nursery.start_soon(self._link.run)
            try:
                held = await self._link.hello()
                code = await self._serve(held)
            except* CannotStart as errors:
                code = confess(errors)
            # Only here: after an exception the next door process goes on with what is in the folder.
            if self._folder is not None:
                folder.clear(self._folder)
            for door in self._doors:
                door.remove_addresses()
            await self._link.request("bye", code=code)
            nursery.cancel_scope.cancel()
        return code

    async def _serve(self, held: Held) -> int:
        settings = self._settings(held)
        self._was_stopping = held.take(STOPPING) is not None
        log = Log(format=settings.frontdoor.log_format, level=settings.frontdoor.log_level)
        bus = Bus()
        bus.subscribe(log.publish)
        await self._claim(settings, held)
        try:
            control = await self._control_listener(settings, held)
            async with trio.open_nursery() as nursery:
                world = self._world(settings, log, bus, nursery)
                self._stop = Stop(world, self._doors)
                await self._open_doors(world, held)
                self._operator = DoorOperator(world, self._doors, held.keeper, held.since, self._stop.begin)
                nursery.start_soon(world.relay.run)
                nursery.start_soon(Sweeper(world.relay).run)
                nursery.start_soon(self._control, self._operator, control, log)
                early, self._early_signals = self._early_signals, []
                for number in early:
                    if number in _STOPS:
                        self._on_signal(number)  # now: the first generation may take long to become ready, or never be
                await self._begin(world, held)
                for number in early:
                    if number not in _STOPS:
                        self._on_signal(number)  # now there is something to restart
                if self._was_stopping:
                    self._stop.begin(now=False)
                await self._stop.run(self._operator)
                nursery.cancel_scope.cancel()
        finally:
            bus.close()
            log.close(1.0)
        return DONE

    # -- the steps of a start ---------------------------------------------------------------------------------------

    def _settings(self, held: Held) -> Settings:
        """The config: the file's, or after a crash what was in it when it was last applied."""
        kept = held.take("config")
        try:
            return load(self._config) if kept is None else parse(kept[0], self._config)
        except ConfigError as error:
            raise CannotStart(str(error), USAGE) from None

    async def _claim(self, settings: Settings, held: Held) -> None:
        """Make the runtime folder ours."""
        path = settings.frontdoor.runtime_dir
        if held.take("lock") is not None:
            self._folder = path
            return
        try:
            folder.prepare(path)
            lock = folder.lock(path, held.keeper)
            folder.sweep(path)
        except folder.FolderError as error:
            raise CannotStart(str(error)) from None
        self._folder = path
        await self._link.request("put", [lock], key="lock")
        os.close(lock)
        await self._link.request("note", key="config", note=settings.text)

    async def _control_listener(self, settings: Settings, held: Held) -> socket.socket:
        path = os.path.join(settings.frontdoor.runtime_dir, folder.CONTROL_SOCKET)
        (sock,) = await self._listen("listen/control", f"unix:{path}", held, mode=0o600)
        return sock

    async def _listen(self, key: str, address: str, held: Held, mode: int | None = None) -> list[socket.socket]:
        """Listening sockets: those that the keeper holds, or new ones."""
        entry = held.take(key)
        try:
            fds = entry[1] if entry else (await self._link.request("listen", key=key, address=address, mode=mode)).fds
        except Refused as error:
            raise CannotStart(f"cannot listen on {address}: {why_not(error)}") from None
        return [socket.socket(fileno=fd) for fd in fds]

    def _world(self, settings: Settings, log: Log, bus: Bus, nursery: trio.Nursery) -> World:
        room = max(16, (self._nofile - OTHER_DESCRIPTORS - self._nofile // PIPES_SHARE) // 2)
        relay = Relay(lambda streams, pipes: 2 * (streams + pipes) + OTHER_DESCRIPTORS // 2 < self._nofile)
        return World(settings, self._link, relay, Listener(relay, nursery), bus, log, nursery, room)

    async def _open_doors(self, world: World, held: Held) -> None:
        """Take the public addresses, before anything is started: a port in use is said at once."""
        for settings in world.settings.doors.values():
            key = f"ledger/{settings.name}"
            entry = held.take(key)
            memory = entry[1][0] if entry else counters.create(settings.name)
            if entry is None:
                await self._link.request("put", [memory], key=key)
            door = Door(settings, world, memory)
            os.close(memory)
            self._doors.append(door)
            opened: list[socket.socket] = []
            for address in settings.listen if not self._was_stopping else ():
                opened += await self._listen(f"listen/{settings.name}/{address}", address, held)
            door.listen_on(opened)

    async def _begin(self, world: World, held: Held) -> None:
        """Restore each door, or start its first generation; then accept."""
        for door in self._doors:
            lost = restore(door, held)
            if lost is None:
                await self._first_generation(door)
                door.say("door.started", door.switchboard.active, pid=held.keeper, listen=status.address(door))
            else:
                door.say("door.restored", door.switchboard.active, pid=held.keeper, lost=lost)
            if not self._was_stopping:
                world.listener.open(door.gate)
        await self._clear_leftovers(held)
        await self._link.request("served")

    async def _clear_leftovers(self, held: Held) -> None:
        """What the keeper holds and no door has taken up: a process that was started in the moment of the crash."""
        for report in held.children:
            if not any(door.on_report(report) for door in self._doors):
                self._doomed.add(report.key)  # first: the word of its end may be here before the answer
                await self._link.request("signal", key=report.key, number=signal.SIGKILL)
                await self._forget(report)
        for key, (_, fds) in held.entries.items():
            for fd in fds:
                os.close(fd)
            await self._link.request("drop", keys=[key])

    async def _forget(self, report: ChildReport) -> None:
        if report.gone:
            self._doomed.discard(report.key)
            await self._link.request("forget", key=report.key)

    async def _first_generation(self, door: Door) -> None:
        settings = door.settings
        backend = await door.start_backend(settings.active, settings.backend(settings.active), door.world.settings.text)
        assert self._stop is not None
        event = await door.prove(backend, self._stop.asked)
        if event is not Event.PROVED_READY:
            problem, output = door.why_not_ready(backend, event), backend.ring.last(OUTPUT_SHOWN)
            await door.stop_backend(backend, at_most=5.0)
            if event is Event.ABORT:
                raise CannotStart("stopped before anything served", DONE)
            lines = "".join(f"\n  | {line}" for line in output)
            raise CannotStart(
                f"{backend.generation.id} did not become ready ({problem}); nothing serves. "
                f"Its last output:{lines or ' none'}",
                NOT_READY,
            )
        backend.generation.happen(Happening.PROVED_READY, time.time())
        door.switch(backend, None)
        await door.remember()

    async def _control(self, operator: DoorOperator, listener: socket.socket, log: Log) -> None:
        """The control API, under a supervisor that shares nothing with the relay: whatever it does, traffic goes on."""

        def failed(error: BaseException) -> None:
            log.warning("control.failed", error=in_words(error))

        while True:
            try:
                await server.serve(api.app(operator), listener, on_error=failed)
            except Exception as error:
                failed(error)
            await trio.sleep(0.1)

    # -- what the keeper reports ------------------------------------------------------------------------------------

    def _on_exit(self, report: ChildReport) -> None:
        if any(door.on_report(report) for door in self._doors):
            return
        if report.key in self._doomed and self._nursery is not None:
            self._nursery.start_soon(self._forget, report)

    def _on_signal(self, number: int) -> None:
        if self._stop is None or self._operator is None:
            self._early_signals.append(number)
        elif number in _STOPS:
            self._stop.begin(now=self._stop.asked.is_set())
        elif number == signal.SIGHUP:
            self._operator.restart()
        else:
            self._operator.ignored(signal.Signals(number).name)
