"""What the relay asks of whoever holds copies of its pipes and streams, so that they live through this process's death.

All of it is synchronous, and none waits for an answer: it is said in the middle of a batch. Who is told of it hears it
in this order, also when this process is gone by then.
"""

from collections.abc import Sequence
from typing import Protocol

from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.stream import Stream


class Keeping(Protocol):
    """Holds copies of descriptors."""

    def keep_pipe(self, pipe: Pipe) -> bool:
        """Copy a new pipe, before a byte goes into it; whether that was said. If not, the pipe is not used."""

    def lose_pipe(self, pipe: Pipe) -> object:
        """Forget a pipe. Its descriptors are closed already, and its index is free for another one."""

    def drop(self, streams: Sequence[Stream]) -> bool:
        """Forget these streams, all of them; whether that was said.

        If not, the relay says it again later, and gets the same answer until it has been said: what must not happen to
        a kept stream waits for that.
        """

    def look(self, now: float) -> object:
        """Some time has passed (``now``: of the monotonic clock): a few times a second while there are streams."""


class Nobody:
    """Keeps nothing, for a relay whose streams end with it."""

    def __repr__(self) -> str:
        return "<Nobody>"

    def keep_pipe(self, pipe: Pipe) -> bool:
        """There is nobody to be asked."""
        return True

    def lose_pipe(self, pipe: Pipe) -> None:
        """Nobody has it."""

    def drop(self, streams: Sequence[Stream]) -> bool:
        """Nobody has them."""
        return True

    def look(self, now: float) -> None:
        """There is nothing to do."""
