"""Who runs whom: the relay's loop is the host, and trio is its guest.

As a task of trio's the relay had to let the others run every millisecond, whether they wanted to or not, for a task
cannot see that nothing is waiting: 130 µs each time, an eighth of all it did under load. As the host it waits in its
own epoll set, and a pass of trio's loop is made exactly when there is one to make: trio waits for its own events and
deadlines in a thread (its "guest mode"), and rings a bell in that set.

Between two batches of events there is one pass of trio at the most, and between two passes one batch: neither starves.
The sweeper looks at the streams from here too: a timer of trio's would wake two threads each time.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from frontdoor.traffic.relay import Relay
from frontdoor.traffic.sweeper import TICK, Sweeper

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")


class Host:
    """The thread's main loop."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sweeper = Sweeper(relay)
        self._due: deque[Callable[[], object]] = deque()
        """Passes of trio's loop that can be made now. Trio's thread appends, this one takes."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        relay.listen(self._bell, self._answer)

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run the relay and ``main``, a trio program, until that returns. Raises what it raises, or the relay."""
        ended: list[Outcome[T]] = []
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=self._call,
            run_sync_soon_not_threadsafe=self._due.append,
            done_callback=ended.append,
            strict_exception_groups=True,
        )
        due, relay, turn = self._due, self._relay, self._relay.turn
        sweep_at = 0.0
        while not ended:
            # With nobody to look at there is no reason to wake: a door with nothing to do sleeps.
            turn(0 if due else TICK if len(relay) or relay.lacks_room else None)
            for _ in range(len(due)):
                due.popleft()()
            if relay.now >= sweep_at:
                self._sweeper.sweep(relay.now)
                sweep_at = relay.now + TICK
        self._relay.unlisten(self._bell)
        os.close(self._bell)
        return ended[0].unwrap()

    def _call(self, call: Callable[[], object]) -> None:
        """Trio's thread has something for this one."""
        self._due.append(call)
        os.eventfd_write(self._bell, 1)

    def _answer(self) -> None:
        os.eventfd_read(self._bell)
