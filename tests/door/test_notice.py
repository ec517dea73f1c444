"""All processes of a generation are told, and what was in vain is said."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from frontdoor.config import DrainNotify
from frontdoor.door import notice
from frontdoor.policy.generation import Generation

NOTIFY = DrainNotify("http", "/drain")


class Told:
    """What each process was told; how long it takes to answer, and what comes of it."""

    def __init__(self, *answers: tuple[float, str]) -> None:
        self.old, self.new = Generation("v1", 1, 0.0), Generation("v2", 2, 0.0)
        self.answers = dict(enumerate(answers))
        self.backend: Any = Some(
            generation=self.old,
            processes=[Some(pid=1000 * n, seat=Some(process=n, generation=self.old)) for n in self.answers],
        )
        self.heard: list[tuple[int, Mapping[str, Any]]] = []
        self.said: list[tuple[str, Generation, dict[str, Any]]] = []
        self.door: Any = Some(
            name="main",
            settings=Some(drain=Some(notify=NOTIFY, notify_timeout=3.0)),
            switchboard=Some(active=self.new),
            say=lambda event, generation, /, **fields: self.said.append((event, generation, fields)),
        )

    async def give(self, member: Any, notify: DrainNotify, seconds: float, event: Mapping[str, Any]) -> str:
        assert (notify, seconds) == (NOTIFY, 3.0)
        self.heard.append((member.seat.process, event))
        takes, problem = self.answers[member.seat.process]
        await trio.sleep(takes)
        return problem


def tells(monkeypatch: pytest.MonkeyPatch, *answers: tuple[float, str]) -> Told:
    told = Told(*answers)
    monkeypatch.setattr(notice, "give", told.give)
    return told


async def test_all_are_told_at_once_and_of_all_an_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    told = tells(monkeypatch, (2.0, ""), (3.0, ""), (1.0, ""))
    await notice.tell(told.door, told.backend, 7)
    assert trio.current_time() == 3
    drains = {"event": "drain.started", "door": "main", "version": "v1", "generation": "v1#1", "to": "v2#2"}
    assert sorted(told.heard, key=lambda each: each[0]) == [(0, drains), (1, drains), (2, drains)]
    assert told.said == []


async def test_one_that_could_not_be_told_is_named_and_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    told = tells(monkeypatch, (0.0, "it is not up"), (1.0, ""), (2.0, "POST /drain was answered with 500"))
    await notice.tell(told.door, told.backend, 7)
    goes_on = "its streams go on, and are closed as the config says"
    assert told.said == [
        (
            "drain.notify_failed",
            told.old,
            {"swap": 7, "pid": None, "reason": f"it was not told that it drains: it is not up; {goes_on}"},
        ),
        (
            "drain.notify_failed",
            told.old,
            {
                "swap": 7,
                "pid": 2000,
                "reason": f"it was not told that it drains: POST /drain was answered with 500; {goes_on}",
            },
        ),
    ]


async def test_new_streams_may_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    told = tells(monkeypatch, (0.0, ""))
    told.door.switchboard.active = None
    await notice.tell(told.door, told.backend, None)
    assert told.heard[0][1]["to"] is None
