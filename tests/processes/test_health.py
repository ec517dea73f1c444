from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import trio
import trio.testing

from frontdoor.config import HealthSettings
from frontdoor.policy import backoff
from frontdoor.policy.generation import State
from frontdoor.processes import health
from frontdoor.processes.child import Child
from frontdoor.processes.health import watch
from frontdoor.processes.member import Life
from frontdoor.processes.ready import CannotAsk, NotReady
from keeper.watching import children
from processes.house import House, until


def every(interval: str, failures: int = 3) -> HealthSettings:
    return HealthSettings.model_validate({"interval": interval, "failures": failures})


# -- asking: time is trio's mock clock ----------------------------------------------------------------------------


class Asked:
    """A process that answers its checks as it is told, and when it was asked."""

    def __init__(self, *answers: str | type[CannotAsk] | float) -> None:
        """For each time: what is wrong, or ""; that it could not be asked; how long it takes to answer."""
        self._answers = list(answers)
        self.at: list[float] = []
        self.settings: HealthSettings | None = every("5s")
        self._began = trio.current_time()

    async def check(self) -> None:
        self.at.append(round(trio.current_time() - self._began, 3))
        answer = self._answers.pop(0) if self._answers else "the end"
        if isinstance(answer, float):
            await trio.sleep(answer)
        elif answer is CannotAsk:
            raise CannotAsk("no descriptor left")
        elif answer:
            raise NotReady(str(answer))

    async def watch(self, seconds: float = 2.0) -> str:
        return await watch(self.check, seconds, lambda: self.settings)


async def test_so_many_failures_in_a_row_and_it_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked("", "no", "no", "", "no", "answered with 500", "no socket")
    assert await asked.watch() == "failed its health check 3 times in a row: no socket"
    assert asked.at == [5, 10, 15, 20, 25, 30, 35]


async def test_one_may_be_enough(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked("no")
    asked.settings = every("250ms", failures=1)
    assert await asked.watch() == "failed its health check once: no"
    assert asked.at == [0.25]


async def test_an_answer_that_takes_too_long_is_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked(1.9, 60.0, 60.0, 60.0)
    assert await asked.watch() == "failed its health check 3 times in a row: no answer within 2 s"
    assert asked.at == [5, 10, 15, 20]


async def test_that_it_could_not_be_asked_is_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked("no", "no", CannotAsk, CannotAsk, CannotAsk, "no")
    await asked.watch()
    assert len(asked.at) == 6


async def test_the_settings_are_those_of_the_last_reload(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked()
    asked.settings = every("1h")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.watch)
        await trio.sleep(20.5)
        assert asked.at == []
        asked.settings = every("4s", failures=2)  # nobody waits for the rest of the hour
    assert asked.at == [21, 25]


async def test_nobody_asks_while_it_is_not_wanted_and_the_count_begins_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = Asked("no", "no")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.watch)
        await trio.sleep(11)
        settings, asked.settings = asked.settings, None
        await trio.sleep(1000)
        assert asked.at == [5, 10]
        asked.settings = settings
    assert len(asked.at) == 5


async def test_an_answer_that_comes_when_it_is_not_wanted_any_more_does_not_count(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = Asked("no", "no", 60.0)
    with trio.move_on_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.watch)
            await trio.sleep(16)
            asked.settings = None  # it was replaced while the third answer was waited for
            nursery.cancel_scope.deadline = trio.current_time() + 100
    assert asked.at == [5, 10, 15]


# -- real processes -----------------------------------------------------------------------------------------------

OK = r"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BAD = r"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
HTTP = 'check = "http:/healthz"\ntimeout = "50ms"'


