"""What a backend is made of: one member for each seat."""

import enum
import time
from abc import ABC, abstractmethod

import trio

from frontdoor.config import HealthSettings
from frontdoor.keeper.link import ChildReport
from frontdoor.policy.generation import Seat, State
from frontdoor.processes.place import Place, Say


class Life(enum.StrEnum):
    """What a member is doing. The words are those of ``status``."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    """An external one whose health check does not hold."""
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    EXITED = "exited"


Running = tuple[ChildReport, int, bool]
"""A process that the door process before this one has started, its output, and whether it was ready."""


class Member(ABC):
    """The other side of one seat: a process of ours, or a socket that somebody else listens on."""

    def __init__(self, seat: Seat, place: Place, say: Say) -> None:
        self.seat = seat
        self.life = Life.STARTING
        self.pid = 0
        """0: not known."""
        self.restarts = 0
        self.proved = trio.Event()
        """It was ready once."""
        self.failed = trio.Event()
        """It is over, or could not begin, and nothing more will become of it."""
        self.reason = ""
        """Why it failed, in words; or why it is not ready."""
        self._place = place
        self._say = say

    @abstractmethod
    async def run(self) -> None:
        """Live until stopped, or until there is no hope."""

    @abstractmethod
    def stop(self, at_most: float | None = None) -> None:
        """End it. ``at_most``: seconds until it is ended by force."""

    def adopt(self, running: Running | None) -> None:
        """Go on where the door process before this one has left off: it was ready then."""
        self.proved.set()

    async def tell(self, number: int) -> bool:
        """Signal its main process, which is to go on. False: there is none."""
        return False

    def on_report(self, report: ChildReport) -> bool:
        """The keeper says how a child stands. False when it is another one."""
        return False

    def give_up(self, reason: str) -> None:
        """It cannot run at all."""
        self.reason = reason
        self.is_over()

    def is_ready(self) -> None:
        """It may be given streams."""
        self.life = Life.UP
        self.seat.up = True
        self.reason = ""
        self.proved.set()

    def crashed(self) -> None:
        """It does not serve any more, and nobody had asked for that."""
        self.seat.generation.conduct.crashed(time.monotonic())

    def is_over(self) -> None:
        """Nothing more will become of it."""
        self.seat.up = False
        self.life = Life.EXITED
        self.failed.set()

    def _health(self) -> HealthSettings | None:
        """The settings of its health check; None when there is none, or not now: only who gets new streams is asked."""
        return self._place.health() if self.seat.generation.state in (State.ACTIVE, State.READY) else None
