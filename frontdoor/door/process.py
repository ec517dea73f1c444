"""The door process: its nursery tree, from the first message to the keeper to the last. The relay is its host's.

::

    link                 messages from the keeper, for ever
    └─ serving           listener's waiting clients, control API, backends, swaps, drains
"""

import os
import signal
import socket

import trio

from frontdoor.config import ConfigError, Settings, load, parse
from frontdoor.control import api, server
from frontdoor.control.events import Bus
from frontdoor.control.operator import DONE, USAGE
from frontdoor.door import folder
from frontdoor.door.door import Door
from frontdoor.door.doors import Doors, NotReady, listen, nothing_serves, remove_files
from frontdoor.door.operator import DoorOperator
from frontdoor.door.record import Record
from frontdoor.door.refusal import CannotStart, confess, in_words
from frontdoor.door.restore import restore
from frontdoor.door.state import DoorState, StateError, StateFile, read, set_aside
from frontdoor.door.stop import STOPPING, Stop
from frontdoor.door.world import World
from frontdoor.keeper.link import ChildReport, Held, Link
from frontdoor.observe.log import Log
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.relay import Relay

_STOPS = (signal.SIGTERM, signal.SIGINT)

STATE_FILE = "state.json"
"""In ``state_dir``."""

LOG_FORMAT = "FRONTDOOR_LOG_FORMAT"
"""In the environment: the log's format, whatever the config says (``serve --json``)."""

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
        self.relay = Relay(lambda streams, pipes: 2 * (streams + pipes) + OTHER_DESCRIPTORS // 2 < nofile)
        """Its loop is what this program runs in."""
        self._doors: Doors | None = None
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
                folder.clear(self._folder, [door.name for door in self._doors or ()])
            for door in self._doors or ():
                remove_files(door.listening)
            await self._link.request("bye", code=code)
            nursery.cancel_scope.cancel()
        return code

    async def _serve(self, held: Held) -> int:
        settings = self._settings(held)
        self._was_stopping = held.take(STOPPING) is not None
        log_format = os.environ.get(LOG_FORMAT, settings.frontdoor.log_format)
        log = Log(format=log_format, level=settings.frontdoor.log_level)
        bus = Bus()
        bus.subscribe(log.publish)
        await self._claim(settings, held)
        try:
            control = await self._control_listener(settings, held)
            file, known = await self._known(settings, log)
            async with trio.open_nursery() as nursery:
                world = self._world(settings, log, bus, nursery, Record(file, log, known))
                doors = self._doors = Doors(world)
                self._stop = Stop(doors)
                await self._open_doors(doors, held)
                self._operator = DoorOperator(doors, held.keeper, held.since, self._stop.begin)
                nursery.start_soon(self._operator.run)
                nursery.start_soon(self._control, self._operator, control, log)
                early, self._early_signals = self._early_signals, []
                for number in early:
                    if number in _STOPS:
                        self._on_signal(number)  # now: the first generation may take long to become ready, or never be
                await self._begin(doors, held)
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
            folder.sweep(path, settings.doors)
        except folder.FolderError as error:
            raise CannotStart(str(error)) from None
        self._folder = path
        await self._link.request("put", [lock], key="lock")
        os.close(lock)
        await self._link.request("note", key="config", note=settings.text)

    async def _control_listener(self, settings: Settings, held: Held) -> socket.socket:
        path = os.path.join(settings.frontdoor.runtime_dir, folder.CONTROL_SOCKET)
        (sock,) = await listen(self._link, "listen/control", f"unix:{path}", held, mode=0o600)
        return sock

    async def _known(self, settings: Settings, log: Log) -> tuple[StateFile, dict[str, DoorState]]:
        """What the frontdoor before this one has left behind."""
        path = os.path.join(settings.frontdoor.state_dir, STATE_FILE)
        try:
            return StateFile(path), await trio.to_thread.run_sync(read, path)
        except StateError as error:
            kept = await trio.to_thread.run_sync(set_aside, path)
            aside = f" (kept as {kept})" if kept else ""
            reason = f"{error}{aside}: each door serves the `active` of the config, and counts its generations anew"
            log.error("state.unreadable", reason=reason)
            return StateFile(path), {}

    def _world(self, settings: Settings, log: Log, bus: Bus, nursery: trio.Nursery, record: Record) -> World:
        room = max(16, (self._nofile - OTHER_DESCRIPTORS - self._nofile // PIPES_SHARE) // 2)
        listener = Listener(self.relay, nursery, room)
        return World(settings, self._link, self.relay, listener, bus, log, nursery, room, record)

    async def _open_doors(self, doors: Doors, held: Held) -> None:
        """Take the public addresses, before anything is started: a port in use is said at once."""
        for settings in doors.world.settings.doors.values():
            await doors.open(settings, held, listening=not self._was_stopping)

    async def _begin(self, doors: Doors, held: Held) -> None:
        """Restore each door, or start its first generation. It accepts as soon as it can serve, whatever others do."""
        refusals: list[NotReady] = []
        total = len(doors)
        async with trio.open_nursery() as nursery:
            for door in doors:
                lost = restore(door, held)
                if lost is not None:
                    door.say("door.restored", door.switchboard.active, pid=held.keeper, lost=lost)
                if door.switchboard.active is None and not self._was_stopping:
                    # Also if this process died while it was doing that, or if it had failed.
                    nursery.start_soon(self._first_generation, doors, door, held.keeper, refusals)
            # Only now is there an await: before, what the keeper reports might be of a door that is not restored yet.
            for door in doors:
                if door.switchboard.active is not None:
                    await self._accept(door)
            await self._clear_leftovers(doors, held)
        if len(refusals) == total:
            if any(refusal.aborted for refusal in refusals):
                raise CannotStart("stopped before anything served", DONE)
            raise nothing_serves(refusals)
        for door in doors:
            await self._accept(door)  # one whose first generation has failed, too: a swap may heal it in time

    async def _accept(self, door: Door) -> None:
        if not self._was_stopping:
            door.accept()
        await self._link.request("served")

    async def _first_generation(self, doors: Doors, door: Door, pid: int, refusals: list[NotReady]) -> None:
        """Start one door. When it is in trouble, it leaves the others alone."""
        try:
            backend = await doors.first(door, doors.world.settings.text)
        except NotReady as refusal:
            refusals.append(refusal)
            return
        door.serve(backend)
        await door.tell_keeper()  # first: a successor must not end what clients have been let in to
        await self._accept(door)
        doors.say_started(door, pid)
        await door.remember()

    async def _clear_leftovers(self, doors: Doors, held: Held) -> None:
        """What the keeper holds and no door has taken up: a process that was started in the moment of the crash."""
        for report in held.children:
            if not any(door.on_report(report) for door in doors):
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

    async def _control(self, operator: DoorOperator, listener: socket.socket, log: Log) -> None:
        """The control API, under a supervisor that shares nothing with the relay: whatever it does, traffic goes on."""

        def failed(error: BaseException) -> None:
            log.warning("control.failed", error=in_words(error))

        while True:
            try:
                # Not to this process itself: an app that may write where its socket is could put a link to the control
                # socket there, and then its clients would be joined to the control API.
                await server.serve(api.app(operator), listener, on_error=failed, but_from=os.getpid())
            except Exception as error:
                failed(error)
            await trio.sleep(0.1)

    # -- what the keeper reports ------------------------------------------------------------------------------------

    def _on_exit(self, report: ChildReport) -> None:
        if any(door.on_report(report) for door in self._doors or ()):
            return
        if report.key in self._doomed and self._nursery is not None:
            self._nursery.start_soon(self._forget, report)

    def _on_signal(self, number: int) -> None:
        if self._stop is None or self._operator is None:
            self._early_signals.append(number)
        elif number in _STOPS:
            self._stop.begin(now=self._stop.asked.is_set())
        elif number == signal.SIGHUP:
            self._operator.hang_up()
        else:
            self._operator.ignored(signal.Signals(number).name)
