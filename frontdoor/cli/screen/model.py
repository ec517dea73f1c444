"""What ``frontdoor top`` knows: made from the lines of ``GET /v1/live``, one after the other. No clock, no terminal.

All that is kept is bounded: the last state as it is, a quarter of an hour of some numbers, the last events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from frontdoor.cli.screen.series import STEP, Series

EVENTS = 200
"""Events that are kept: as many as frontdoor tells whoever begins to look."""

GENERATIONS = 64
"""Generations of a door whose past is kept: more than can ever run at once."""

SPAN = 0.95
"""Seconds between two states from which rates are made: one is told each second, and more of them after events."""

LOOK_BACK = 30
"""Steps of a drain from which its end is estimated: a minute."""

SURE = 5
"""Streams that have ended, at least, before an end is guessed at."""


@dataclass(frozen=True)
class Reading:
    """How far a door's counters were at one time, in seconds since the epoch."""

    time: float
    accepted: float
    up: float
    down: float


@dataclass(frozen=True)
class Rates:
    """What happens in a second, between two states: new streams, bytes in each direction."""

    new: float
    up: float
    down: float


@dataclass
class Past:
    """One door over time."""

    accepted: Series = field(default_factory=Series)
    up: Series = field(default_factory=Series)
    down: Series = field(default_factory=Series)
    open: dict[str, Series] = field(default_factory=dict)
    """The open streams of each generation, by its id."""
    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=32))
    bytes: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What each generation has moved until the last state: one that is gone takes nothing of it along."""
    moved: tuple[float, float] = (0.0, 0.0)
    """What all have moved since the first state."""

    def sample(self, time: float, accepted: float, open_: Mapping[str, float]) -> None:
        """At that time so many streams had been accepted, and so many of each generation were open."""
        self.accepted.put(time, accepted)
        for id_ in self.open.keys() | open_.keys():
            if id_ not in self.open and len(self.open) >= GENERATIONS:
                continue
            self.open.setdefault(id_, Series()).put(time, open_.get(id_, 0))

    def state(self, time: float, door: Mapping[str, Any]) -> None:
        """That is how the door was at that time."""
        generations = door.get("generations", [])
        first, up, down = not self.readings, *self.moved
        now = {}
        for each in generations:
            moved = each.get("bytes", {})
            there = float(moved.get("up", 0)), float(moved.get("down", 0))
            id_ = str(each.get("id"))
            # One that has come since the last look counts whole, those of the first look count from there on.
            before = self.bytes.get(id_, there if first else (0.0, 0.0))
            up, down = up + max(0.0, there[0] - before[0]), down + max(0.0, there[1] - before[1])
            now[id_] = there
        self.bytes, self.moved = now, (up, down)
        accepted = float(door.get("streams", {}).get("accepted", 0))
        for id_ in self.open.keys() - now.keys():
            del self.open[id_]
        self.sample(time, accepted, {str(each.get("id")): _open(each) for each in generations})
        self.up.put(time, up)
        self.down.put(time, down)
        if self.readings and (time < self.readings[-1].time or accepted < self.readings[-1].accepted):
            self.readings.clear()  # the clock was set back, or it is not the same frontdoor any more
        self.readings.append(Reading(time, accepted, up, down))

    def rates(self) -> Rates | None:
        """What happens in a second now, from the last state and one about a second before; None: there is none."""
        if not self.readings:
            return None
        last = self.readings[-1]
        before = next((each for each in reversed(self.readings) if last.time - each.time >= SPAN), None)
        if before is None:
            return None
        seconds = last.time - before.time
        return Rates(
            (last.accepted - before.accepted) / seconds,
            (last.up - before.up) / seconds,
            (last.down - before.down) / seconds,
        )

    def empty_in(self, id_: str) -> float | None:
        """In how many seconds that generation has no stream any more, if its streams go on to end as they did.

        None where too little has ended to tell.
        """
        series = self.open.get(id_)
        if series is None or not series.last:
            return None
        highest, pace = max(series.levels(LOOK_BACK)), series.shrinks(LOOK_BACK)
        if highest - series.last < min(SURE, highest / 4) or not pace:
            return None
        return series.last / pace


class Model:
    """All that the screen shows, besides what is asked and done there."""

    def __init__(self) -> None:
        self.state: Mapping[str, Any] = {}
        """As ``GET /v1/status`` answers; empty: there was none yet."""
        self.holds: Mapping[str, Any] = {}
        """Door → generation → its oldest streams, while it drains."""
        self.lag_ms: float | None = None
        """How late frontdoor's own loop was last, in milliseconds."""
        self.dropped = 0
        """Lines that frontdoor's log has lost."""
        self.events: deque[Mapping[str, Any]] = deque(maxlen=EVENTS)
        """The last events, the newest last."""
        self._past: dict[str, Past] = {}

    def __repr__(self) -> str:
        return f"<Model of {', '.join(self.names) or 'nothing'}, {len(self.events)} events>"

    def take(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the stream; what it is, it says itself."""
        event = line.get("event")
        if event == "live.state":
            self._state(line)
        elif event == "live.past":
            self._begin(line)
        elif event is not None:
            self.events.append(line)

    @property
    def names(self) -> list[str]:
        """Those of the doors."""
        return [str(door.get("name")) for door in self.state.get("doors", [])]

    def door(self, name: str) -> Mapping[str, Any]:
        """The door's part of the last state; empty if there is none."""
        return next((door for door in self.state.get("doors", []) if door.get("name") == name), {})

    def past(self, name: str) -> Past:
        """What is known of a door besides its last state."""
        return self._past.get(name) or Past()

    def events_of(self, name: str) -> list[Mapping[str, Any]]:
        """The events of a door, and what is of no door and so of all of them; the newest first."""
        return [event for event in reversed(self.events) if event.get("door", name) == name]

    def held(self, name: str, generation: str) -> Sequence[Mapping[str, Any]]:
        """The oldest streams of a draining generation."""
        found: Sequence[Mapping[str, Any]] = self.holds.get(name, {}).get(generation, [])
        return found

    def _begin(self, line: Mapping[str, Any]) -> None:
        """The stream has begun, or begun again: what is known already is not taken twice."""
        known = {_mark(event) for event in self.events}
        self.events.extend(event for event in line.get("events", []) if _mark(event) not in known)
        if not self._past:
            for sample in line.get("samples", []):
                time = seconds(sample.get("time"))
                for name, door in sample.get("doors", {}).items():
                    past = self._past.setdefault(name, Past())
                    past.sample(time, float(door.get("accepted", 0)), door.get("open", {}))

    def _state(self, line: Mapping[str, Any]) -> None:
        time = seconds(line.get("time"))
        self.state = line.get("status") or {}
        self.holds = line.get("holds") or {}
        self.lag_ms = line.get("lag_ms")
        self.dropped = int((line.get("log") or {}).get("dropped", 0))
        names = self.names
        self._past = {name: self._past.get(name) or Past() for name in names}
        for door in self.state.get("doors", []):
            self._past[str(door.get("name"))].state(time, door)


def seconds(time: object) -> float:
    """Return an RFC 3339 `time` as seconds since the epoch; 0 for what is none."""
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def span(steps: int) -> float:
    """Return how many seconds so many steps are."""
    return steps * STEP


def _open(generation: Mapping[str, Any]) -> float:
    return float(generation.get("streams", {}).get("open", 0))


def _mark(event: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(str(event.get(key)) for key in ("time", "seq", "event", "door"))
