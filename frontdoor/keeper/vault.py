"""The vault: named descriptors, each with a note about what it is, kept for a door process that may die."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept under one key. ``note`` is the door process's own affair: any JSON value."""

    key: str
    note: Any
    fds: tuple[int, ...]


class Vault:
    """Key → descriptors. The vault owns what is put into it, and closes it when it is dropped or replaced."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """In the order in which they were put."""
        return iter(list(self._entries.values()))

    def __repr__(self) -> str:
        return f"<Vault of {len(self)} entries, {sum(len(entry.fds) for entry in self)} descriptors>"

    def get(self, key: str) -> Entry | None:
        """The entry of that name, if there is one."""
        return self._entries.get(key)

    def put(self, key: str, note: Any, fds: Sequence[int] = ()) -> Entry:
        """Keep ``fds`` under ``key``; what was there is closed."""
        self.drop(key)
        entry = self._entries[key] = Entry(key, note, tuple(fds))
        return entry

    def note(self, key: str, note: Any) -> None:
        """Change the note alone. The descriptors, if there are any, stay."""
        held = self._entries.get(key)
        self._entries[key] = Entry(key, note, held.fds if held else ())

    def drop(self, key: str) -> bool:
        """Close what is kept under ``key``. False when there is nothing of that name."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        for fd in entry.fds:
            os.close(fd)
        return True
