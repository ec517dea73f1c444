"""A drain on a stage: a door as far as a drain looks at it, streams without sockets, and a clock that jumps."""

from __future__ import annotations

import itertools
from types import SimpleNamespace as Some
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from frontdoor.config import DrainSettings
from frontdoor.door import draining, trouble
from frontdoor.door.draining import Draining
from frontdoor.door.notes import DrainNote
from frontdoor.policy.generation import Generation, Seat, State
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.stream import Stream


def any_of(**parts: Any) -> Any:
    """As much of something as is looked at."""
    return Some(**parts)


def rounded(seconds: float) -> float:
    return round(seconds, 1)


class Relay:
    """Closes streams, and remembers when: they say goodbye until the test has them leave."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.streams: list[Stream] = []
        self.closed: list[tuple[float, int]] = []
        """When which was closed, in seconds of the scene."""
        self.graces: set[float | None] = set()
        self.polite = True
        """Who is closed leaves at once."""

    def of(self, generation: Generation) -> list[Stream]:
        return [stream for stream in self.streams if stream.seat.generation is generation]

    def close_elsewhere(self, door: str, generation: Generation, reason: Reason) -> int:
        return 0

    def close(self, stream: Stream, reason: Reason, grace: float | None = None) -> None:
        assert reason is Reason.DRAIN_CLOSED
        self.closed.append((rounded(self._scene.now), stream.number))
        self.graces.add(grace)
        stream.deadline = trio.current_time()
        if self.polite:
            self._scene.leaves(stream.number)


class Scene:
    """v1#1 drains, v2#2 gets the new streams. All times are in seconds since it began."""

    def __init__(self, nursery: trio.Nursery, **drain: Any) -> None:
        self._nursery = nursery
        self._began = trio.current_time()
        self.old, self.new = Generation("v1", 1, 0.0, State.DRAINING), Generation("v2", 2, 0.0, State.ACTIVE)
        for generation in (self.old, self.new):
            generation.seats.append(Seat(generation, 0, "", up=True))
        self.relay = Relay(self)
        self.waiting = 0
        """Clients who wait for a backend."""
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.stopped: list[Generation] = []
        self.kept: list[float] = []
        self.keep = 0.0
        self.posted: list[bool] = []
        """For each time the keeper was told: whether it was told that the processes are told."""
        self.backend = any_of(generation=self.old, processes=[], finished=trio.Event())
        self.door = any_of(
            name="main",
            settings=Some(drain=DrainSettings.model_validate({"timeout": "60s", "close_over": "10s"} | drain)),
            world=Some(streams=self.relay, listener=Some(waiting=lambda gate: self.waiting)),
            gate=None,
            switchboard=Some(active=self.new, canary=None),
            draining={},
            fleet=Some(stop=self._stop),
            keeps_warm=lambda backend: self.keep,
            keep_warm=lambda backend, keep: self.kept.append(keep),
            say=self._say,
            noting=Some(post=lambda: self.posted.append(self.draining.note().notified)),
        )
        self.draining: Draining = Draining(self.door, self.backend, 7)

    @property
    def now(self) -> float:
        return trio.current_time() - self._began

    def _say(self, event: str, generation: Generation, /, **fields: Any) -> None:
        assert generation is self.old
        self.events.append((rounded(self.now), event, fields))

    async def _stop(self, backend: object) -> None:
        assert backend is self.backend
        self.stopped.append(self.old)

    def said(self, *events: str) -> list[tuple[float, str, Any]]:
        """When which of these events came, and its reason."""
        return [(at, event, fields.get("reason")) for at, event, fields in self.events if event in events]

    def join(self, count: int) -> None:
        """So many streams are on the old generation."""
        gate = cast(Any, Some(name="main"))
        for number in range(len(self.relay.streams) + 1, len(self.relay.streams) + count + 1):
            self.relay.streams.append(Stream(number, gate, self.old.seats[0], "", (-1, -1), 0.0))
        self.old.open = len(self.relay.streams)

    def stream(self, number: int) -> Stream:
        return next(stream for stream in self.relay.streams if stream.number == number)

    def leaves(self, number: int) -> None:
        """That one has ended."""
        self.relay.streams.remove(self.stream(number))
        self.old.open -= 1
        if not self.old.open:
            self.draining.changed()

    def go_on(self, note: DrainNote | None) -> None:
        """As in the door process after this one."""
        self.draining = Draining(self.door, self.backend, note.swap if note else None, resumed=True, note=note)

    async def run(self, until: float | None = None) -> None:
        """Begin; go on until that time, if there is one."""
        self.door.draining[1] = self.draining
        self._nursery.start_soon(self.draining.run)
        if until is None:
            await wait_all_tasks_blocked()
        else:
            await self.at(until)

    async def at(self, moment: float) -> None:
        await trio.sleep_until(self._began + moment)
        await wait_all_tasks_blocked()

    def trouble(self) -> None:
        """A dial of the new generation fails."""
        self.new.conduct.dial_failed(self.new.total, trio.current_time())

    @property
    def closed_at(self) -> list[float]:
        return [at for at, _ in self.relay.closed]

    @property
    def order(self) -> list[int]:
        return [number for _, number in self.relay.closed]


def on_trios_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let drains, and those who look for trouble, have the clock that jumps."""
    looks = itertools.count()

    def now() -> float:
        return trio.current_time() + next(looks) * 1e-6  # no real clock stands still between two looks

    clock = Some(monotonic=now, time=now)
    for module in (draining, trouble):
        monkeypatch.setattr(module, "time", clock)
