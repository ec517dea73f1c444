import time

import pytest
import trio
import trio.testing

from frontdoor.observe.metrics import lag
from frontdoor.observe.metrics.lag import Lag


class Traffic:
    """What stirs."""

    def __init__(self) -> None:
        self.events = 0
        self.waited_for = 0
        self._stirs = trio.Event()

    def stir(self) -> None:
        self.events += 1
        self._stirs.set()
        self._stirs = trio.Event()

    async def stirred(self, seen: int) -> int:
        while self.events == seen:
            self.waited_for += 1
            await self._stirs.wait()
        return self.events


async def test_it_looks_while_there_is_traffic_and_not_without(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    traffic = Traffic()
    meter = Lag(traffic.stirred)
    nursery.start_soon(meter.run)
    await trio.sleep(100)
    assert meter.histogram.count == 1, "once at the beginning"
    assert traffic.waited_for == 1, "and then nothing wakes it"
    for _ in range(3):
        traffic.stir()
        await trio.sleep(100)
    assert meter.histogram.count == 4


async def test_what_holds_up_everybody_is_seen(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.01)
    meter = Lag(Traffic().stirred)
    nursery.start_soon(meter.run)
    await trio.testing.wait_all_tasks_blocked()
    time.sleep(0.06)  # noqa: ASYNC251 - that is what is tested
    while meter.histogram.count == 0:
        await trio.lowlevel.checkpoint()
    assert (meter.last_ms or 0.0) >= 49
    assert meter.histogram.cumulative[lag.BOUNDS.index(0.025)] == 0


async def test_the_last_look_says_nothing_of_now_when_it_was_long_ago(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    meter = Lag(Traffic().stirred)
    said = [meter.last_ms]
    nursery.start_soon(meter.run)
    for seconds in (1, lag.STALE):
        await trio.sleep(seconds)
        said.append(meter.last_ms)
    assert said == [None, 0.0, None]
