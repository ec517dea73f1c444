"""Protocol 1, as far as a door process needs it: its keeper may run since before the code on disk was replaced.

It says the same things, but for these:

- what is kept goes one entry a message: ``put {key, note}``, ``held {key, note}``, with all of its descriptors;
- it knows nothing of a second door process, and nothing of what came later.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from frontdoor.keeper import wire

_OPERATIONS = ("hello", "listen", "put", "note", "drop", "spawn", "signal", "forget", "served", "bye")


def knows(op: str) -> bool:
    """Whether a keeper of protocol 1 can be asked that."""
    return op in _OPERATIONS


def entries_of(held: wire.Body, count: int) -> list[Any]:
    """The entries of ``held`` in either protocol; ``count``: of the descriptors that came with it."""
    if "entries" in held:
        return list(held["entries"])
    return [[held["key"], held["note"], count]]


def apart(entries: Iterable[Sequence[Any]], fds: Sequence[int]) -> Iterator[tuple[wire.Body, Sequence[int]]]:
    """What a ``put`` of entries, ``[key, note, count]``, is in protocol 1: the fields of each message and its share."""
    first = 0
    for key, note, count in entries:
        yield {"key": key, "note": note}, fds[first : first + count]
        first += count
