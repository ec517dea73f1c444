"""Entries: a stream and a pipe as the keeper holds them, by key, note and descriptors."""

import json
from typing import Any

from frontdoor.traffic.stream import Stream

Entry = tuple[str, str, tuple[int, int]]
"""Key, note and descriptors of a stream."""


def stream_key(number: int) -> str:
    """Where the keeper keeps a stream's sockets."""
    return f"stream/{number}"


def pipe_key(index: int) -> str:
    """Where the keeper keeps a pipe."""
    return f"pipe/{index}"


def is_due(stream: Stream) -> bool:
    """Whether it can be stored, and is to be: not one that is about to end."""
    return _is_whole(stream) and not stream.kept and stream.deadline is None and stream.down.source >= 0


def says_goodbye(stream: Stream) -> bool:
    """Whether it can be stored, and has nothing to do with its backend any more: all that is left is the client's."""
    return _is_whole(stream) and not stream.kept and stream.deadline is not None


def _is_whole(stream: Stream) -> bool:
    """It is open, and no byte of it is in this process's memory alone."""
    return stream.up.live and not stream.up.rest and not stream.down.rest


def entry_of(stream: Stream, nobody: int) -> Entry:
    """What is stored of a stream. ``nobody``: a socket whose other end is closed, in the place of one that is not used.

    Whoever goes on with a stream that says goodbye hears from there that the backend has closed, behind what is still
    in a pipe for the client: so he gets all of it, and then another goodbye, by the same rules as anybody.
    """
    backend = nobody if stream.deadline is not None else stream.down.source
    return stream_key(stream.number), encode(stream), (stream.up.source, backend)


def encode(stream: Stream) -> str:
    """What the keeper's note says of a stream. As one string: thousands of dicts would be most of the keeper's memory.

    A Unix client's address may be bytes, if it is an abstract one (unix(7)): nobody would be told more by it.
    """
    seat = stream.seat
    client = stream.client if isinstance(stream.client, str | tuple) else ""
    return json.dumps([stream.gate.name, seat.generation.number, seat.process, client, stream.since, stream.slot])


def decode(note: str) -> dict[str, Any]:
    """The note again, by names. Raises TypeError, ValueError when it is none."""
    return dict(zip(("door", "generation", "process", "client", "since", "slot"), json.loads(note), strict=True))