@pytest.fixture
def house(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    monkeypatch.setattr(health, "LOOK", 0.005)
    monkeypatch.setattr(health, "UNASKED_LOOK", 0.005)
    house.health = every("5ms", failures=2)
    house.file("page", OK)
    return house


async def active(house: House, *acts: str, **settings: Any) -> Any:
    """A backend that is the active one, once it is ready."""
    acts = acts or ("listen", f"page:{house.folder}/page")
    backend = house.start(*acts, **{"ready": HTTP, **settings})
    await house.ready(backend)
    backend.generation.state = State.ACTIVE
    return backend


async def test_a_process_that_fails_its_check_is_restarted(house: House) -> None:
    backend = await active(house, "polite:SIGTERM", "listen", f"page:{house.folder}/page")
    (process,) = backend.processes
    first = process.pid
    house.file("page", BAD)
    exited = await house.said("backend.exited")
    why = "failed its health check 2 times in a row: GET /healthz was answered with 500"
    assert exited == {"pid": first, "status": 0, "reason": why, "asked_for": None}
    assert backend.ring.last(1) == ["bye at 15"], "it got the stop signal"
    assert backend.generation.conduct.crashes == 1, "to be given up is a crash, and its end is none"
    assert (await house.said("backend.restarting"))["reason"] == f"it {why}"
    assert not process.seat.up
    house.file("page", OK)
    await house.said("backend.ready", 2)
    await until(backend.alive)
    assert process.pid != first
    assert process.restarts == 1


async def test_one_that_hangs_gets_no_stream_from_then_on_and_is_killed_in_the_end(house: House) -> None:
    backend = await active(house, backend='stop_timeout = "50ms"\nrestart = "never"')  # that is about crashes
    (process,) = backend.processes
    first = process.pid
    os.kill(first, signal.SIGSTOP)  # it dies of SIGKILL alone
    await until(lambda: process.life is Life.STOPPING)
    assert not process.seat.up
    assert house.of("backend.exited") == []
    exited = await house.said("backend.exited")
    assert exited["status"] == -9
    assert exited["reason"] == "failed its health check 2 times in a row: no answer within 0.05 s"
    await house.said("backend.ready", 2)
    os.kill(process.pid, signal.SIGKILL)
    await house.ended(backend)


async def test_a_canary_is_asked_like_the_active_one(house: House) -> None:
    backend = await active(house)
    backend.generation.state = State.READY
    house.file("page", BAD)
    await house.said("backend.restarting")
    assert backend.generation.conduct.crashes == 1


async def test_nobody_is_asked_who_is_not_active(house: House) -> None:
    backend, other = await active(house), await active(house)
    backend.generation.state = State.DRAINING
    house.file("page", BAD)
    await house.said("backend.restarting")
    assert [process.restarts for process in backend.processes] == [0]
    assert backend.generation.conduct.crashes == 0
    assert backend.alive()
    assert not other.alive()


async def test_all_can_be_given_up_at_once(house: House) -> None:
    backend = await active(house, backend="processes = 3")
    house.file("page", BAD)
    await house.said("backend.restarting", 3)
    house.file("page", OK)
    await until(backend.alive)
    assert len({process.pid for process in backend.processes}) == 3
    backend.stop()
    await house.ended(backend)
    assert children(house.keeper) == []


async def test_it_can_be_stopped_and_hurried_while_it_is_being_given_up(house: House) -> None:
    acts = ("deaf", "listen", f"page:{house.folder}/page")
    backend = await active(house, *acts, backend='stop_timeout = "never"')
    house.file("page", BAD)
    await until(lambda: backend.processes[0].life is Life.STOPPING)
    backend.stop()
    backend.stop(0.01)
    await house.ended(backend)
    assert house.of("backend.exited")[0]["asked_for"] is True
    assert house.of("backend.restarting") == []
    assert children(house.keeper) == []


async def test_one_that_is_being_given_up_is_asked_anew_by_the_next_door_process(house: House) -> None:
    acts = ("deaf", "listen", f"page:{house.folder}/page")
    backend = await active(house, *acts, backend='stop_timeout = "never"')
    house.file("page", BAD)
    await until(lambda: backend.processes[0].life is Life.STOPPING)
    reply = await house.link.request("drop", keys=[f"ready/{backend.processes[0].key}"])
    assert reply.body["dropped"] == []
    backend.stop(0.0)
    await house.ended(backend)


async def test_one_that_says_when_it_is_ready_is_asked_whether_it_can_be_dialled(house: House) -> None:
    backend = await active(house, "notify:READY=1", "wait", ready='check = "notify"')
    why = (await house.said("backend.restarting"))["reason"]
    assert why.startswith("it failed its health check 2 times in a row: it has not made its socket yet")
    backend.stop()
    await house.ended(backend)


async def test_one_that_is_asked_to_stop_while_it_fails_its_check_has_not_crashed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trio.Event()

    async def watch(*_: Any) -> str:
        await asked.wait()
        backend.stop()
        return "failed its health check once: no answer"

    monkeypatch.setattr(health, "watch", watch)
    backend = await active(house)
    asked.set()
    await house.ended(backend)
    assert backend.generation.conduct.crashes == 0
    assert house.of("backend.exited")[0]["asked_for"] is True


async def test_its_successor_that_exits_at_once_has_crashed_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await active(house)
    start = Child.start

    async def exits_at_once(child: Child, *args: Any, **more: Any) -> tuple[int, int]:
        started = await start(child, *args, **more)
        os.kill(started[0], signal.SIGKILL)
        await child.report.exited.wait()  # heard of in the same moment as of its start
        return started

    monkeypatch.setattr(Child, "start", exits_at_once)
    house.file("page", BAD)
    await house.said("backend.exited", 2)
    assert backend.generation.conduct.crashes == 2
