"""The health check: whether a process that was ready is still able to take a stream."""

from collections.abc import Callable

import trio

from frontdoor.config import HealthSettings
from frontdoor.policy.readiness import Health
from frontdoor.processes.ready import CannotAsk, Check, NotReady, ask

LOOK = 1.0
"""Seconds until it is noticed, at the latest, that the settings have changed, or that there is something to do."""

UNASKED_LOOK = 5.0
"""The same while no health is asked for: each look wakes a frontdoor that may have nothing else to do."""


async def watch(check: Check, seconds: float, wanted: Callable[[], HealthSettings | None]) -> str:
    """Ask again and again. Returns when it is to be given up: why, in words that go on after "it".

    ``seconds``: for one answer. ``wanted``: the settings as they are now; None: no health is asked for now.
    """
    health, asked = Health(), trio.current_time()
    while True:
        settings = wanted()
        if settings is None:
            health, asked = Health(), trio.current_time()
            await trio.sleep(UNASKED_LOOK)
            continue
        wait = asked + settings.interval - trio.current_time()
        if wait > 0:
            await trio.sleep(min(wait, LOOK))
            continue
        asked = trio.current_time()
        try:
            await ask(check, seconds)
        except CannotAsk:
            pass  # it is this side that cannot: no word about the process
        except NotReady as problem:
            settings = wanted()  # it may have become a draining one, or a reload may have changed them
            if settings is not None and health.bad(settings.failures):
                return f"failed its health check {_times(settings.failures)}: {problem}"
        else:
            health.good()


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times in a row"
