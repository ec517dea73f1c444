"""The way out of a door process that was replaced in an upgrade, and has exchanges under way.

Where an exchange stands is in this process's memory, so it ends here. All else is the new process's by now: streams,
listening sockets, backends, the control API. The client connections go to it, too: at once if nothing of theirs is
under way, else when their exchange is over. So nobody has to be sent away with ``Connection: close``.

This is no task of trio's: no task makes another step here. It is a loop around a relay of its own, in the thread that
stood still. What tasks have open is closed under them, and not freed: see ``_let_go_of_the_rest``.
"""

import gc
import math
import os
import stat
import sys
import time
import traceback
from collections.abc import Collection
from typing import NoReturn

from frontdoor.door.channel import Channel
from frontdoor.door.doors import Doors
from frontdoor.door.outbox import Outbox, Returned, Told
from frontdoor.keeper import stderr, wire
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.ending import FORCED_GOODBYE
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay

TICK = 0.25
"""Seconds between two looks at the time limits."""

RETRY = 0.005
"""Seconds until the channel, which was full, is tried again."""

LAST_LINES = 1.0
"""Seconds for the last lines of a log."""

LAST_PARCEL = 2.0
"""Seconds for the last of what there is to say."""


class Departure:
    """From the moment when another process serves to the end of this one."""

    def __init__(self, doors: Doors, channel: Channel) -> None:
        self._doors = doors
        self._world = doors.world
        self._exchanges = doors.world.exchanges
        self._channel = channel
        self._outbox = Outbox(channel.ours)
        self._relay = Relay(lambda streams, pipes: True)
        now = time.monotonic()
        self._until = {door.gate: now + door.settings.drain.timeout for door in doors}
        """When what is left of a door is closed: what is replaced does not live for longer than what drains."""
        self._over_at = math.inf
        """When all was told to end, and has had its time for that."""

    def run(self) -> NoReturn:
        """Leave."""
        code = 1
        try:
            self._begin()
            self._go_on()
            for door in self._doors:
                door.access_log.close(LAST_LINES)
            self._world.log.close(LAST_LINES)
            code = 0
        except BaseException:
            stderr.tell(traceback.format_exc().rstrip())
        sys.stderr.flush()
        os._exit(code)

    def _begin(self) -> None:
        self._world.link.disown()
        gc.freeze()  # what there is stays: a socket object that is freed would close a number that is another's by then
        for door in self._doors:
            gate = door.gate
            gate.ledger = Told(lambda reason, gate=gate: self._outbox.ended(gate, reason))  # type: ignore[misc]
            gate.switchboard = Returned(
                lambda seat, up, down, gate=gate: self._outbox.left(gate, seat, up, down),  # type: ignore[misc]
                door.fleet.generations.values(),
            )
        old = self._world.relay
        self._exchanges.replaced(self._relay, self._outbox)
        self._outbox.flush()
        streams = [fd for each in old.streams for fd in (each.up.source, each.down.source) if fd >= 0]
        old.end()
        for fd in streams:
            os.close(fd)  # no FIN: the new process has them, and so has the keeper
        link, channel = self._world.link.fileno(), self._channel.ours.fileno()
        _let_go_of_the_rest(
            {0, 1, 2, link, *self._world.log.descriptors} | self._outbox.descriptors() | self._exchanges.descriptors()
        )
        self._relay.listen(link, self._attend)
        self._relay.listen(channel, self._obey)

    def _go_on(self) -> None:
        sweep_at, told_at = 0.0, math.inf
        while time.monotonic() < min(self._over_at, told_at):
            self._relay.turn(TICK if self._outbox.empty else RETRY)
            now = self._relay.now
            if now >= sweep_at:
                self._exchanges.sweep(now)
                self._close_late(now)
                sweep_at = now + TICK
            self._outbox.flush()
            if not self._exchanges.clients:
                if self._outbox.empty:
                    return
                told_at = min(told_at, now + LAST_PARCEL)

    def _close_late(self, now: float) -> None:
        for gate in [gate for gate, until in self._until.items() if now >= until]:
            del self._until[gate]
            self._close(gate, None, Reason.DRAIN_CLOSED)
        if not self._until:
            self._over_at = min(self._over_at, now + FORCED_GOODBYE + TICK)

    def _close(self, gate: Gate, generation: int | None, reason: Reason) -> None:
        """End what is under way there. ``generation``: by its number; None: of any."""
        for exchange in list(self._exchanges):
            number = exchange.seat.generation.number if exchange.seat is not None else None
            if exchange.gate is gate and generation in (None, number):
                self._exchanges.close(exchange, reason)

    # -- what it is told --------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        if not self._world.link.attend():
            os._exit(1)  # the keeper is dead, and so is the new process, which sees to the backends

    def _obey(self) -> None:
        """The new process has something to say."""
        try:
            message = wire.receive(self._channel.ours)
        except (BlockingIOError, wire.Garbage):
            return
        except (EOFError, OSError):
            self._relay.unlisten(self._channel.ours.fileno())
            self._outbox.open = False
            return
        body = message.body
        message.close()
        if body.get("op") == "close":
            for door in self._doors:
                if door.name == body["door"]:
                    self._close(door.gate, body["generation"], Reason(body["reason"]))


def _let_go_of_the_rest(keep: Collection[int]) -> None:
    """Close all other sockets and pipes: clients of the control API wait for their end.

    Objects that nobody runs any more have these numbers, and would close them once more some day. So a number is not
    freed, but stands for something that nobody minds.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue  # the folder itself
        if fd not in keep and (stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode)):
            os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)
