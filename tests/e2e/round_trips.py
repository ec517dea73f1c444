"""Traffic through the door while a test does something else: is anybody held up?"""

import threading
import time
from typing import Self

from e2e.harness import Frontdoor


class RoundTrips:
    """One client of the door, and how long its round trips take while something else happens."""

    def __init__(self, door: Frontdoor) -> None:
        self._client = door.connect()
        self._client.ask("hello")
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self.took: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaves.set()
        self._thread.join()
        self.took.sort()

    def _talk(self) -> None:
        while not self._leaves.is_set():
            began = time.monotonic()
            assert self._client.ask("how are you?")
            self.took.append(time.monotonic() - began)
            time.sleep(0.001)

    @property
    def worst(self) -> float:
        """Seconds."""
        return max(self.took)

    def __str__(self) -> str:
        middle, worst = self.took[len(self.took) // 2], self.took[-1]
        return f"{len(self.took)} round trips, median {middle * 1000:.2f} ms, worst {worst * 1000:.1f} ms"
