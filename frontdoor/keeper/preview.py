"""A preview: what a new door process looks at while the old one still serves.

Thousands of streams take a while to be handed out, and to be made ready. All that time nobody would be served, if it
began only when the old one has stopped. So a new one may look at them before; and when it is its turn it is told only
what is not as it was then. An entry is never changed in place (:mod:`.vault`): it is the same as long as it is there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from frontdoor.keeper import wire
from frontdoor.keeper.vault import Entry, Vault

LARGEST = 1024
"""Bytes of an entry that is shown: what is larger, and anything with many descriptors, comes with the rest."""

KEYS = 100
"""In one message that says what has changed: they fit into it, whatever their length."""


class Preview:
    """What one new door process was shown."""

    def __init__(self, vault: Vault, prefixes: Sequence[str]) -> None:
        """``prefixes``: how the keys begin that are to be shown. Raises TypeError when they are no strings."""
        self._vault = vault
        self._shown: dict[str, Entry] = {}
        beginnings = tuple(prefixes)
        self._coming = [entry.key for entry in vault if entry.key.startswith(beginnings)]
        self._coming.reverse()

    def __repr__(self) -> str:
        return f"<Preview of {len(self._shown)} entries, {len(self._coming)} to come>"

    def next(self) -> tuple[list[Any], list[int]]:
        """The next entries with their descriptors, as many as fit into a message; none: that were all.

        They are as they are now: between two calls the vault goes on changing.
        """
        entries, fds, size = list[Any](), list[int](), 0
        while self._coming:
            entry = self._vault.get(self._coming[-1])
            if entry is not None and entry.size <= LARGEST and len(entry.fds) <= wire.MAX_DESCRIPTORS:
                if len(fds) + len(entry.fds) > wire.MAX_DESCRIPTORS or size + entry.size > wire.REQUEST_BYTES:
                    break
                entries.append([entry.key, entry.note, len(entry.fds)])
                fds.extend(entry.fds)
                size += entry.size
                self._shown[entry.key] = entry
            self._coming.pop()
        return entries, fds

    def rest(self) -> Iterator[Entry]:
        """All of the vault that was not shown as it is now."""
        return (entry for entry in self._vault if self._shown.get(entry.key) is not entry)

    def gone(self) -> Iterator[list[str]]:
        """The keys of what was shown and is no more, or is something else by now; some at a time."""
        keys = [key for key, entry in self._shown.items() if self._vault.get(key) is not entry]
        return (keys[first : first + KEYS] for first in range(0, len(keys), KEYS))
