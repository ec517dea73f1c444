"""Survivors: the streams and the pipes that a door process had left with the keeper when it died, or made room.

Each pipe is empty, or has bytes of one stream in it, on their way in one direction: the pipe's word says of which
(``traffic.words``). A stream whose bytes are gone cannot go on: its peers would never know that something is missing.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from frontdoor.door.door import Door
from frontdoor.door.preview import PIPE, Preview, decode_pipe
from frontdoor.door.quarantine import Quarantine
from frontdoor.door.refusal import CannotStart
from frontdoor.door.survivor import KEY, Survivor
from frontdoor.keeper.link import Held, Link
from frontdoor.observe.logs.log import Log
from frontdoor.policy.generation import Seat, State
from frontdoor.traffic.entries import stream_key
from frontdoor.traffic.keeping import Keeping
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.plumbing import Left
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.words import IN_HAND, SLOTS, Words

_NOTHING: Left = {}
_NO_TALLY = (0, 0, 0)


class Survivors:
    """All of them, until each has its place again or is given up."""

    def __init__(self, held: Held, words: Words, preview: Preview) -> None:
        """Takes what is about streams and pipes out of ``held``.

        ``preview``: those that this process has already; what has changed of them since is in ``held``.
        """
        self._words = words
        preview.forget(held.gone)
        self._relay = preview.relay
        self.pipes: list[Pipe] = list(preview.pipes.values())
        self.garbage = preview.garbage
        """What was said to be one of them, and is none."""
        self._given_up: list[str] = []
        """Keys of streams that do not go on."""
        self._left: dict[int, Left] = {}
        """What is in the pipes, by the number of the stream."""
        self._streams: dict[str, list[Survivor]] = {}
        """By door, the oldest first."""
        self._quarantine = Quarantine(held.quarantine, held.deaths)
        self._take_pipes(held)
        self._take_streams(held, preview.streams.values())
        there = {pipe.index for pipe in self.pipes}
        self._torn = {word >> 1 for index, word in enumerate(words.owners.tolist()) if word and index not in there}
        """Streams that may have had bytes in a pipe that the keeper could not take."""

    def __repr__(self) -> str:
        return f"<Survivors: {sum(map(len, self._streams.values()))} streams, {len(self.pipes)} pipes>"

    @property
    def gone(self) -> list[str]:
        """Keys of what has been closed here: the keeper is to drop them."""
        return [*self.garbage, *self._given_up]

    def begin(self, keeping: Keeping) -> None:
        """Give the relay its pipes, before anything else."""
        self._left = self._relay.begin(self._words, keeping, self.pipes)

    def of(self, door: str, generation: int) -> list[Survivor]:
        """The streams on that generation."""
        return [survivor for survivor in self._streams.get(door, ()) if survivor.place[0] == generation]

    def seat(self, door: Door) -> int:
        """Give the door's streams their places and their bytes again; how many go on. The others are closed."""
        survivors = self._streams.pop(door.name, [])
        seats, tallies, seated = _seats(door), self._tallies(survivors), Counter[Seat]()
        relay, adopted, gate, log = self._relay, door.world.protection.adopted, door.gate, door.world.log
        last, torn, left = len(tallies) // 3, self._torn, self._left
        # Nobody is served meanwhile, and there may be thousands: what is not needed for each is not done for each.
        for survivor in survivors:
            number, slot, seat = survivor.number, survivor.slot, seats.get(survivor.place)
            if self._quarantine and self._quarantine.takes(number, door.name, survivor.client, log):
                seat = None
            stream = None if seat is None or number in torn else survivor.stream or self._expect(survivor, log)
            if seat is None or stream is None:
                self._give_up(survivor)
                continue
            # Bytes up and down as far as they were written down. A slot that another stream has by now says nothing.
            tally = tallies[3 * slot : 3 * slot + 3] if 0 <= slot < last else _NO_TALLY
            moved = (tally[1], tally[2]) if tally[0] == number else (0, 0)
            relay.adopt(stream, gate, seat, moved, left.pop(number, _NOTHING) if left else _NOTHING)
            adopted(stream, slot)
            seated[seat] += 1
        for seat, count in seated.items():
            door.switchboard.retake(seat, count)
        self._quarantine.say_rest(log)
        return seated.total()

    def give_up(self) -> None:
        """Close what nobody has taken: streams of a door that is no more, and bytes of streams that are none."""
        for survivors in self._streams.values():
            for survivor in survivors:
                self._give_up(survivor)
        self._streams.clear()
        for left in self._left.values():
            for pipe, _ in left.values():
                self._relay.discard(pipe)
        self._left.clear()

    def _expect(self, survivor: Survivor, log: Log) -> Stream | None:
        try:
            return survivor.expect(self._relay)
        except OSError as error:
            # epoll_ctl(2): the kernel has no room to watch it; or what was kept is no socket.
            log.error("restore.failed", door=survivor.door, stream=survivor.number, error=str(error))
            return None

    def _tallies(self, survivors: Iterable[Survivor]) -> list[int]:
        """As far as there are any of theirs."""
        last = max((survivor.slot for survivor in survivors), default=-1)
        return self._words.tallies(min(last + 1, SLOTS))

    # -- taking -----------------------------------------------------------------------------------------------------

    def _take_pipes(self, held: Held) -> None:
        for key, _, fds in _taken(held, PIPE):
            try:
                self.pipes.append(decode_pipe(key, fds))
            except (ValueError, OSError) as error:
                self.garbage.add(key, fds, error)

    def _take_streams(self, held: Held, before: Iterable[Survivor]) -> None:
        found = list(before)
        for key, note, fds in _taken(held, KEY):
            try:
                found.append(Survivor.decode(key, note, fds))
            except (KeyError, TypeError, ValueError) as error:
                self.garbage.add(key, fds, error)
        for survivor in sorted(found, key=lambda each: each.number):
            self._streams.setdefault(survivor.door, []).append(survivor)

    def _give_up(self, survivor: Survivor) -> None:
        survivor.close(self._relay)
        self._given_up.append(stream_key(survivor.number))


