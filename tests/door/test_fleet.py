"""How generations end, and which of those that have ended can still be looked at."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio

from frontdoor.door.fleet import ENDED_SHOWN, Fleet
from frontdoor.policy.generation import Happening, State
from frontdoor.processes.output import Ring


class Kept:
    """A fleet whose backends have no processes: they end when they are told to."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.dropped: list[str] = []
        self.remembered = 0
        self.fleet = Fleet(
            "main",
            Some(link=Some(request=self._request)),  # type: ignore[arg-type]
            say=lambda event, generation: self.events.append((event, generation.id, str(generation.state))),
            health=lambda: None,
            remember=self._remember,
        )

    async def _request(self, op: str, keys: list[str]) -> None:
        assert op == "drop"
        self.dropped += keys

    async def _remember(self) -> None:
        self.remembered += 1

    def drained(self, version: str, problem: str = "") -> Any:
        """A generation without a stream, and with a line of output."""
        generation = self.fleet.add(version)
        generation.problem = problem
        for happening in (Happening.PROVED_READY, Happening.SWITCHED_TO, Happening.REPLACED, Happening.EMPTIED):
            generation.happen(happening, 0.0)
        finished, ring = trio.Event(), Ring(lambda line: None)
        ring.add(1234, f"{generation.id} was here")
        backend = Some(generation=generation, finished=finished, ring=ring, stop=lambda at_most: finished.set())
        self.fleet.generations[generation.number] = generation
        self.fleet.backends[generation.number] = backend  # type: ignore[assignment]
        return backend


@pytest.mark.parametrize(
    ("problem", "state"), [("", State.STOPPED), ("one of its processes has crashed", State.FAILED)]
)
async def test_one_that_was_found_wanting_ends_failed_and_its_reason_stays(problem: str, state: State) -> None:
    kept = Kept()
    backend = kept.drained("v2", problem)
    await kept.fleet.stop(backend)
    assert (backend.generation.state, backend.generation.problem) == (state, problem)
    assert kept.events == [("generation.stopped", "v2#1", str(state))]
    assert (kept.fleet.backends, kept.dropped, kept.remembered) == ({}, ["config/main/1"], 1)
    assert kept.fleet.generations == {1: backend.generation}
    assert [line["line"] for line in kept.fleet.output(backend.generation, 5)] == ["v2#1 was here"]


async def test_a_day_of_deploys_does_not_push_out_the_one_that_failed() -> None:
    kept = Kept()
    failed = kept.drained("bad", "it crashed").generation
    await kept.fleet.stop(kept.fleet.backends[failed.number])
    for number in range(ENDED_SHOWN + 2):
        await kept.fleet.stop(kept.drained(f"v{number}"))
    shown = list(kept.fleet.generations.values())
    assert [generation.id for generation in shown] == ["bad#1", *(f"v{n}#{n + 2}" for n in range(2, ENDED_SHOWN + 2))]
    assert kept.fleet.output(failed, 5) != []
    for number in range(ENDED_SHOWN):
        await kept.fleet.stop(kept.drained(f"worse{number}", "it crashed"))
    assert failed.number not in kept.fleet.generations, "a day of bad ones does"
    assert kept.fleet.output(failed, 5) == []
