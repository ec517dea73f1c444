"""The exchanges of all http doors, and the connections that they are on."""

import os
import sys
from collections.abc import Callable, Iterator
from heapq import nsmallest
from operator import itemgetter

import trio

from frontdoor.exchanges import websocket
from frontdoor.exchanges.asking import Asking
from frontdoor.exchanges.connection import Connection
from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.heir import Heir, portable
from frontdoor.exchanges.pool import Pool
from frontdoor.exchanges.record import Record
from frontdoor.exchanges.upstream import Upstream
from frontdoor.exchanges.visitor import Visitor
from frontdoor.policy.generation import Generation
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.seating import Seating
from frontdoor.traffic.unseated import Unseated

TICK = 0.25
"""Seconds between two looks at the time limits. A look at ten thousand connections takes less than a millisecond."""

REST = 0.25
"""Seconds that a connection has to be idle before it is closed to make room. Its client may be about to go on: where
more clients come than there may be, all would be cut off one after the other, and none would be served."""

IDLERS = 64
"""So many connections that have been idle for the longest are looked for at once."""

SPARE = 16
"""So many connections to backends may be idle beyond one for each client connection."""

PIPE_SHARE = 32
"""For so many streams that there are descriptors for there may be one pipe."""

LAST_REQUEST = 1.0
"""Seconds that a client who has not said a word yet gets for his first request, when the door is being closed."""