async def take_words(link: Link, held: Held, log: Log, *, successor: bool) -> Words:
    """The words of the door process before this one, or new ones, which the keeper has when this returns.

    ``successor``: that one is alive, and goes on if this one cannot. Raises CannotStart then if they cannot be read.
    """
    entry = held.take("words") or (None, [])
    # A successor has looked at streams before, so that they are not among the entries; and the old one has its words.
    if entry[1] or successor or any(name.startswith(KEY) for name in held.entries):
        try:
            (fd,) = entry[1]
            return Words.open(fd)
        except (ValueError, OSError) as error:
            # Nobody knows whose the bytes in the pipes are: whoever went on might miss some, or get another's.
            if successor:
                raise CannotStart(f"the words of the old door process cannot be read: {error}") from None
            log.error("restore.failed", reason=f"the words cannot be read ({error}): no stream goes on")
            for name in [name for name in held.entries if name.startswith(KEY)]:
                await link.request("drop", keys=[name])
                _close(held.entries.pop(name)[1])
            _close(entry[1])
    words = Words.create()
    await link.put([("words", {"in_hand": 8 * IN_HAND}, [words.fd])])
    return words


def _taken(held: Held, prefix: str) -> Iterator[tuple[str, Any, list[int]]]:
    for key in [key for key in held.entries if key.startswith(prefix)]:
        note, fds = held.entries.pop(key)
        yield key, note, fds


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _seats(door: Door) -> dict[tuple[int, int], Seat]:
    """Those that streams may have, by generation and process: others are no more, or do not serve streams.

    One that is ready is a canary: any other candidate has been given up.
    """
    return {
        (generation.number, seat.process): seat
        for generation in door.fleet.generations.values()
        if generation is door.switchboard.active
        or generation.number in door.draining
        or generation.state is State.READY
        for seat in generation.seats
    }
