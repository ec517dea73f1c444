"""A preview, in an upgrade: streams and pipes are made ready here while the old door process still relays them.

It is most of what there is to do for a stream: its descriptors, its objects, its place in the epoll set. None of it is
seen by anybody else: no byte is read, nothing is written down, and a socket that is closed here is open with the others
that have it. What has changed when it is the turn of this process is forgotten, and taken from what ``hello`` brings.
"""

import gc
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from frontdoor.door.garbage import Garbage
from frontdoor.door.survivor import KEY, Survivor
from frontdoor.keeper.link import Link, Refused
from frontdoor.traffic.entries import pipe_key
from frontdoor.traffic.pipes import Pipe
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.words import PIPES

PIPE = "pipe/"
"""How the keeper's keys of pipes begin."""


class Preview:
    """What was looked at. It is not this process's yet."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.streams: dict[str, Survivor] = {}
        self.pipes: dict[str, Pipe] = {}
        """By key, as the streams."""
        self.garbage = Garbage()
        """What was neither."""
        self.holds = False
        """It was whole: but for what has changed since, it is what the keeper holds."""

    def __repr__(self) -> str:
        return f"<Preview of {len(self.streams)} streams, {len(self.pipes)} pipes>"

    async def look(self, link: Link) -> None:
        """Look at all that there is just now. If that cannot be had, nothing was looked at, and it all comes later."""
        try:
            while entries := await link.preview((KEY, PIPE)):
                for key, (note, fds) in entries.items():
                    self._take(key, note, fds)
        except Refused:
            # Older code than this, or no room for descriptors; `hello` will say what follows from that.
            self.forget([*self.streams, *self.pipes])
            self.garbage.clear()
            return
        self.holds = True
        gc.collect()  # thousands of new objects: now, rather than in the pause

    def forget(self, keys: Iterable[str]) -> None:
        """These are no more, or are something else by now."""
        for key in keys:
            if (survivor := self.streams.pop(key, None)) is not None:
                survivor.close(self.relay)
            elif (pipe := self.pipes.pop(key, None)) is not None:
                pipe.close()
            self.garbage.forget(key)

    def _take(self, key: str, note: Any, fds: list[int]) -> None:
        try:
            if key.startswith(PIPE):
                self.pipes[key] = decode_pipe(key, fds)
                return
            survivor = self.streams[key] = Survivor.decode(key, note, fds)
        except (KeyError, TypeError, ValueError, OSError) as error:
            self.garbage.add(key, fds, error)
        else:
            with suppress(OSError):  # whatever it is, it is said when it is to go on
                survivor.expect(self.relay)


def decode_pipe(key: str, fds: list[int]) -> Pipe:
    """From what the keeper held. Raises ValueError, OSError when that is no pipe of ours."""
    index = int(key.removeprefix(PIPE))
    read, write = fds
    if key != pipe_key(index) or not 0 <= index < PIPES:
        raise ValueError(f"{key!r} is no number of a pipe")
    return Pipe(index, (read, write))
