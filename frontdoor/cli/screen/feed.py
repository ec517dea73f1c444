"""``GET /v1/live``, read in a thread: over as many connections as it takes, until frontdoor has gone for good."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from frontdoor.control.client import Client, Lines
from frontdoor.control.dial import ControlError, NotAllowed, NotRunning

CALL = "/v1/live"

WAITING = 100
"""Lines that wait for a screen that is slow. With more nothing is read, and frontdoor drops what is too much."""

PAUSE = 0.1
"""Seconds between two attempts."""


class Lost:
    """The connection broke: it is asked again."""


class Gone:
    """There is nobody to ask any more."""

    def __init__(self, error: ControlError) -> None:
        self.error = error


Told = Mapping[str, Any] | Lost | Gone


class Feed:
    """The lines, for one reader."""

    def __init__(self, client: Client, lines: Lines, wake: Callable[[], object]) -> None:
        """`lines`: of the first connection; `wake` is called by the thread when there is something to read."""
        self._client = client
        self._lines = lines
        self._wake = wake
        self._queue: queue.Queue[Told] = queue.Queue(WAITING)
        threading.Thread(target=self._run, name="live", daemon=True).start()

    def __repr__(self) -> str:
        return f"<Feed {self._queue.qsize()} waiting>"

    def waiting(self) -> list[Told]:
        """Return all that has come since the last time."""
        found: list[Told] = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                return found

    def _run(self) -> None:
        try:
            while True:
                with self._lines:
                    for line in self._lines:
                        self._tell(line)
                self._tell(Lost())
                self._lines = self._again()
        except ControlError as error:
            self._tell(Gone(error))

    def _again(self) -> Lines:
        """Ask until somebody answers. Raises :exc:`ControlError` when nobody will."""
        while True:
            time.sleep(PAUSE)
            try:
                # Mostly this simply waits in the backlog until there is another door process.
                return self._client.stream("GET", CALL)
            except (NotRunning, NotAllowed):
                raise  # the keeper holds the control socket however often the door process dies: serve has ended
            except ControlError:
                continue

    def _tell(self, told: Told) -> None:
        self._queue.put(told)
        self._wake()
