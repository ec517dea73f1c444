"""Garbage: what the keeper holds under the name of a stream, a pipe or a client, and what is none. It is closed."""

import os
from collections.abc import Iterator, Sequence

from frontdoor.observe.logs.log import Log

SAID = 20
"""Entries of which each is said by itself: where nothing can be read there may be thousands."""


class Garbage:
    """Keys, and why nothing can be made of what is there."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Garbage: {', '.join(self._why) or 'none'}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._why)

    def add(self, key: str, fds: Sequence[int], error: Exception) -> None:
        """That is some, since ``error`` was raised when it was read. Its descriptors are closed."""
        for fd in fds:
            os.close(fd)
        self._why[key] = f"{type(error).__name__}: {error}"

    def forget(self, key: str) -> None:
        """It is something else by now."""
        self._why.pop(key, None)

    def clear(self) -> None:
        """There is none."""
        self._why.clear()

    def say(self, log: Log) -> None:
        """Say it in the log: who is cut off finds there why."""
        for key, why in list(self._why.items())[:SAID]:
            reason = f"the keeper has something else there than what the name says ({why}): it is closed"
            log.error("restore.failed", entry=key, reason=reason)
        more = len(self._why) - SAID
        if more > 0:
            log.error("restore.failed", more=more, reason="these entries of the keeper cannot be read, either")
