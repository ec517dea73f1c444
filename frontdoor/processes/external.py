"""A backend that somebody else runs: its socket is looked at, and nothing is started, signalled or removed."""

import os
import time

import trio

from frontdoor.config import ReadySettings
from frontdoor.policy.generation import Seat
from frontdoor.policy.readiness import Readiness
from frontdoor.processes import health, ready
from frontdoor.processes.member import Life, Member, Running
from frontdoor.processes.place import Place, Say
from frontdoor.sockets import dial
from frontdoor.waiting import cut_short


class External(Member):
    """One socket of an external backend and its seat."""

    def __init__(self, seat: Seat, proxy_protocol: str, checks: ReadySettings, place: Place, say: Say) -> None:
        super().__init__(seat, place, say)
        self._checks = checks
        self._check = ready.over_socket(checks.check, seat.address, proxy_protocol)
        self._life = trio.CancelScope()
        self._missed = trio.Event()
        seat.missed = lambda: self._missed.set()
        seat.answers = self._answers

    def __repr__(self) -> str:
        return f"<External {self._place.version}#{self._place.number}/{self.seat.process} {self.life}>"

    def adopt(self, running: Running | None) -> None:
        """Go on with it: it was ready before."""
        super().adopt(running)
        self.is_ready()

    def stop(self, at_most: float | None = None) -> None:
        """Have nothing to do with it any more. It goes on: it is not ours."""
        self._life.cancel()

    async def run(self) -> None:
        """Give it streams while its check holds, until stopped."""
        try:
            with self._life:
                await trio.lowlevel.checkpoint()  # it may have been stopped already
                if not self.seat.up:
                    self._say("backend.starting", process=self.seat.process)
                while True:
                    if not self.seat.up:
                        await self._prove()
                    why = await self._until_down()
                    self.seat.up = False
                    self.crashed()
                    self.life = Life.DOWN
                    self.reason = self._named(f"it {why}")
                    self._say("backend.exited", process=self.seat.process, reason=self._named(why))
        finally:
            self.is_over()

    async def _until_down(self) -> str:
        """Wait until its check does not hold any more, or a client was not taken: nobody else reports its end."""
        self._missed = trio.Event()
        failed: list[str] = []
        async with cut_short(self._missed):
            failed.append(await health.watch(self._look, self._checks.timeout, self._health))
        return failed[0] if failed else "did not take a client"

    async def _prove(self) -> None:
        began = time.monotonic()
        readiness = Readiness(self._checks.successes)

        def bad(problem: str) -> None:
            readiness.bad()
            self.reason = self._named(problem)

        await ready.prove(self._look, self._checks, readiness.good, bad)
        self._say("backend.ready", process=self.seat.process, after_s=round(time.monotonic() - began, 3))
        self.is_ready()

    async def _look(self) -> None:
        if not self._is_there():
            raise ready.NotReady(f"there is no socket at {self.seat.address}")
        await self._check()

    def _answers(self) -> bool:
        try:
            fd = dial(self.seat.address)
        except OSError:
            self._missed.set()
            return False
        if fd is not None:
            os.close(fd)
        return True

    def _is_there(self) -> bool:
        return os.path.exists(self.seat.address)

    def _named(self, problem: str) -> str:
        return problem if self.seat.address in problem else f"{problem} ({self.seat.address})"
