"""One look for all deadlines of all streams. A timer for each stream would cost more than moving its bytes."""

import math

from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import GOODBYE_SILENCE
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream

TICK = 0.25
"""Seconds between two looks at the streams of which one side has finished: those are few."""

IDLE_LOOKS = 8
"""Looks at all streams within one ``idle_timeout``, so that a stream ends at most an eighth too late; but"""
LONGEST = 1.0
"""seconds are the longest time between two looks: a stream that came in between may have a shorter time-out than all
that were here. A look at ten thousand streams takes a few milliseconds."""


class Sweeper:
    """Ends the streams whose time is up."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._idle_at = 0.0

    def sweep(self, now: float) -> None:
        """End what is due at ``now``, of the monotonic clock."""
        for stream in self._relay.parting:
            self._part(stream, now)
        if now >= self._idle_at:
            self._idle_at = now + self._sweep_idle(now)
        self._relay.replenish()
        self._relay.look(now)

    def _part(self, stream: Stream, now: float) -> None:
        if stream.down.leaving is not None:
            if stream.deadline is not None and now >= stream.deadline:
                self._relay.cut_short(stream)
            return
        silent = now - stream.stamp
        if stream.grace is not None:
            if stream.deadline is not None and now >= stream.deadline:
                self._relay.reset(stream)
        elif stream.deadline is not None:
            if now >= stream.deadline or silent >= GOODBYE_SILENCE:
                assert stream.reason is not None
                self._relay.abandon(stream, stream.reason)
        elif silent >= stream.gate.limits.half_close_timeout:
            self._relay.close(stream, Reason.HALF_CLOSE_TIMEOUT)

    def _sweep_idle(self, now: float) -> float:
        """End the idle ones; the time until the next look at all of them: none while there is nobody to look at."""
        if not len(self._relay):
            return 0.0
        shortest = math.inf
        gate, timeout = None, math.inf
        for stream in self._relay.streams:
            if stream.gate is not gate:  # mostly they are all of one
                gate = stream.gate
                timeout = gate.limits.idle_timeout
                shortest = min(shortest, timeout)
            if timeout != math.inf and now - stream.stamp >= timeout and stream.deadline is None:
                self._relay.close(stream, Reason.IDLE_TIMEOUT)
        return min(LONGEST, shortest / IDLE_LOOKS)
