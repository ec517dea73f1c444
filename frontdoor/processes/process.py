"""One process of a generation: started, proved ready, started again after a crash, stopped.

Its life is one task. The keeper is its parent and reports its end; this side decides what follows from it.
"""

import errno
import math
import os
import time
from contextlib import suppress
from functools import partial

import trio

from frontdoor.config import BackendSettings, ReadySettings
from frontdoor.keeper.link import ChildReport, Link, Refused
from frontdoor.policy.backoff import Backoff
from frontdoor.policy.generation import Seat
from frontdoor.policy.readiness import Readiness
from frontdoor.processes import health, ready
from frontdoor.processes.access import Access
from frontdoor.processes.child import Child
from frontdoor.processes.listener import KeptListener, socket_key
from frontdoor.processes.member import Life, Member, Running
from frontdoor.processes.memory import Memory
from frontdoor.processes.output import Reader, Ring
from frontdoor.processes.place import Place, Say
from frontdoor.waiting import cancel_after

OUTPUT_AFTER_EXIT = 0.1
"""Seconds to read what a process printed last: the report of its end overtakes the pipe only by a moment."""


class Process(Member):
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
        super().__init__(seat, place, say)
        self._settings = settings
        self._checks = checks
        self._link = link
        self._ring = ring
        self._starts = 0
        self._child = self._next_child()
        """The start that is under way, or the last one."""
        self._adopted: Running | None = None
        self._stopping = trio.Event()
        self._stop_timeout = settings.stop_timeout
        self._patience = trio.CancelScope()
        """Between the stop signal and SIGKILL."""
        self._given_up = ""
        """Why this side has ended it."""
        self._unhealthy = False
        """Its health check has ended it: it is started again, whatever ``restart`` says."""
        self._backoff = Backoff()
        self._memory: Memory | None = None
        self._notify: ready.Notify | None = None
        self._listener: KeptListener | None = None
        if settings.listen_fd:
            key = socket_key(place.door, place.number, seat.process)
            self._listener = KeptListener(key, seat.address, link)
        self._access = Access(seat.address, link)
        over_socket = ready.over_socket(checks.check, seat.address, settings.proxy_protocol)
        self._check = self._access.asked_if_shut_out(over_socket)
        seat.gone = self._is_gone

    def __repr__(self) -> str:
        return f"<Process {self._place.version}#{self._place.number}/{self.seat.process} {self.life} pid={self.pid}>"

    @property
    def key(self) -> str:
        """The name of the process that runs now, with the keeper; a new one with every start."""
        return self._child.key

    def stop(self, at_most: float | None = None) -> None:
        """Send the stop signal, and SIGKILL after ``stop_timeout``, or after ``at_most`` seconds if that is less."""
        if at_most is not None:
            self._stop_timeout = min(self._stop_timeout, at_most)
            self._patience.deadline = min(self._patience.deadline, trio.current_time() + at_most)
        self._stopping.set()

    async def tell(self, number: int) -> bool:
        """Signal it alone, and not its group: it is to go on. Raises Refused."""
        return self.pid != 0 and await self._child.tell(number)

    def on_report(self, report: ChildReport) -> bool:
        """The keeper says how a child stands. False when it is another one."""
        if report.key != self.key:
            return False
        before = self._child.report.exited.is_set()
        self._child.report.take(report)
        # Here, and not where its end is dealt with: whoever judges a new release is to know it at this instant.
        if self._child.report.exited.is_set() and not before and self._is_a_crash():
            self.crashed()
        return True

    def adopt(self, running: Running | None) -> None:
        """Go on with a process that runs already, if there is one: ``run`` does not start one then."""
        super().adopt(running)
        if running is None:
            return
        report, _, was_ready = self._adopted = running
        self._starts = report.note["starts"]
        self.restarts = report.note["restarts"]
        self._child = self._next_child()
        self.pid = report.pid
        with suppress(OSError):
            self._listen_for_ready()  # it has said so; but what it says from now on has to be read
        self.on_report(report)
        if was_ready and not self._child.report.exited.is_set():
            self.is_ready()  # here, and not in its task: a swap that goes on at once asks whether it is up

    async def run(self) -> None:
        """Live until stopped, or until there is no hope."""
        try:
            while self._adopted is not None or not self._stopping.is_set():
                began = time.monotonic()
                running, self._adopted = self._adopted, None
                try:
                    output = await self._start() if running is None else running[1]
                except (Refused, OSError) as error:
                    self.reason = f"it could not be started: {error.strerror or error}"
                else:
                    await self._live(output)
                finally:
                    self._stop_listening()
                if self._stopping.is_set() or not self._may_restart():
                    break
                await self._back_off(self._backoff.after(time.monotonic() - began))
            # Not in the ``finally``: when this process dies, who waits there is served by what comes after it.
            if self._listener is not None:
                await self._listener.drop()
        finally:
            self.is_over()

    def _is_a_crash(self) -> bool:
        """Whether its end, which has come, is one that nobody has asked for, and the first that is heard of it."""
        given_up = self._unhealthy and self._given_up  # this one: a start after it clears the second of them at once
        return self.proved.is_set() and not self._stopping.is_set() and not given_up

    def _may_restart(self) -> bool:
        # Before it was ever ready, a crash is an answer: the release is bad, and the swap has to say so.
        return self.proved.is_set() and (self._unhealthy or self._settings.restart == "always")

    def _next_child(self) -> Child:
        place = self._place
        return Child(f"{place.door}/g{place.number}/{self.seat.process}.{self._starts}", self._link)

    async def _start(self) -> int:
        """Start it; the read end of its output. Raises Refused, OSError."""
        self._starts += 1
        child = self._child = self._next_child()
        self._given_up = ""
        self.life = Life.STARTING
        if self._listener is not None:
            await self._listener.open()
        else:
            with suppress(FileNotFoundError):
                os.unlink(self.seat.address)  # of the process before: bind would say EADDRINUSE
        place, settings = self._place, self._settings
        launch = settings.launch(
            socket=self.seat.address,
            version=place.version,
            generation=place.number,
            process=self.seat.process,
            runtime_dir=place.runtime_dir,
        )
        self._listen_for_ready()  # before it starts: it may be ready at once, and it says so once
        if self._notify is not None:
            launch.env["NOTIFY_SOCKET"] = self._notify.path
        try:
            self.pid, output = await child.start(
                launch,
                note={**place.note, "process": self.seat.process, "starts": self._starts, "restarts": self.restarts},
                user=settings.user,
                group=settings.group,
                folder=place.folder,
                listener=self._listener.key if self._listener is not None else None,
            )
        except Refused as error:
            if error.errno == errno.EMFILE:
                await child.end()
            raise
        if self._listener is None:  # else: who waited in its backlog comes to this one
            self.seat.born = time.monotonic()
        self._say("backend.starting", pid=self.pid, process=self.seat.process)
        return output

    def _listen_for_ready(self) -> None:
        if self._checks.check.kind == "notify":
            self._notify = ready.Notify(f"{self._place.folder}/{self.seat.process}.notify")

    def _stop_listening(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None
        if self._listener is not None:
            self._listener.close()

    async def _live(self, output: int) -> None:
        """From the start of one process to its end."""
        began = time.monotonic()
        exited = self._child.report.exited
        self._unhealthy = False
        reader = Reader(output, self.pid, self._ring)
        memory = self._memory = Memory(self.pid)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.run)
                if self._notify is not None:
                    nursery.start_soon(self._notify.run)
                async with trio.open_nursery() as first:
                    first.start_soon(cancel_after, exited, first.cancel_scope)
                    first.start_soon(cancel_after, self._stopping, first.cancel_scope)
                    first.start_soon(self._look_after, began, first.cancel_scope)
                if self._stopping.is_set() or self._unhealthy:
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

    async def _look_after(self, began: float, until: trio.CancelScope) -> None:
        """Prove it ready, and then see that it stays healthy. Ends the scope when it does not."""
        if not self.seat.up and not await self._prove(began):
            return  # it is being killed
        why = await health.watch(self._check, self._checks.timeout, self._health)
        if self._child.report.exited.is_set() or self._stopping.is_set():
            return  # by itself, or because it was asked to, in this moment
        self.seat.up = False
        self._given_up, self._unhealthy = why, True
        self.crashed()  # to whoever judges the release it is one: it had to be ended
        with suppress(Refused):  # it only spares a door process after this one a question
            await self._link.request("drop", keys=[ready_key(self.key)])
        until.cancel()

    async def _prove(self, began: float) -> bool:
        """Ask until it is ready. A process that was restarted and does not become ready in time is ended: False."""
        readiness = Readiness(self._checks.successes)

        def bad(problem: str) -> None:
            readiness.bad()
            self.reason = problem

        with trio.move_on_after(self._checks.deadline if self.proved.is_set() else math.inf) as patience:
            await ready.prove(self._ready_check(), self._checks, readiness.good, bad)
        if patience.cancelled_caught:
            self._given_up = f"was not ready within {self._checks.deadline:g} s ({self.reason})"
            await self._child.kill()
            return False
        with suppress(Refused):
            await self._link.request("note", key=ready_key(self.key), note=True)  # for the door process after this one
        self._say("backend.ready", pid=self.pid, after_s=round(time.monotonic() - began, 3))
        self.is_ready()
        return True

    def _ready_check(self) -> ready.Check:
        if self._notify is not None:
            return self._access.asked_after(self._notify.check) if self._settings.user else self._notify.check
        if self._listener is not None and not self.proved.is_set():
            # Later clients wait in the queue, and it may serve one after the other: that it empties is not asked then.
            return partial(self._listener.empties, self._check)
        return self._check

    async def _end(self) -> None:
        """Stop signal; SIGKILL to whatever of its group is left after the time."""
        self.life = Life.STOPPING
        with trio.move_on_after(self._stop_timeout) as self._patience:
            if await self._child.signal(self._settings.stop_signal):
                await self._child.report.gone.wait()
        await self._child.kill()

    async def _clear_away(self) -> None:
        """The process has ended: say so, end what is left of its group, let the keeper forget it."""
        report = self._child.report
        await report.exited.wait()
        how = self._given_up or report.words()
        if not self._stopping.is_set():
            self.reason = f"it {how} before it was ready" if not self.proved.is_set() else f"it {how}"
        asked = True if self._stopping.is_set() else None
        self._say("backend.exited", pid=self.pid, status=report.status, reason=how, asked_for=asked)
        await self._child.kill()
        await self._link.request("drop", keys=[ready_key(self.key)])
        await self._child.forget()

    async def _back_off(self, delay: float) -> None:
        self.life = Life.BACKING_OFF
        self._say("backend.restarting", delay_s=delay, reason=self.reason)
        with trio.move_on_after(delay):
            await self._stopping.wait()
        self.restarts += 1

    def _is_gone(self) -> bool:
        if self._child.report.exited.is_set():
            return True  # perhaps while there was no door process to look at its memory
        return self._memory.is_gone() if self._memory else self.life in (Life.BACKING_OFF, Life.EXITED)


def ready_key(process: str) -> str:
    """Where the keeper keeps the word that a process was ready."""
    return f"ready/{process}"
