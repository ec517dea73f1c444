"""The protection of live streams: the keeper has their descriptors too, so that they outlive this process.

A stream is stored when it has lived for a second, so that short ones cost nothing; many with one message. From that
moment on closing its descriptors sends no FIN, and epoll goes on reporting them: the keeper has them too. The relay
sees to that (``Stream.kept``), and says here when a stream is to be dropped.

The keeper is told things in order, by one wire: a stream that ends while it is being stored is dropped behind that.
When the wire is full nothing can be said: a pipe is not to be had then, and what is to be dropped is dropped later.

A full vault costs the newest streams their protection, and nobody the service: it is said once, and tried again.

Nothing here looks at a clock of its own. The relay's loop calls ``look`` now and then, which wakes the tasks only if
there is something for them: a door whose clients say nothing sleeps.
"""

import math
import os
import time
from collections.abc import Callable, Sequence

import trio

from frontdoor import sockets
from frontdoor.keeper.link import Link, Refused
from frontdoor.traffic.entries import entry_of, is_due, pipe_key, says_goodbye, stream_key
from frontdoor.traffic.fullness import Fullness
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.tally import NOT_KEPT, Tally
from frontdoor.traffic.unkept import Unkept
from frontdoor.traffic.words import Words

AGE = 1.0
"""Seconds that a stream has to live before it is worth protecting, where nothing else is set."""

BATCH = 126
"""Streams stored with one message: two descriptors each, of the 253 that SCM_RIGHTS takes (unix(7))."""

TALLY = 1.0
"""Seconds between two looks at how many bytes each kept stream has moved, at the least; and"""
SLICE = 500
"""streams looked at in one go: half a millisecond at the most, in which no client's bytes are moved."""

RETRY = 0.01
"""Seconds until the wire, which was full, is tried again. No event tells that the keeper has read from it."""

KEYS = 1000
"""Keys dropped with one message."""


