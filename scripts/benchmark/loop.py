"""The loop that clients of a measurement run in: what is readable, and what is due, in one thread.

A thread or a process for each client would measure how the machine schedules them.
"""

import gc
import heapq
import itertools
import select
import time
from collections.abc import Callable

clock = time.perf_counter
"""Seconds, as all times here."""

BATCH = 64
"""Descriptors handled before the clock is looked at again."""


class Loop:
    """Calls back what is watched when it is readable, and what is due when its time has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], object]] = {}
        self._due: list[tuple[float, int, Callable[[float], object]]] = []
        self._numbers = itertools.count()  # of two that are due at the same time the first one asked for comes first

    def watch(self, descriptor: int, ready: Callable[[], object], *, for_room: bool = False) -> None:
        """Call `ready` whenever it is readable; `for_room`: writable. A second call changes what the first one said."""
        events = select.EPOLLOUT if for_room else select.EPOLLIN
        if descriptor in self._watched:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._watched[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """Do not watch it any more: it is about to be closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def at(self, due: float, call: Callable[[float], object]) -> None:
        """Call `call` with `due` when that time has come, or as soon after it as there is a moment."""
        heapq.heappush(self._due, (due, next(self._numbers), call))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run for so long, or until `until` holds. Returns whether it does."""
        ends = clock() + seconds
        gc.disable()  # a pause of ours would be taken for one of the proxy
        try:
            while not until():
                now = clock()
                if now >= ends:
                    return False
                self._turn(now, ends)
        finally:
            gc.enable()
        return True

    def close(self) -> None:
        """Give the epoll set back. What was watched is the caller's to close."""
        self._epoll.close()

    def _turn(self, now: float, ends: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, _, call = heapq.heappop(self._due)
            call(due)
        ready = self._epoll.poll(0, BATCH)
        if not ready:
            # select(2) waits to the microsecond, epoll_wait(2) to the millisecond: too coarse for a client at 1 kHz.
            wait = min(ends, self._due[0][0] if self._due else ends) - clock()
            select.select([self._epoll.fileno()], [], [], max(0.0, wait))
            return
        for descriptor, _ in ready:
            callback = self._watched.get(descriptor)
            if callback is not None:  # else: closed earlier in this batch
                callback()
