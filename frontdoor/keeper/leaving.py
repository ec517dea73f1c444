"""Door processes that were replaced, and still have requests under way that only they can finish.

A stream can be handed to another process, and so can a client that says nothing just now. An http request in the middle
of its answer cannot: where it stands is in the memory of the process that it began in. So after an upgrade the old one
may stay for a while. It has left everything else to the new one, moves the bytes of those requests, and ends by itself.
What is to be said of them is between these two, on a wire of their own (``door.departure``, ``door.predecessors``).

All there is to do here: it must answer as any door process, its end is nobody's crash, and it ends with the keeper.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.stderr import say

MOST = 8
"""At a time: each has the memory of a door process. Past it an upgrade is refused."""


class Leaving:
    """All of them, the oldest first."""

    def __init__(self) -> None:
        self._doors: list[DoorProcess] = []

    def __repr__(self) -> str:
        return f"<Leaving {self._doors}>"

    def __len__(self) -> int:
        return len(self._doors)

    def __iter__(self) -> Iterator[DoorProcess]:
        return iter(list(self._doors))

    def __contains__(self, door: DoorProcess) -> bool:
        return door in self._doors

    @property
    def full(self) -> bool:
        """No other one may come."""
        return len(self._doors) >= MOST

    def add(self, door: DoorProcess) -> None:
        """One that has yielded, and has said that it stays."""
        door.standing = False
        door.silence()  # what it was to be told is another one's affair by now
        door.pulse.resume(time.monotonic())
        self._doors.append(door)
        door.tell({"op": "leave"})

    def on_ends(self, ended: Mapping[int, int]) -> None:
        """Processes have ended, by pid, with that status."""
        for door in self:
            if door.pid in ended:
                self._ended(door, ended[door.pid])

    def kill(self) -> None:
        """End them all."""
        for door in self:
            door.kill()

    def _ended(self, door: DoorProcess, status: int) -> None:
        door.running = False
        door.let_go()
        self._doors.remove(door)
        if status != 0:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            say(f"an earlier door process ({door.pid}) ended ({how}): what it still had to finish is lost")

    # -- a renewal of the keeper ------------------------------------------------------------------------------------

    def remember(self) -> list[dict[str, Any]]:
        """All of them, as JSON."""
        return [door.remember() for door in self]

    def recall(self, remembered: Iterable[Mapping[str, Any]]) -> None:
        """As they were. Raises KeyError, ValueError, TypeError, OSError."""
        self._doors.extend(map(DoorProcess.recall, remembered))

    def descriptors(self) -> Iterator[int]:
        """All that are in use here."""
        return (fd for door in self for fd in door.descriptors())


def wires(remembered: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of what ``remember`` has said: the numbers of their wires."""
    return [one["wire"] for one in remembered if one["wire"] is not None]
