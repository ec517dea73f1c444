"""A survivor: one stream as the keeper has it, and what is made of it before it has its place again."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frontdoor.traffic.entries import decode, stream_key
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream
from frontdoor.traffic.words import LAST_STREAM

KEY = "stream/"
"""How the keeper's keys of streams begin."""


@dataclass(slots=True, eq=False)
class Survivor:
    """One stream."""

    number: int
    door: str
    place: tuple[int, int]
    """Its generation's number, and the process."""
    client: object
    """The client's address, as accept(2) gave it."""
    since: float
    slot: int
    """Of its tally."""
    fds: tuple[int, int]
    """The client's socket and the backend's."""
    stream: Stream | None = None
    """Once it is expected by the relay."""

    @classmethod
    def decode(cls, key: str, text: Any, fds: Sequence[int]) -> "Survivor":
        """From what the keeper held. Raises KeyError, TypeError, ValueError when that is no stream."""
        client_fd, backend_fd = fds
        number = int(key.removeprefix(KEY))
        if key != stream_key(number) or not 0 < number <= LAST_STREAM:
            raise ValueError(f"{key!r} is no number of a stream")
        note = decode(text)
        client = note["client"]
        return cls(
            number,
            str(note["door"]),
            (int(note["generation"]), int(note["process"])),
            tuple(client) if isinstance(client, list) else client,
            float(note["since"]),
            int(note["slot"]),
            (client_fd, backend_fd),
        )

    def expect(self, relay: Relay) -> Stream:
        """Have the relay expect it, if it does not. Raises OSError when it cannot be watched, or is no stream."""
        if self.stream is None:
            self.stream = relay.expect(self.number, self.client, self.fds, self.since)
        return self.stream

    def close(self, relay: Relay) -> None:
        """It does not go on here. Whoever else has its sockets keeps them."""
        if self.stream is not None:
            relay.forget(self.stream)
            self.stream = None
        for fd in self.fds:
            os.close(fd)
