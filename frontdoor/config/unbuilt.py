"""Keys of features that are not built yet: accepted at their default only, so that no one relies on them.

Whoever builds a feature takes its lines out here.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontdoor.config.problem import Path, show_value

UNBUILT: dict[Path, object] = {
    ("frontdoor", "admin"): "",
}


def unbuilt_faults(raw: dict[str, object]) -> Iterator[tuple[Path, str]]:
    """Find what asks for a feature that is not there yet."""
    for pattern, default in UNBUILT.items():
        for path, value in _at(raw, pattern, ()):
            if value != default or type(value) is not type(default):
                yield path, f"is not built yet; leave it at its default ({show_value(default)})"


def _at(table: object, pattern: Path, done: Path) -> Iterator[tuple[Path, object]]:
    if not pattern:
        yield done, table
    elif isinstance(table, dict) and pattern[0] in table:
        yield from _at(table[pattern[0]], pattern[1:], (*done, pattern[0]))
