"""One process of a generation: started, proved ready, started again after a crash, stopped.

Its life is one task. The keeper is its parent and reports its end; this side decides what follows from it.
"""

import enum
import errno
import math
import os
import signal
import time
from contextlib import suppress
from functools import partial

import trio

from frontdoor.config import BackendSettings, ReadySettings
from frontdoor.keeper.link import ChildReport, Link, Refused
from frontdoor.policy.backoff import Backoff
from frontdoor.policy.generation import Seat
from frontdoor.policy.readiness import Readiness
from frontdoor.processes import ready
from frontdoor.processes.memory import Memory
from frontdoor.processes.output import Reader, Ring
from frontdoor.processes.place import Place, Say
from frontdoor.processes.report import Report

OUTPUT_AFTER_EXIT = 0.1
"""Seconds to read what a process printed last: the report of its end overtakes the pipe only by a moment."""


class Life(enum.StrEnum):
    """What a process is doing. The words are those of ``status``."""

    STARTING = "starting"
    UP = "up"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    EXITED = "exited"


class Process:
    """One backend process and its seat."""

    def __init__(
        self,
        seat: Seat,
        settings: BackendSettings,
        checks: ReadySettings,
        place: Place,
        link: Link,
        ring: Ring,
        say: Say,
    ) -> None:
        self.seat = seat
        self.life = Life.STARTING
        self.pid = 0
        self.restarts = 0
        self.proved = trio.Event()
        """It was ready once."""
        self.failed = trio.Event()
        """It ended, or could not be started, and will not be started again."""
        self.reason = ""
        """Why it failed, in words; or why it is not ready."""
        self._settings = settings
        self._checks = checks
        self._place = place
        self._link = link
        self._ring = ring
        self._say = say
        self._starts = 0
        self._adopted: int | None = None
        self._was_ready = False
        self._report = Report()
        self._stopping = trio.Event()
        self._stop_timeout = settings.stop_timeout
        self._patience = trio.CancelScope()
        """Between the stop signal and SIGKILL."""
        self._given_up = ""
        """Why this side has ended it."""
        self._backoff = Backoff()
        self._memory: Memory | None = None
        self._notify: ready.Notify | None = None
        seat.gone = self._is_gone

    def __repr__(self) -> str:
        return f"<Process {self._place.version}#{self._place.number}/{self.seat.process} {self.life} pid={self.pid}>"

    @property
    def key(self) -> str:
        """The name of the process that runs now, with the keeper; a new one with every start."""
        return f"{self._place.door}/g{self._place.number}/{self.seat.process}.{self._starts}"

    def stop(self, at_most: float | None = None) -> None:
        """Send the stop signal, and SIGKILL after ``stop_timeout``, or after ``at_most`` seconds if that is less."""
        if at_most is not None:
            self._stop_timeout = min(self._stop_timeout, at_most)
            self._patience.deadline = min(self._patience.deadline, trio.current_time() + at_most)
        self._stopping.set()

    def give_up(self, reason: str) -> None:
        """It cannot run at all."""
        self.reason = reason
        self.life = Life.EXITED
        self.failed.set()

    def on_report(self, report: ChildReport) -> None:
        """The keeper says how the process stands."""
        self._report.take(report)

    def adopt(self, report: ChildReport, output: int, *, was_ready: bool) -> None:
        """Go on with a process that runs already: ``run`` does not start one then. ``output``: its pipe, ours now."""
        self._was_ready = was_ready
        self._starts = report.note["starts"]
        self.restarts = report.note["restarts"]
        self.pid = report.pid
        self._adopted = output
        with suppress(OSError):
            self._listen_for_ready()  # it has said so; but what it says from now on has to be read
        self.on_report(report)

    async def run(self) -> None:
        """Live until stopped, or until there is no hope."""
        try:
            while self._adopted is not None or not self._stopping.is_set():
                began = time.monotonic()
                output, self._adopted = self._adopted, None
                try:
                    fd = output if output is not None else await self._start()
                except (Refused, OSError) as error:
                    self.reason = f"it could not be started: {error.strerror or error}"
                else:
                    await self._live(fd, was_ready=output is not None and self._was_ready)
                finally:
                    self._stop_listening()
                if self._stopping.is_set() or not self._may_restart():
                    break
                await self._back_off(self._backoff.after(time.monotonic() - began))
        finally:
            self.seat.up = False
            self.life = Life.EXITED
            self.failed.set()

    def _may_restart(self) -> bool:
        # Before it was ever ready, a crash is an answer: the release is bad, and the swap has to say so.
        return self.proved.is_set() and self._settings.restart == "always"

    async def _start(self) -> int:
        self._starts += 1
        self._report = Report()
        self._given_up = ""
        self.life = Life.STARTING
        with suppress(FileNotFoundError):
            os.unlink(self.seat.address)  # of the process before: bind would say EADDRINUSE
        place = self._place
        launch = self._settings.launch(
            socket=self.seat.address,
            version=place.version,
            generation=place.number,
            process=self.seat.process,
            runtime_dir=place.runtime_dir,
        )
        env = dict(launch.env)
        self._listen_for_ready()  # before it starts: it may be ready at once, and it says so once
        if self._notify is not None:
            env["NOTIFY_SOCKET"] = self._notify.path
        note = {**place.note, "process": self.seat.process, "starts": self._starts, "restarts": self.restarts}
        spawn = partial(self._link.request, "spawn", key=self.key, note=note)
        try:
            reply = await spawn(argv=launch.argv, env=env, cwd=launch.cwd)
        except Refused as error:
            if error.errno == errno.EMFILE:
                await self._undo_start()
            raise
        self.pid = reply.body["pid"]
        self._say("backend.starting", pid=self.pid, process=self.seat.process)
        return reply.fds[0]

    async def _undo_start(self) -> None:
        """It may run all the same: it was this side that had no descriptor left to take its output."""
        if await self._signal(signal.SIGKILL):
            await self._report.gone.wait()
        await self._link.request("forget", key=self.key)

    def _listen_for_ready(self) -> None:
        if self._checks.check.kind == "notify":
            self._notify = ready.Notify(f"{self._place.folder}/{self.seat.process}.notify")

    def _stop_listening(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    async def _live(self, output: int, *, was_ready: bool) -> None:
        """From the start of one process to its end."""
        began = time.monotonic()
        reader = Reader(output, self.pid, self._ring)
        memory = self._memory = Memory(self.pid)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.run)
                if self._notify is not None:
                    nursery.start_soon(self._notify.run)
                async with trio.open_nursery() as first:
                    first.start_soon(cancel_after, self._report.exited, first.cancel_scope)
                    first.start_soon(cancel_after, self._stopping, first.cancel_scope)
                    if not was_ready:
                        first.start_soon(self._prove, began)
                    elif not self._report.exited.is_set():
                        self._is_ready()
                if self._stopping.is_set():
                    await self._end()
                self.seat.up = False
                await self._clear_away()
                with trio.move_on_after(OUTPUT_AFTER_EXIT):
                    await reader.ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.seat.up = False
            reader.close()
            memory.close()
            self._memory = None

    async def _prove(self, began: float) -> None:
        """Ask until it is ready. A process that was restarted and does not become ready in time is ended."""
        readiness = Readiness(self._checks.successes)
        check: ready.Check
        if self._notify is not None:
            check = self._notify.check
        elif self._checks.check.kind == "http":
            check = partial(ready.http, self.seat.address, self._checks.check.path)
        else:
            check = partial(ready.connect, self.seat.address)

        def bad(problem: str) -> None:
            readiness.bad()
            self.reason = problem

        with trio.move_on_after(self._checks.deadline if self.proved.is_set() else math.inf) as patience:
            await ready.prove(check, self._checks, readiness.good, bad)
        if patience.cancelled_caught:
            self._given_up = f"was not ready within {self._checks.deadline:g} s ({self.reason})"
            await self._signal(signal.SIGKILL)
            return
        await self._link.request("note", key=ready_key(self.key), note=True)  # for the door process after this one
        self._say("backend.ready", pid=self.pid, after_s=round(time.monotonic() - began, 3))
        self._is_ready()

    def _is_ready(self) -> None:
        self.life = Life.UP
        self.seat.up = True
        self.reason = ""
        self.proved.set()

    async def _end(self) -> None:
        """Stop signal; SIGKILL to whatever of its group is left after the time."""
        self.life = Life.STOPPING
        self._patience.deadline = trio.current_time() + self._stop_timeout
        with self._patience:
            if await self._signal(self._settings.stop_signal):
                await self._report.gone.wait()
        if not self._report.gone.is_set():
            await self._signal(signal.SIGKILL)
            await self._report.gone.wait()

    async def _clear_away(self) -> None:
        """The process has ended: say so, end what is left of its group, let the keeper forget it."""
        await self._report.exited.wait()
        how = self._given_up or self._report.words()
        if not self._stopping.is_set():
            self.reason = f"it {how} before it was ready" if not self.proved.is_set() else f"it {how}"
        asked = True if self._stopping.is_set() else None
        self._say("backend.exited", pid=self.pid, status=self._report.status, reason=how, asked_for=asked)
        if not self._report.gone.is_set():
            await self._signal(signal.SIGKILL)
            await self._report.gone.wait()
        await self._link.request("drop", keys=[ready_key(self.key)])
        await self._link.request("forget", key=self.key)

    async def _back_off(self, delay: float) -> None:
        self.life = Life.BACKING_OFF
        self._say("backend.restarting", delay_s=delay, reason=self.reason)
        with trio.move_on_after(delay):
            await self._stopping.wait()
        self.restarts += 1

    async def _signal(self, number: int) -> bool:
        reply = await self._link.request("signal", key=self.key, number=int(number))
        return bool(reply.body["sent"])

    def _is_gone(self) -> bool:
        return self._memory.is_gone() if self._memory else self.life in (Life.BACKING_OFF, Life.EXITED)


def ready_key(process: str) -> str:
    """Where the keeper keeps the word that a process was ready."""
    return f"ready/{process}"


async def cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    """End a scope when something has happened: for waiting until one of several things does."""
    await event.wait()
    scope.cancel()
