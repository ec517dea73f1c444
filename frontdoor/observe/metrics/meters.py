"""Meters: what the metrics tell of swaps, readiness, limits, hooks, reloads and upgrades, counted from the events.

They begin at zero with each door process: nothing else remembers how many swaps there were. To who reads them that is a
counter that was reset, which Prometheus expects of counters.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from frontdoor.observe.metrics.histogram import Histogram

READY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds from the start of a process until it was ready."""

SWAP = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Seconds from asking for a swap to its outcome: with a probation these may be hours."""

OUTCOMES = {
    "swap.settled": "switched",
    "swap.failed": "failed",
    "swap.vetoed": "vetoed",
    "swap.aborted": "aborted",
    "swap.rolled_back": "rolled_back",
}
"""How a swap may end, by the event that says so."""

RELOADS = {"config.reloaded": "applied", "config.refused": "refused"}
UPGRADES = {"upgrade.finished": "finished", "upgrade.failed": "failed"}


class DoorMeters:
    """What was counted of one door."""

    def __init__(self) -> None:
        self.swaps = {outcome: Histogram(SWAP) for outcome in OUTCOMES.values()}
        """How long swaps took, by outcome; those whose beginning this process has not seen are only in ``resumed``."""
        self.resumed = Counter[str]()
        """Swaps that an earlier door process had begun, by outcome."""
        self.ready = Histogram(READY)
        self.limits = Counter[str]()
        """How often which limit was reached; once for an episode."""
        self.hook_failures = 0
        self._begun: dict[int, tuple[float, bool]] = {}
        """The swap under way, by its number: when it was begun, and whether it is a rollback."""

    def swap_begins(self, number: int, now: float, *, rollback: bool) -> None:
        """One is asked for: the one before it, if there is still one, will not say any more how it ended."""
        self._begun = {number: (now, rollback)}

    def swap_ends(self, number: int, outcome: str, now: float) -> None:
        """One says how it has ended."""
        began, rollback = self._begun.get(number, (None, False))
        if rollback and outcome == "rolled_back":
            return  # that is what it was asked for: it ends when it has settled
        self._begun.pop(number, None)
        if began is None:
            self.resumed[outcome] += 1
        else:
            self.swaps[outcome].add(now - began)

    def count(self, outcome: str) -> int:
        """How many swaps had that outcome."""
        return self.swaps[outcome].count + self.resumed[outcome]


class Meters:
    """A subscriber of the bus."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reloads = Counter[str]()
        self.upgrades = Counter[str]()
        self._clock = clock
        self._doors: dict[str, DoorMeters] = {}
        self._most: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<Meters of {', '.join(self._doors)}>"

    def door(self, name: str) -> DoorMeters:
        """What was counted of that door."""
        return self._doors.setdefault(name, DoorMeters())

    def take(self, event: Mapping[str, Any]) -> None:
        """An event: ``bus.subscribe(meters.take)``. It comes in the middle of a swap, and so this must not raise."""
        name = str(event["event"])
        if name in RELOADS:
            self.reloads[RELOADS[name]] += 1
        elif name in UPGRADES:
            self.upgrades[UPGRADES[name]] += 1
        elif "door" in event:
            self._take_of_door(name, event, self.door(str(event["door"])))

    def _take_of_door(self, name: str, event: Mapping[str, Any], door: DoorMeters) -> None:
        if name == "swap.started" and "swap" in event:
            door.swap_begins(event["swap"], self._clock(), rollback=bool(event.get("rollback")))
        elif name in OUTCOMES and "swap" in event:  # a first generation that has failed is none
            door.swap_ends(event["swap"], OUTCOMES[name], self._clock())
        elif name == "backend.ready":
            door.ready.add(event.get("after_s", 0.0))
        elif name == "limit.reached":
            door.limits[str(event.get("limit"))] += 1
        elif name == "hook.failed":
            door.hook_failures += 1

    def most(self, door: str, generation: str, count: int) -> int:
        """The largest ``count`` there was of that generation: a request that is asked once more is taken out again."""
        most = self._most[door, generation] = max(count, self._most.get((door, generation), 0))
        return most

    def keep(self, doors: Collection[str], generations: Collection[tuple[str, str]]) -> None:
        """Forget all doors and generations but these: the others are gone."""
        self._doors = {name: meters for name, meters in self._doors.items() if name in doors}
        self._most = {place: most for place, most in self._most.items() if place in generations}
