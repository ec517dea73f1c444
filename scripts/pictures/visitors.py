"""People who come, stay for a while, and say something now and then."""

import contextlib
import math
import random

import trio

from load.session import WrongError
from load.talk import Talk

STAY = 30.0  # seconds, on average
EVERY = 0.8  # seconds between two things that one of them says, on average
SIZES = (40, 4000)  # bytes of what they say


class Visitors:
    """As many as there are, all the time: who leaves is followed by another one."""

    def __init__(self, address: str, number: int, seed: int = 8) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._number = number
        self._rng = random.Random(seed)

    async def come_and_go(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._visit)
                # Now more of them, now fewer.
                tide = 1 + 0.25 * math.sin(trio.current_time() / 9)
                await trio.sleep(self._rng.expovariate(tide * self._number / STAY))

    async def _visit(self) -> None:
        stay = self._rng.expovariate(1 / STAY)
        with contextlib.suppress(OSError, WrongError), trio.move_on_after(stay):
            await self._talk()

    async def _talk(self) -> None:
        with await Talk.to(self._host, self._port) as talk:
            await talk.upgrade()
            await talk.hear()
            while True:
                await trio.sleep(self._rng.expovariate(1 / EVERY))
                await talk.ask(self._rng.randbytes(self._rng.randint(*SIZES)))
                await talk.hear()
