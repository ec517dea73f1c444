"""The tally: how many bytes each kept stream has moved, written down where the next door process finds it."""

from collections.abc import Iterable

from frontdoor.traffic.stream import Stream
from frontdoor.traffic.words import SLOTS, Words

NOT_KEPT = -1
"""The slot of a stream that the keeper does not have."""

NO_SLOT = -2
"""The slot of one that is kept, and for which there was none: its counts begin anew after a crash, its bytes do not."""


class Tally:
    """Gives each kept stream a slot among the words (``Stream.slot``), and writes there what it has moved."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._free: list[int] = []
        """Slots that were given back."""
        self._next = 0
        """Nobody has had this one, or any behind it."""

    def __repr__(self) -> str:
        return f"<Tally of {self._next - len(self._free)} streams>"

    def enter(self, stream: Stream) -> None:
        """The stream is kept from here on."""
        if self._free:
            stream.slot = self._free.pop()
        elif self._next < SLOTS:
            stream.slot, self._next = self._next, self._next + 1
        else:
            stream.slot = NO_SLOT
            return
        self._words.set_tally(stream.slot, stream.number, stream.up.moved, stream.down.moved)

    def strike(self, stream: Stream) -> None:
        """It is kept no more."""
        if stream.slot >= 0:
            self._free.append(stream.slot)
        stream.slot = NOT_KEPT

    def adopt(self, streams: Iterable[Stream]) -> None:
        """These have theirs from the process before this one. One that cannot be is as good as none."""
        taken: set[int] = set()
        for stream in streams:
            if not 0 <= stream.slot < SLOTS or stream.slot in taken:
                stream.slot = NO_SLOT
            else:
                taken.add(stream.slot)
        self._next = max(taken, default=-1) + 1
        self._free = [slot for slot in range(self._next) if slot not in taken]

    def update(self, streams: Iterable[Stream], since: float) -> None:
        """Write down what those of these have moved that have moved something ``since`` then (monotonic clock)."""
        set_tally = self._words.set_tally
        for stream in streams:
            up, down = stream.up, stream.down
            if stream.slot >= 0 and (up.stamp >= since or down.stamp >= since):
                set_tally(stream.slot, stream.number, up.moved, down.moved)
