from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frontdoor.control.events import Bus
from frontdoor.door.bulletin import LONGEST, LOOK, Bulletin, line


def generation(name: str, streams: int) -> Any:
    return Some(id=name, open=streams)


def door(name: str = "main", **changes: Any) -> Any:
    """As much of a door as a bulletin looks at."""
    known: dict[str, Any] = {
        "name": name,
        "world": Some(stopping=trio.Event(), bus=Bus()),
        "leaving": False,
        "pausing": Some(paused=False),
        "maintaining": Some(now=None),
        "trouble": "",
        "ledger": Some(open=0),
        "switchboard": Some(active=generation("v1#1", 0)),
        "draining": {},
        "swap": None,
    }
    return Some(**(known | changes))


def test_each_state_has_its_words() -> None:
    active = Some(active=generation("v2#2", 9))
    drains = {1: Some(backend=Some(generation=generation("v1#1", 1)))}
    nobody = Some(active=None)
    stopping = door(ledger=Some(open=3))
    stopping.world.stopping.set()
    assert [line([each]) for each in (
        door(),
        door(switchboard=active, draining=drains),
        door(pausing=Some(paused=True)),
        door(maintaining=Some(now="Back at 5")),
        door(switchboard=active, swap=Some(under_way=True, target="v3", phase="probing")),
        door(swap=Some(under_way=False, target="v3", phase="settled")),
        door(switchboard=nobody),
        door(switchboard=nobody, trouble="v1#1: it exited with code 1"),
        door(leaving=True, ledger=Some(open=1)),
        stopping,
    )] == [
        "v1#1 active, 0 streams",
        "v2#2 active, 9 streams; v1#1 draining, 1 stream",
        "v1#1 paused, 0 streams",
        "v1#1 in maintenance, 0 streams",
        "v2#2 active, 9 streams; swap to v3 (probing)",
        "v1#1 active, 0 streams",
        "starting",
        "nothing serves: v1#1: it exited with code 1",
        "stopping, 1 stream left",
        "stopping, 3 streams left",
    ]  # fmt: skip


def test_several_doors_have_their_names() -> None:
    assert (
        line([door("web"), door("api", pausing=Some(paused=True))])
        == "web: v1#1 active, 0 streams | api: v1#1 paused, 0 streams"
    )


class Link:
    """What the keeper was told, and when; ``full``: there is no room in the wire."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        self.full = False

    def post(self, op: str, **report: Any) -> bool:
        assert op == "report"
        if not self.full:
            self.told.append((trio.current_time(), report))
        return not self.full

    def lines(self) -> list[str]:
        told, self.told = self.told, []
        return [report["line"] for _, report in told]


class Doors(list[Any]):
    @property
    def world(self) -> Any:
        return self[0].world


class Stand:
    def __init__(self) -> None:
        self.door = door()
        self.link = Link()
        self.operator = Some(reloading=False, answered=0, on_reload=None)
        self.bulletin = Bulletin(Doors([self.door]), self.operator, self.link)  # type: ignore[arg-type]

    def streams(self, count: int) -> str:
        self.door.switchboard.active.open = count
        return f"v1#1 active, {count} stream{'s' * (count != 1)}"


@pytest.fixture
async def stand(nursery: trio.Nursery) -> Stand:
    stand = Stand()
    nursery.start_soon(stand.bulletin.run)
    await wait_all_tasks_blocked()
    assert stand.link.lines() == ["v1#1 active, 0 streams"]
    return stand


async def test_what_has_changed_is_told_within_a_second_while_things_change(
    stand: Stand, autojump_clock: MockClock
) -> None:
    for count in (1, 2, 3):
        said = stand.streams(count)
        await trio.sleep(LOOK + 0.1)
        assert stand.link.lines() == [said]


async def test_nothing_is_told_while_nothing_changes_and_looks_are_rare_then(
    stand: Stand, autojump_clock: MockClock
) -> None:
    await trio.sleep(100)
    assert stand.link.lines() == []
    said = stand.streams(1)
    await trio.sleep(LONGEST)
    assert stand.link.lines() == [said]


async def test_an_event_is_told_at_once_and_many_together(stand: Stand, autojump_clock: MockClock) -> None:
    await trio.sleep(100)
    at = trio.current_time()
    for count in (1, 2, 3):
        stand.streams(count)
        stand.door.world.bus.publish("swap.switched", door="main")
    await trio.sleep(0.2)
    ((when, report),) = stand.link.told
    assert report["line"] == "v1#1 active, 3 streams"
    assert when - at < 0.1


async def test_a_reload_however_short_is_told(stand: Stand, autojump_clock: MockClock) -> None:
    stand.operator.reloading = True
    stand.operator.on_reload()
    stand.operator.reloading, stand.operator.answered = False, 1
    stand.operator.on_reload()
    told = [(report["reloading"], report["answered"]) for _, report in stand.link.told]
    assert told == [(True, 0), (False, 1)]


async def test_what_found_no_room_is_told_soon(stand: Stand, autojump_clock: MockClock) -> None:
    stand.link.full = True
    stand.operator.reloading = True
    stand.operator.on_reload()
    await trio.sleep(1)
    assert stand.link.told == []
    stand.link.full = False
    await trio.sleep(0.1)
    assert [report["reloading"] for _, report in stand.link.told] == [True]
