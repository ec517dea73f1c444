"""The door process: its nursery tree, from the first message to the keeper to the last. The relay is its host's.

::

    link                 messages from the keeper, for ever
    └─ serving           listener's waiting clients, control API, backends, swaps, drains
"""

import os
import signal
import socket
from typing import Any

import trio

from frontdoor import __version__
from frontdoor.config import Settings
from frontdoor.control.events import Bus
from frontdoor.control.operator import DONE
from frontdoor.door import folder, rights
from frontdoor.door.admin import CONNECTIONS, Admin
from frontdoor.door.applied import Applied, choose, look_at
from frontdoor.door.beginning import Beginning
from frontdoor.door.broken_answers import BrokenAnswers
from frontdoor.door.bulletin import Bulletin
from frontdoor.door.bytecode import Bytecode
from frontdoor.door.doors import Doors, listen, remove_files
from frontdoor.door.operator import DoorOperator
from frontdoor.door.predecessors import Predecessors
from frontdoor.door.preview import Preview
from frontdoor.door.quarantine import tell
from frontdoor.door.record import Record
from frontdoor.door.refusal import CannotStart, confess
from frontdoor.door.remainder import Remainder
from frontdoor.door.state import DoorState, StateError, StateFile, read, set_aside
from frontdoor.door.stop import STOPPING, Stop
from frontdoor.door.supervision import supervise
from frontdoor.door.survivors import Survivors, take_words
from frontdoor.door.unseated import Entrusted
from frontdoor.door.upgrade import KEY as UPGRADE
from frontdoor.door.upgrade import is_note
from frontdoor.door.world import World
from frontdoor.exchanges.exchanges import Exchanges
from frontdoor.keeper.link import ChildReport, Held, Link
from frontdoor.observe.logs.log import Log
from frontdoor.traffic.host import Host
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.protection import TALLY, Protection
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.words import Words

_STOPS = (signal.SIGTERM, signal.SIGINT)

STATE_FILE = "state.json"
"""In ``state_dir``."""

CONFIG = "config"
"""The keeper's entry: the text of the config that was applied last. There is none at a first start."""

LOG_FORMAT = "FRONTDOOR_LOG_FORMAT"
"""In the environment: the log's format, whatever the config says (``serve --json``)."""

OTHER_DESCRIPTORS = 512
"""Descriptors for everything that is not a stream: pipes at work, control clients, outputs of backends, logs."""


PIPES_SHARE = 20
"""One in so many descriptors is kept for pipes of slow receivers, when there are as many streams as there may be: with
too few of them, some stalled readers would hold up everybody."""


