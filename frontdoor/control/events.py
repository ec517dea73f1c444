"""Events: what happened, in the one vocabulary of logs, hooks, ``frontdoor events`` and the control API.

:class:`Bus` is where the door process says what happens. Nothing here can make the one who publishes wait:
subscribers are plain functions, and followers are those of a :class:`~frontdoor.control.feed.Feed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .feed import FOLLOWER_QUEUE, HISTORY, Event, Feed, Said, timestamp

VOCABULARY = frozenset(
    {
        "door.started",
        "door.restored",
        "door.stopping",
        "config.reloaded",
        "config.refused",
        "backend.starting",
        "backend.ready",
        "backend.exited",
        "backend.restarting",
        "swap.started",
        "swap.vetoed",
        "swap.ready",
        "swap.switched",
        "swap.settled",
        "swap.failed",
        "swap.aborted",
        "swap.rolled_back",
        "swap.stays",
        "drain.started",
        "drain.finished",
        "drain.waits",
        "drain.resumed",
        "drain.notify_failed",
        "generation.warm",
        "generation.stopped",
        "canary.share",
        "paused",
        "resumed",
        "maintenance.on",
        "maintenance.off",
        "upgrade.started",
        "upgrade.finished",
        "upgrade.failed",
        "hook.failed",
        "limit.reached",
        "vault.full",
    }
)


class Bus(Feed):
    """The feed of events: checks each name, numbers it, and hands it to every subscriber and follower, in order."""

    def __init__(self, *, history: int = HISTORY, queue: int = FOLLOWER_QUEUE) -> None:
        super().__init__(history=history, queue=queue)
        self._subscribers: list[Callable[[Event], object]] = []
        self._seq = 0

    def __repr__(self) -> str:
        return f"<Bus seq={self._seq} followers={len(self.followers)}>"

    def publish(self, event: str, /, **fields: Any) -> Event:
        """Say that `event` happened; returns it with ``event``, ``time`` and ``seq`` in front of `fields`.

        A field that is None does not apply, and is left out. The dict is shared by all who read it: nobody
        may change it. Raises :exc:`ValueError` for a name that is not in the vocabulary.
        """
        if event not in VOCABULARY:
            raise ValueError(f"{event!r} is not an event of the contract's vocabulary")
        self._seq += 1
        said = Said(event=event, time=timestamp(), seq=self._seq)
        said.update((name, value) for name, value in fields.items() if value is not None)
        self.add(said)
        for subscriber in self._subscribers:
            subscriber(said)
        return said

    def subscribe(self, listener: Callable[[Event], object]) -> None:
        """Call `listener` with every event from now on, in the moment it is published.

        It is called in the middle of a swap: it may neither block nor raise.
        """
        self._subscribers.append(listener)
