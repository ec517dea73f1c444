"""The vault: named descriptors, each with a note about what it is, kept for a door process that may die."""

import errno
import os
import resource
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from frontdoor.keeper import wire

MAX_ENTRY = wire.MAX_BYTES - 256
"""Bytes of a key and its note: what a message about something that is kept has beside them is less than the rest."""


RESERVE = 320
"""Descriptors that are not filled with what is put here. A message brings up to 253 before it can be refused; the rest
is for the keeper's own work, so that it can always start a process, open a listener and speak to one more door process.
"""


def limit() -> int:
    """How many descriptors are kept at the most, of those that this process may open (RLIMIT_NOFILE)."""
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(nofile - RESERVE, nofile // 2)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept under one key. ``note`` is the door process's own affair: any JSON value.

    Raises ValueError when key and note are too large to be handed out again.
    """

    key: str
    note: Any
    fds: tuple[int, ...] = ()
    size: int = field(init=False, compare=False, repr=False)
    """At most so many bytes of a message: known since it was put, so that handing out thousands takes no time."""

    def __post_init__(self) -> None:
        size = len(wire.encode({"key": self.key, "note": self.note}, MAX_ENTRY))
        object.__setattr__(self, "size", size)


class Vault:
    """Key → descriptors. The vault owns what is put into it, and closes it when it is dropped or replaced."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._count = 0
        """Descriptors in all of them."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """In the order in which they were put."""
        return iter(list(self._entries.values()))

    def __repr__(self) -> str:
        return f"<Vault of {len(self)} entries, {self._count} descriptors>"

    def get(self, key: str) -> Entry | None:
        """The entry of that name, if there is one."""
        return self._entries.get(key)

    def put(self, key: str, note: Any, fds: Sequence[int] = ()) -> Entry:
        """Keep ``fds`` under ``key``; what was there is closed."""
        entry = Entry(key, note, tuple(fds))
        self.keep(entry)
        return entry

    def keep(self, entry: Entry) -> None:
        """As ``put``. It does not fail."""
        self.drop(entry.key)
        self._entries[entry.key] = entry
        self._count += len(entry.fds)

    def check_room(self, entries: Sequence[Entry]) -> None:
        """Raise OSError, with EMFILE, if these are more than is kept, with those that they do not replace."""
        replaced = [self._entries[entry.key] for entry in entries if entry.key in self._entries]
        more = sum(len(entry.fds) for entry in entries) - sum(len(entry.fds) for entry in replaced)
        if more > 0 and self._count + more > limit():
            raise OSError(errno.EMFILE, f"the keeper keeps {limit()} descriptors at the most, and has {self._count}")

    def note(self, key: str, note: Any) -> None:
        """Change the note alone. The descriptors, if there are any, stay."""
        held = self._entries.get(key)
        self._entries[key] = Entry(key, note, held.fds if held else ())

    def drop(self, key: str) -> bool:
        """Close what is kept under ``key``. False when there is nothing of that name."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._count -= len(entry.fds)
        for fd in entry.fds:
            os.close(fd)
        return True

    # -- a renewal of the keeper ------------------------------------------------------------------------------------

    def remember(self) -> list[list[Any]]:
        """All of it, as JSON; descriptors by their numbers."""
        return [[entry.key, entry.note, entry.fds] for entry in self._entries.values()]

    def recall(self, remembered: Iterable[Sequence[Any]]) -> None:
        """As it was. Raises ValueError, TypeError."""
        for key, note, fds, *_ in remembered:
            self.keep(Entry(key, note, tuple(fds)))

    def descriptors(self) -> Iterator[int]:
        """All that are kept."""
        return (fd for entry in self._entries.values() for fd in entry.fds)