class Exchanges:
    """The clients of http doors."""

    def __init__(
        self,
        relay: Relay,
        nursery: trio.Nursery,
        seating: Seating,
        report: Callable[[Exchange, str], object],
        broken: Callable[[Visitor, Exception], object] = lambda visitor, error: None,
        room: int = sys.maxsize,
    ) -> None:
        """``nursery``: of the task that looks at the time.

        ``report`` is told what is wrong with a backend's answer, and ``broken`` of errors of frontdoor's own. ``room``:
        how many streams there are descriptors for.
        """
        self.relay = relay
        self.seating = seating
        self.pool = Pool(pipes=max(1, room // PIPE_SHARE))
        self._room = room
        seating.lacking = self.pool.clear
        self.report = report
        self.broken = broken
        self._nursery = nursery
        self._visitors: dict[Visitor, None] = {}
        """The oldest first."""
        self._held: dict[Gate, list[Record]] = {}
        """Requests that wait until their door is not paused any more."""
        self._idlers: list[tuple[float, Visitor]] = []
        """Connections that have been idle for the longest, that one last, and until when they may be."""
        self._closing: set[Gate] = set()
        """Doors that nobody is to come in to any more."""
        self.heir: Heir | None = None
        """This process was replaced: it goes on with what is under way, and that one with the connections."""
        self._watched = False

    def __repr__(self) -> str:
        return f"<Exchanges: {len(self._visitors)} clients, {self.pool}>"

    # -- who comes --------------------------------------------------------------------------------------------------

    def receive(self, gate: Gate, fd: int, address: object, destination: object, since: float | None) -> None:
        """A client who was accepted and counted; ``since``: when, if not now."""
        now = self.relay.now
        try:
            visitor = Visitor(self, gate, fd, address, destination, now if since is None else since)
        except OSError:  # the kernel has no room to watch one more (epoll_ctl(2)), so that there is no hope for him
            os.close(fd)
            gate.ledger.end(Reason.NO_BACKEND)
            return
        self._enter(visitor)
        visitor.ready()

    def take_up(self, gate: Gate, client: Unseated) -> None:
        """Go on with one whom another process has had, and whom the ledger counts if it did so there."""
        try:
            visitor = Visitor(self, gate, client.fd, client.address, client.destination, client.since)
        except OSError:
            os.close(client.fd)
            if client.counted:
                gate.ledger.end(Reason.LOST)
            return
        self._enter(visitor)
        visitor.leaving = gate in self._closing
        visitor.resume(client.read, counted=client.counted)
        if visitor.leaving and visitor.exchange is None:
            self.leave(visitor)

    def _enter(self, visitor: Visitor) -> None:
        self._visitors[visitor] = None
        self._allow()
        if not self._watched:
            self._watched = True
            self._nursery.start_soon(self._watch)

    def _allow(self) -> None:
        """Say how many connections to backends may be idle.

        Each client, and each stream, may come to need two descriptors, and those that are idle must not be in the way.
        """
        clients = len(self._visitors)
        self.pool.most = min(clients + SPARE, max(0, 2 * (self._room - clients - len(self.relay))))

    def forget_visitor(self, visitor: Visitor) -> None:
        """His connection is closed."""
        self._visitors.pop(visitor, None)

    def visitors(self, gate: Gate) -> list[Visitor]:
        """The clients of that door, the oldest first."""
        return [visitor for visitor in self._visitors if visitor.gate is gate]

    def make_room(self, gate: Gate) -> bool:
        """Close the connection of that door that has been idle for the longest; whether there was one."""
        while (visitor := self._longest_idle(gate)) is not None:
            visitor.ready()  # perhaps it has just said something
            if visitor.idle and visitor.fd >= 0:
                visitor.close_for(Reason.IDLE_TIMEOUT)
                return True
        return False

    def _longest_idle(self, gate: Gate) -> Visitor | None:
        """Found for several at once: a look at ten thousand connections for each who comes would take milliseconds.

        Who has asked something since then has another time limit. Those who are idle only since then come later.
        """
        for _ in range(2):
            while self._idlers:
                due, visitor = self._idlers.pop()
                if visitor.due == due and visitor.gate is gate and visitor.idle and not visitor.counted:
                    return visitor
            rested = self.relay.now - REST
            idle = [
                (each.due, each)
                for each in self._visitors
                if each.gate is gate
                and each.idle
                and not each.counted
                and each.due - each.rules.keepalive_timeout <= rested
            ]
            self._idlers = nsmallest(IDLERS, idle, key=itemgetter(0))[::-1]
        return None

    def failed(self, visitor: Visitor, error: Exception) -> None:
        """An error of ours, with one client: it ends his connection, and no other."""
        self.broken(visitor, error)
        try:
            visitor.lost(Reason.LOST)
        except Exception as another:
            self.broken(visitor, another)
            visitor.close()
            self.forget_visitor(visitor)

    # -- what there is ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Exchange]:
        """Those that are under way."""
        return iter([visitor.exchange for visitor in self._visitors if visitor.exchange is not None])

    def of(self, generation: Generation) -> list[Exchange]:
        """Those of a generation."""
        return [each for each in self if each.seat is not None and each.seat.generation is generation]

    def close(self, exchange: Exchange, reason: Reason) -> None:
        """End one before its time: its client can tell that the answer is not whole."""
        if exchange.reason is None:
            exchange.deadline = self.relay.now
            if exchange.status:
                exchange.cut(reason)
            else:
                exchange.say(503, "the version of the app that was to answer is being stopped", reason, 1)
            self.relay.close_now()

    # -- backends ---------------------------------------------------------------------------------------------------

    def keep(self, upstream: Upstream, exchange: Record) -> None:
        """Its exchange is over, and it can carry another one: unless no new ones go there."""
        switchboard, seat, pool = exchange.gate.switchboard, upstream.seat, self.pool
        generation = seat.generation
        if (
            (generation is not switchboard.active and generation is not switchboard.canary)
            or pool.count >= pool.most
            or self.seating.short  # others have no descriptor for theirs
            or seat.proxy_protocol != "off"  # it has said for whom it speaks
        ):
            upstream.close()
        else:
            pool.give(upstream, self.relay.now + exchange.rules.backend_keepalive)

    def forget(self, generation: Generation) -> None:
        """No new exchange goes to that generation: close the connections to it that are idle."""
        self.pool.forget(generation)
        self.relay.close_now()

    def join(self, exchange: Exchange) -> None:
        """It is a stream of the relay's from here on, with the lease that it has."""
        visitor, upstream, seat = exchange.visitor, exchange.upstream, exchange.seat
        assert upstream is not None
        assert seat is not None
        client_fd = visitor.leave()
        self.forget_visitor(visitor)
        if self.heir is not None:
            self.heir.join(exchange, client_fd, upstream.leave())
            exchange.log()
            return
        try:
            stream = self.relay.join(exchange.gate, seat, exchange.address, client_fd, upstream.leave())
        except OSError:  # no room to watch it: the backend's socket is closed
            self.relay.close_later(client_fd)
            exchange.upstream = None
            exchange.end(Reason.NO_BACKEND, whole=False)
            return
        websocket.follow(self.relay, stream, exchange)
        stream.up.moved, stream.down.moved = exchange.up_bytes, exchange.down_bytes
        exchange.log()
        # Their memory is free at once: in the holes that a collection of such rings leaves later, streams find no room.
        visitor.exchange = upstream.exchange = exchange.upstream = None

    # -- pauses and ends --------------------------------------------------------------------------------------------

    def hold(self, exchange: Record) -> None:
        """Its door is paused: it waits."""
        self._held.setdefault(exchange.gate, []).append(exchange)
        exchange.visitor.patience(exchange.gate.limits.hold_timeout)

    def release(self, exchange: Asking) -> None:
        """It waits for nothing any more. It is harmless if it did not."""
        held = self._held.get(exchange.gate)
        if held is not None and exchange in held:
            held.remove(exchange)
        self.seating.forgo(exchange.gate, exchange)

    def resumed(self, gate: Gate) -> None:
        """The door is not paused any more: those that wait go on, in their order."""
        for exchange in self._held.pop(gate, ()):
            try:
                exchange.begin()  # there may be maintenance by now
            except Exception as error:
                self.failed(exchange.visitor, error)
        self.relay.close_now()

    def closing(self, gate: Gate) -> None:
        """Nobody is to come in any more: each connection ends with the answer that it waits for."""
        self._closing.add(gate)
        for visitor in self.visitors(gate):
            visitor.leaving = True
            if visitor.exchange is None:
                self.leave(visitor)
        self.relay.close_now()

    def leave(self, visitor: Visitor) -> None:
        """An idle connection of a door that is being closed."""
        visitor.ready()  # perhaps it has just said something
        if visitor.idle and visitor.fd >= 0:
            if visitor.counted:
                visitor.due = min(visitor.due, self.relay.now + LAST_REQUEST)
            else:
                visitor.goodbye()

    def clear(self) -> None:
        """Close them all: the process ends."""
        for visitor in list(self._visitors):
            visitor.lost(Reason.SHUTDOWN)
        self.pool.clear()
        self.relay.close_now()

    # -- another process -------------------------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        """Connections of clients, busy or idle."""
        return len(self._visitors)

    def replaced(self, relay: Relay, heir: Heir) -> None:
        """Another process goes on with all that it can: it gets the connections, and this one ends what is under way.

        ``relay`` watches these from here on; nothing else is to be waited for in it.
        """
        for fd in self.pool.leave():
            os.close(fd)
        self.relay, self.heir = relay, heir
        for visitor in list(self._visitors):
            if not self.hand_over(visitor):
                visitor.move(relay)
                if visitor.exchange is not None and visitor.exchange.upstream is not None:
                    visitor.exchange.upstream.move(relay)

    def hand_over(self, visitor: Visitor) -> bool:
        """Give this connection to the heir; False: there is none, or it has to end here."""
        client = portable(visitor) if self.heir is not None else None
        if client is None or self.heir is None:
            return False
        visitor.leave()
        self.forget_visitor(visitor)
        if not client.counted:
            visitor.gate.idle -= 1
        self.heir.take(visitor.gate, client)
        return True

    def descriptors(self) -> set[int]:
        """All that are in use here."""
        connections: list[Connection] = []
        for visitor in self._visitors:
            connections.append(visitor)
            if visitor.exchange is not None and visitor.exchange.upstream is not None:
                connections.append(visitor.exchange.upstream)
        return {fd for each in connections for fd in each.descriptors()} | set(self.pool.pipes.descriptors())

    # -- time -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the time until nobody is here."""
        try:
            while self._visitors or len(self.pool):
                await trio.sleep(TICK)
                if not self.relay.still:
                    self.sweep(self.relay.now)
        finally:
            self._watched = False

    def sweep(self, now: float) -> None:
        """End what is due at ``now``, of the monotonic clock."""
        for visitor in [visitor for visitor in self._visitors if visitor.due <= now]:
            visitor.late()
        self._allow()
        self.pool.pipes.trim()
        self.pool.expire(lambda upstream: upstream.until <= now or self.pool.count > self.pool.most)
        self.relay.close_now()