class Protection:
    """Keeps the relay's streams and pipes with the keeper: what the relay calls (``Keeping``), and a task."""

    def __init__(self, relay: Relay, link: Link, words: Words, room: int, full: Callable[[int, str], object]) -> None:
        """``room``: how many streams are kept at the most: the keeper needs descriptors for other things, too.

        ``full`` is told how many are kept, and why not more; once for an episode.
        """
        self._relay = relay
        self._link = link
        self._room = room
        self._fullness = Fullness(lambda why: full(self._count, why))
        self._tally = Tally(words)
        self._owners = words.owners
        self._count = 0
        """Streams that the keeper has, or that are on the way to it: those that are in the tally."""
        self._later: dict[int, Stream] = {}
        """Those that are old enough, and could not be stored so far."""
        self._seen = words.last_stream
        """The highest number of a stream that has been looked at: the others are newer."""
        self._ripe_at: float | None = None
        """When the first of these comes of age, as far as that is known."""
        self._owed: dict[str, None] = {}
        """Keys that the keeper could not be told to drop."""
        self._unkept = Unkept(link, relay, self._fullness.begins)
        self._behind = trio.Event()
        """Something is to be said when the wire has room again."""
        self.limit = 0
        """How many descriptors the keeper keeps at the most; 0: it does not say."""
        self.age = AGE
        """Seconds that a stream has to live before it is worth protecting."""
        self._ripe = trio.Event()
        """Somebody can be stored."""
        self._storing = trio.Lock()
        self._size = BATCH
        """Streams in the next message: fewer when the vault has just been full."""
        self._stirred = trio.Event()
        """Something has happened at the relay."""
        self._events = -1
        """How much had, at the last look."""
        self._tallied = -math.inf

    def __repr__(self) -> str:
        return f"<Protection of {self._count} streams{', full' if self.full else ''}, {len(self._owed)} owed>"

    def __len__(self) -> int:
        """How many streams are kept."""
        return self._count

    @property
    def full(self) -> bool:
        """There is no place for another stream just now."""
        return self._fullness.now

    def status(self) -> dict[str, object]:
        """As ``status --json`` shows it: streams that would live through a crash of this process."""
        return {
            "streams": self._count,
            "full": self.full,
            "limit": {"streams": self._room, "descriptors": self.limit or None},
        }

    def protect_after(self, seconds: float) -> None:
        """From now on that is the age that a stream must have."""
        self.age, self._ripe_at = seconds, None

    # -- what the relay calls: at once, in the middle of its loop ---------------------------------------------------

    def keep_pipe(self, pipe: Pipe) -> bool:
        """A pipe was made: the keeper gets it, before a byte is in it. False: the wire is full."""
        key = pipe_key(pipe.index)
        if not self._link.post("put", [pipe.read, pipe.write], entries=[[key, None, 2]]):
            self._behind.set()  # somebody starves until that is tried again
            return False
        self._unkept.made(key, pipe)
        self._owed.pop(key, None)  # it has taken the place of the one that was to be dropped
        return True

    def lose_pipe(self, pipe: Pipe) -> None:
        """A pipe was closed for good."""
        self._owners[pipe.index] = 0  # or its last stream would be taken for one that has lost bytes with it
        key = pipe_key(pipe.index)
        self._unkept.closed(key)
        if not self._link.post("drop", keys=[key]):
            self._owed[key] = None
            self._behind.set()

    def drop(self, streams: Sequence[Stream]) -> bool:
        """These have ended, or no other process could go on with them just now. False: the wire is full."""
        if not self._link.post("drop", keys=[stream_key(stream.number) for stream in streams]):
            self._behind.set()
            return False
        for stream in streams:
            if self._strike(stream) and stream.up.live:
                self._later[stream.number] = stream
        return True

    def look(self, now: float) -> None:
        """Some time has passed (``now``: of the monotonic clock): wake who has something to do by now."""
        newest = next(self._relay.newest, None)
        if newest is not None and newest.number > self._seen and self._ripe_at is None:
            self._ripe_at = newest.since + self.age
        again = self._later and self._fullness.is_worth_a_try(now)
        if again or (self._ripe_at is not None and now >= self._ripe_at):
            self._ripe.set()
        if self._relay.events != self._events:
            self._events = self._relay.events
            stirred, self._stirred = self._stirred, trio.Event()
            stirred.set()

    async def stirred(self, seen: int) -> int:
        """Wait until more has happened at the relay than ``seen``, and return how much has. At first that is -1."""
        while self._relay.events == seen:
            await self._stirred.wait()
        return self._relay.events

    # -- what a start calls -----------------------------------------------------------------------------------------

    def adopted(self, stream: Stream, slot: int) -> None:
        """The keeper has this stream already: the process before this one has stored it. ``slot``: of its tally."""
        stream.slot = slot
        self._count += 1

    def all_adopted(self) -> None:
        """The places of tallies that those have not taken are free."""
        self._tally.adopt(stream for stream in self._relay.streams if stream.kept)

    # -- the task ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Store and tally, for ever; but not while the relay stands still: another process may have it all then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._store_for_ever)
            nursery.start_soon(self._tally_for_ever)
            nursery.start_soon(self._catch_up)
            nursery.start_soon(self._unkept.run)

    async def complete(self) -> int:
        """Store all that can be, and bring the tally up to date; how many streams are kept then.

        Young ones too, those of which bytes are in this process's memory, and those that only say goodbye to a client:
        his socket would be closed with unread bytes in it, and what he has not read yet would go with that (RFC 1122,
        4.2.2.13). The relay stands still meanwhile, or it would not be all.
        """
        while not self._relay.pour() and self._behind.is_set():
            await trio.sleep(RETRY)  # there are pipes, but the wire was full
            self._caught_up()
        async with self._storing:
            await self._store(self._due(time.monotonic()))
            await self._store_goodbyes()
        await self._write_down(still=True)
        while not self._caught_up():  # noqa: ASYNC110 - no event tells that the keeper has read from the wire
            await trio.sleep(RETRY)
        return self._count

    async def _store_for_ever(self) -> None:
        while True:
            await self._ripe.wait()
            self._ripe = trio.Event()
            async with self._storing:
                if not self._relay.still:
                    await self._store(self._due(time.monotonic() - self.age))

    async def _tally_for_ever(self) -> None:
        seen = -1
        while True:
            events = await self.stirred(seen)
            if not self._relay.still:
                seen = events
                await self._write_down(still=False)
            await trio.sleep(TALLY)

    async def _catch_up(self) -> None:
        while True:
            await self._behind.wait()
            await trio.sleep(RETRY)
            if not self._relay.still:
                self._caught_up()

    def _caught_up(self) -> bool:
        """Tell the keeper what it could not be told before; whether that was all."""
        self._behind = trio.Event()
        self._relay.replenish()  # has streams dropped
        keys = list(self._owed)[:KEYS]
        if keys and self._link.post("drop", keys=keys):
            for key in keys:
                del self._owed[key]
        if self._owed:
            self._behind.set()
        return not self._behind.is_set()

    # -- storing ----------------------------------------------------------------------------------------------------

    async def _store_goodbyes(self) -> None:
        """Store those whose backend is gone, with another end in the place of its own (``entry_of``)."""
        parting = [stream for stream in self._relay.parting if says_goodbye(stream)]
        if not parting:
            return
        try:
            nobody = sockets.to_nobody()
        except OSError as error:
            self._fullness.begins(error.strerror or str(error))
            return
        try:
            await self._store(parting, nobody)
        finally:
            os.close(nobody)

    async def _store(self, due: Sequence[Stream], nobody: int = -1) -> None:
        """Store these, in this order, until the vault is full. ``nobody``: for those that say goodbye."""
        done = 0
        while done < len(due):
            size = min(self._size, self._room - self._count)
            try:
                if size <= 0:
                    raise Refused(None, f"{self._room} streams are as many as are kept")
                fit = says_goodbye if nobody >= 0 else is_due  # still: there is an await between two messages
                await self._put([stream for stream in due[done : done + size] if fit(stream)], nobody)
            except Refused as error:
                if self._size > 1 and size > 0:
                    self._size //= 2
                    continue
                self._fullness.begins(error.strerror or str(error))
                return
            done += size
            self._size = min(BATCH, self._size * 2)
        self._fullness.ends()

    def _due(self, born_before: float) -> list[Stream]:
        """Those to be stored now, the oldest first. Only those that have come since the last time are looked at."""
        new: list[Stream] = []
        self._ripe_at = None
        for stream in self._relay.newest:
            if stream.number <= self._seen:
                break
            if stream.since > born_before:
                self._ripe_at = stream.since + self.age
            else:
                new.append(stream)
        if new:
            self._seen = new[0].number
            self._later.update((stream.number, stream) for stream in new if not stream.kept)
        self._later = {number: self._later[number] for number in sorted(self._later) if self._later[number].up.live}
        return [stream for stream in self._later.values() if is_due(stream)]

    async def _put(self, batch: Sequence[Stream], nobody: int) -> None:
        """Store these. Raises Refused: none of them is kept."""
        if not batch:
            return
        for stream in batch:
            self._later.pop(stream.number, None)
            self._owed.pop(stream_key(stream.number), None)  # it takes the place of what was to be dropped
            stream.kept = True
            self._count += 1
            self._tally.enter(stream)
        try:
            await self._link.put([entry_of(stream, nobody) for stream in batch])
        except BaseException as error:
            for stream in batch:
                if self._strike(stream):
                    stream.kept, stream.lent = False, True
                    self._later[stream.number] = stream
                    if not isinstance(error, Refused):
                        # The wait for it was cancelled: the upgrade has come to nothing. Perhaps it was never sent.
                        self._owed[stream_key(stream.number)] = None
                        self._behind.set()
            raise

    def _strike(self, stream: Stream) -> bool:
        """It is kept no more; whether it was."""
        if stream.slot == NOT_KEPT:
            return False
        self._tally.strike(stream)
        self._count -= 1
        return True

    # -- the tally --------------------------------------------------------------------------------------------------

    async def _write_down(self, *, still: bool) -> None:
        """Bring the tally up to date. ``still``: the relay stands so."""
        since, now = self._tallied, time.monotonic()
        streams = list(self._relay.streams)
        for first in range(0, len(streams), SLICE):
            if self._relay.still is not still:
                return
            self._tally.update(streams[first : first + SLICE], since)
            await trio.lowlevel.checkpoint()
        self._tallied = now