class DoorProcess:
    """The composition root."""

    def __init__(
        self, link: Link, config: str, nofile: int, errors: int | None = None, bytecode: Bytecode | None = None
    ) -> None:
        """``errors``: the real stderr of one that is to replace another: the keeper hears its own until it serves."""
        self._link = link
        self._errors = errors
        self._serving = trio.Event()
        """The keeper knows that it serves."""
        self._config = config
        self._nofile = nofile
        self.relay = Relay(lambda streams, pipes: 2 * (streams + pipes) + OTHER_DESCRIPTORS // 2 < nofile)
        self.host = Host(self.relay)
        """What this program runs in."""
        self._doors: Doors | None = None
        self._early_signals: list[int] = []
        self._stop: Stop | None = None
        self._operator: DoorOperator | None = None
        self._nursery: trio.Nursery | None = None
        self._folder: str | None = None
        """The runtime folder, once it is ours."""
        self._keeps = 0
        """How many descriptors the keeper keeps at the most."""
        self._was_stopping = False
        """The door process before this one died on the way out."""
        self._leaves_all = False
        """After a crash: it cannot serve, but what the keeper holds is not to end with it."""
        self._beginning: Beginning | None = None
        self._remainder = Remainder(bytecode)
        self._preview = Preview(self.relay)

    async def run(self) -> int:
        """Serve until stopped; the exit code. Raises KeeperGone when the keeper has died."""
        code = DONE
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._link.on_exit = self._on_exit
            self._link.on_signal = self._on_signal
            nursery.start_soon(self._link.run)
            # Until it serves: another process may do so up to then, and goes on if this one fails.
            self.host.freeze()
            try:
                if self._is_successor:
                    look_at(self._config)  # who asks for an upgrade is told; a crash would be no time for that
                    await self._remainder.load()
                    await self._preview.look(self._link)
                await self._link.ready(__version__)
                held = await self._link.hello(shown=self._preview.holds)
                if CONFIG not in held.entries:
                    await self._remainder.load()  # a first start: there is nobody yet who would wait for his bytes
                code = await self._serve(held)
            except* CannotStart as errors:
                code = confess(errors)
            if self._leaves_all or (self._is_successor and not self._serving.is_set()):
                nursery.cancel_scope.cancel()
                return code  # what is there belongs to the one that goes on, or comes next
            # Only here: after an exception the next door process goes on with what is in the folder.
            if self._folder is not None:
                folder.clear(self._folder, [door.name for door in self._doors or ()])
            for door in self._doors or ():
                remove_files(door.listening)
            await self._link.request("bye", code=code)
            nursery.cancel_scope.cancel()
        return code

    async def _serve(self, held: Held) -> int:
        applied = self._applied(held)
        settings = applied.settings
        rights.refuse_root(settings.frontdoor.user)
        self._was_stopping = held.take(STOPPING) is not None
        log_format = os.environ.get(LOG_FORMAT, settings.frontdoor.log_format)
        log = Log(
            format=log_format,
            level=settings.frontdoor.log_level,
            path=settings.frontdoor.log_file,
            fd=2 if self._errors is None else self._errors,
        )
        bus = Bus()
        bus.subscribe(log.publish)
        if applied.instead:
            log.error("restore.failed", reason=f"{applied.instead}: so it was when it was applied; the file is taken")
        if not self._is_successor:
            tell(held.deaths, log)
        self._link.set_pulse(settings.frontdoor.hang_timeout)
        self._keeps = held.limit
        if reason := rights.why_ignored(settings.frontdoor.user):
            log.warning("user.ignored", reason=reason)
        await self._claim(settings, held)
        try:
            control = await self._control_listener(settings, held)
            admin = await Admin.open(self._link, settings, held, log)
            file, known = await self._known(settings, log)
            async with trio.open_nursery() as nursery:
                words = await take_words(self._link, held, log, successor=self._is_successor)
                world = self._world(settings, log, bus, nursery, Record(file, log, known), words, Predecessors(held))
                survivors = Survivors(held, words, self._preview)
                survivors.begin(world.protection)
                doors = self._doors = Doors(world)
                self._stop = Stop(doors)
                await self._open_doors(doors, held)
                self._operator = DoorOperator(doors, held.keeper, held.since, self._stop.begin, self.host, held.version)
                if (upgrade := held.take(UPGRADE)) is not None and is_note(upgrade[0]):
                    self._operator.upgrades.recall(upgrade[0])  # before it can be asked for
                    nursery.start_soon(self._conclude, self._operator, upgrade[0])
                if held.notified:
                    nursery.start_soon(Bulletin(doors, self._operator, self._link).run)
                nursery.start_soon(self._operator.hang_ups.run)
                nursery.start_soon(self._operator.lively.run)
                nursery.start_soon(self._operator.reporting.run)
                nursery.start_soon(self._operator.scrape.lag.run)
                nursery.start_soon(world.protection.run)
                nursery.start_soon(self._refresh_notes, doors)
                nursery.start_soon(supervise, self._remainder, self._serving, self._operator, control, log, admin)
                early, self._early_signals = self._early_signals, []
                for number in early:
                    if number in _STOPS:
                        self._on_signal(number)  # now: the first generation may take long to become ready, or never be
                self._beginning = Beginning(
                    doors,
                    held,
                    survivors,
                    Entrusted(held),
                    stopping=self._was_stopping,
                    serving=self._now_serving,
                    successor=self._is_successor,
                )
                await self._beginning.run()
                for number in early:
                    if number not in _STOPS:
                        self._on_signal(number)  # now there is something to restart
                if self._was_stopping:
                    self._stop.begin(now=False)
                await self._stop.run(self._operator)
                await self._operator.reporting.close()
                nursery.cancel_scope.cancel()
        finally:
            bus.close()
            for door in self._doors or ():
                door.access_log.close(1.0)
            log.close(1.0)
        return DONE

    @property
    def _is_successor(self) -> bool:
        """It was started to replace a door process that serves."""
        return self._errors is not None

    # -- the steps of a start ---------------------------------------------------------------------------------------

    def _applied(self, held: Held) -> Applied:
        kept = held.take(CONFIG)
        try:
            return choose(kept, self._config, successor=self._is_successor)
        except CannotStart:
            self._leaves_all = kept is not None  # somebody has to mend it, and then all that lives goes on
            raise

    async def _claim(self, settings: Settings, held: Held) -> None:
        """Make the runtime folder ours."""
        path = settings.frontdoor.runtime_dir
        if held.take("lock") is not None:
            self._folder = path
            return
        try:
            folder.prepare(path)
            lock = folder.lock(path, held.keeper)
            if not any(key.startswith("door/") for key in held.entries):
                folder.sweep(path, settings.doors)
        except folder.FolderError as error:
            raise CannotStart(str(error)) from None
        self._folder = path
        await self._link.put([("lock", None, [lock])])
        os.close(lock)
        await self._link.request("note", key=CONFIG, note=settings.text)

    async def _control_listener(self, settings: Settings, held: Held) -> socket.socket:
        path = os.path.join(settings.frontdoor.runtime_dir, folder.CONTROL_SOCKET)
        group = settings.frontdoor.group
        mode = 0o660 if group else 0o600
        (sock,) = await listen(self._link, "listen/control", f"unix:{path}", held, mode=mode, group=group)
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

    def _world(
        self,
        settings: Settings,
        log: Log,
        bus: Bus,
        nursery: trio.Nursery,
        record: Record,
        words: Words,
        predecessors: Predecessors,
    ) -> World:
        others = OTHER_DESCRIPTORS + (CONNECTIONS if settings.frontdoor.admin else 0)
        room = max(16, (self._nofile - others - self._nofile // PIPES_SHARE) // 2)
        listener = Listener(self.relay, nursery, room)
        protection = Protection(
            self.relay, self._link, words, room, lambda kept, why: bus.publish("vault.full", streams=kept, reason=why)
        )
        protection.age, protection.limit = settings.frontdoor.protect_after, self._keeps
        answers = BrokenAnswers(log)
        exchanges = Exchanges(self.relay, nursery, listener.seating, answers, answers.of_ours, room)
        listener.receive, listener.make_room = exchanges.receive, exchanges.make_room
        rooms = self._link, self.relay, protection, listener, exchanges
        return World(settings, *rooms, bus, log, nursery, room, record, predecessors)

    async def _open_doors(self, doors: Doors, held: Held) -> None:
        """Take the public addresses, before anything is started: a port in use is said at once."""
        for settings in doors.world.settings.doors.values():
            await doors.open(settings, held, listening=not self._was_stopping)

    def _now_serving(self) -> None:
        """The keeper knows that this process serves."""
        if not self._serving.is_set():
            self._serving.set()
            if self._errors is not None:
                os.dup2(self._errors, 2)
            self.host.thaw()

    async def _conclude(self, operator: DoorOperator, upgrade: dict[str, Any]) -> None:
        """The end of an upgrade, and of what it has kept from being done."""
        await self._serving.wait()
        await operator.upgrades.conclude(upgrade, successor=self._is_successor)
        if upgrade["hung_up"]:
            operator.hang_ups.take(told=False)

    async def _refresh_notes(self, doors: Doors) -> None:
        """The counts of the generations change with every stream: what a crash forgets of them is a second's worth."""
        seen = -1
        while True:
            events = await doors.world.protection.stirred(seen)
            if not self.relay.still:
                seen = events
                for door in doors:
                    await door.noting.refresh()
            await trio.sleep(TALLY)

    # -- what the keeper reports ------------------------------------------------------------------------------------

    def _on_exit(self, report: ChildReport) -> None:
        if any(door.on_report(report) for door in self._doors or ()):
            return
        if self._beginning is not None:
            self._beginning.on_exit(report)

    def _on_signal(self, number: int) -> None:
        if self._stop is None or self._operator is None:
            self._early_signals.append(number)
        elif number in _STOPS:
            self._stop.begin(now=self._stop.asked.is_set())
        elif number == signal.SIGHUP:
            self._operator.hang_ups.take()
        elif number == signal.SIGUSR2:
            self._operator.upgrade_on_signal()
        elif number == signal.SIGUSR1:
            self._operator.reopen_logs()
