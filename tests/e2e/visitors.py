"""Visitors: threads that connect, look at the greeting and leave, again and again."""

import threading
import time
from dataclasses import dataclass

from e2e.harness import Client, Frontdoor, until


@dataclass(frozen=True)
class Visit:
    """One of them."""

    began: float
    """Before it connected, on the monotonic clock."""
    generation: str = ""
    pid: int = 0
    """Of the backend that greeted it; 0: none has."""
    refused: bool = False

    @property
    def cut(self) -> bool:
        """It was accepted, and then closed without a greeting."""
        return not self.pid and not self.refused


class Visitors:
    """So many visitors of a door with greeters."""

    def __init__(self, door: Frontdoor, count: int) -> None:
        self._address = door.address
        self._leave = threading.Event()
        self.visits: list[Visit] = []
        self._greeted = [0] * count
        self._threads = [threading.Thread(target=self._come_and_go, args=(number,)) for number in range(count)]

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()

    def _come_and_go(self, number: int) -> None:
        while not self._leave.is_set():
            visit = self._visit()
            self.visits.append(visit)
            self._greeted[number] += bool(visit.pid)
            time.sleep(0.01)  # a visitor, not a load

    def _visit(self) -> Visit:
        began = time.monotonic()
        try:
            client = Client(self._address)
        except OSError:
            return Visit(began, refused=True)
        try:
            return Visit(began, client.generation, client.pid)
        except (OSError, AssertionError):
            return Visit(began)
        finally:
            client.close()

    def all_come_again(self) -> None:
        """Wait until each has been greeted twice more: the second visit began after this call."""
        before = list(self._greeted)
        until(lambda: all(now >= then + 2 for now, then in zip(self._greeted, before, strict=True)), "all come again")

    def since(self, moment: float) -> list[Visit]:
        """The visits that began after this moment, of the monotonic clock, and have ended."""
        return [visit for visit in list(self.visits) if visit.began > moment]

    @property
    def refused(self) -> int:
        return sum(visit.refused for visit in self.visits)

    @property
    def cut(self) -> int:
        return sum(visit.cut for visit in self.visits)

    @property
    def greeted(self) -> int:
        return sum(self._greeted)

    @property
    def greeted_by(self) -> set[tuple[str, int]]:
        return {(visit.generation, visit.pid) for visit in self.visits if visit.pid}
