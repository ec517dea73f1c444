"""The load of scripts/load in a thread of its own, beside a test that is a plain transcript."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import trio

from e2e.harness import Frontdoor
from load import Clients, Load, Result, table


class Beside:
    """A load that goes on while the test does something else."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._begun = threading.Event()
        self._seen = 0
        self._leave: trio.Event
        self._token: trio.lowlevel.TrioToken

    async def run(self) -> None:
        self._leave, self._token = trio.Event(), trio.lowlevel.current_trio_token()
        async with self._load.running():
            self._begun.set()
            await self._leave.wait()

    def begun(self) -> None:
        """Wait until the clients are under way."""
        assert self._begun.wait(20)

    def switching(self) -> None:
        """A swap begins."""
        self._do(self._load.switching)

    def switched(self, generation: str) -> None:
        """It has ended, and this generation is active: the new one, or the old one if it has failed."""
        self._do(self._load.switched, generation)

    def has_seen_nothing(self) -> None:
        """Wait until every client was served once more; nothing may have failed since the last time."""
        trio.from_thread.run(self._load.progress, trio_token=self._token)
        result = self._do(self._load.result)
        seen, self._seen = self._seen, result.failed
        assert result.failed == seen, table(result)

    def end(self) -> None:
        """Let all clients end what they have begun."""
        self._do(self._leave.set)

    @property
    def result(self) -> Result:
        return self._load.result()

    def _do(self, what: Callable[..., Any], *args: object) -> Any:
        return trio.from_thread.run_sync(what, *args, trio_token=self._token)


@contextmanager
def load_beside(door: Frontdoor, clients: Clients, *, pace: float) -> Iterator[Beside]:
    """These clients at the door; all of them have been served when this begins, and have left when it ends."""
    host, port = door.address
    beside = Beside(Load(f"{host}:{port}", clients, first=door.status()["active"], pace=pace))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(trio.run, beside.run)
        try:
            beside.begun()
            beside.has_seen_nothing()
            yield beside
        finally:
            if not running.done():
                beside.end()
            running.result()
