"""Who runs whom: the relay's loop is the host, and trio is its guest.

As a task of trio's the relay had to let the others run every millisecond, whether they wanted to or not, for a task
cannot see that nothing is waiting: 130 µs each time, an eighth of all it did under load. As the host it waits in its
own epoll set, and a pass of trio's loop is made exactly when there is one to make: trio waits for its own events and
deadlines in a thread (its "guest mode"), and rings a bell in that set.

Between two batches of events there is one pass of trio at the most, and between two passes one batch: neither starves.
The sweeper looks at the streams from here too: a timer of trio's would wake two threads each time.
"""

import os
import select
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from frontdoor.traffic.relay import Relay
from frontdoor.traffic.sweeper import TICK, Sweeper

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")

LATE = 1.0
"""Seconds: when the sweeper is so much too late, all streams get their turn before it looks at them."""


class Host:
    """The thread's main loop."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sweeper = Sweeper(relay)
        self._due: deque[Callable[[], object]] = deque()
        """Passes of trio's loop that can be made now. Trio's thread appends, this one takes."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        relay.listen(self._bell, self._ring)
        self._silence = select.poll()
        """Of all but the bell."""
        self._silence.register(self._bell, select.POLLIN)

    def freeze(self) -> None:
        """Make no turn of the relay from now on, so that no byte moves and nobody is accepted. Trio goes on."""
        self._relay.still = True

    def thaw(self) -> None:
        """Go on with the relay."""
        self._relay.still = False

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
        sweep_at, put_off, swept = 0.0, False, -1
        while not ended:
            if not relay.still:
                # With nobody to look at there is no reason to wake: a door with nothing to do sleeps.
                turn(0 if due else TICK if len(relay) or relay.lacks_room or relay.events != swept else None)
                if relay.now >= sweep_at:
                    # When this process has stood still, who has said something meanwhile is heard before he is judged.
                    put_off = relay.now >= sweep_at + LATE and not put_off
                    if not put_off:
                        self._sweeper.sweep(relay.now)
                        swept = relay.events
                    sweep_at = relay.now + TICK
            else:
                sweep_at = 0.0
                if not due:
                    self._silence.poll()
                    self._answer()
            for _ in range(len(due)):
                due.popleft()()
        self._relay.unlisten(self._bell)
        os.close(self._bell)
        return ended[0].unwrap()

    def _call(self, call: Callable[[], object]) -> None:
        """Trio's thread has something for this one."""
        self._due.append(call)
        os.eventfd_write(self._bell, 1)

    def _ring(self) -> None:
        self._relay.events -= 1  # that trio has something to do says nothing of the streams
        self._answer()

    def _answer(self) -> None:
        os.eventfd_read(self._bell)
