"""Keys of features that are not built yet: accepted at their default only, so that no one relies on them.

Whoever builds a feature takes its lines out here.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontdoor.config.problem import Path, show_value
from frontdoor.config.units import parse_duration

_ANY = "*"  # as a table's name: every table

UNBUILT: dict[Path, object] = {
    ("protocol",): "tcp",
    ("accept_proxy",): (),
    ("backends", _ANY, "listen_fd"): False,
    ("backends", _ANY, "proxy_protocol"): "off",
    ("backends", _ANY, "user"): "",
    ("backends", _ANY, "group"): "",
    ("backends", _ANY, "socket"): "",
    ("health", "interval"): "5s",
    ("health", "failures"): 3,
    ("swap", "bake"): "0s",
    ("swap", "keep_warm"): "15m",
    ("swap", "max_generations"): 5,
    ("hooks", "before_swap"): (),
    ("hooks", "ready"): (),
    ("hooks", "switched"): (),
    ("hooks", "drained"): (),
    ("hooks", "exited"): (),
    ("hooks", "failed"): (),
    ("hooks", "timeout"): "30s",
    ("frontdoor", "user"): "",
    ("frontdoor", "group"): "",
    ("frontdoor", "admin"): "",
}


def unbuilt_faults(raw: dict[str, object]) -> Iterator[tuple[Path, str]]:
    """Find what asks for a feature that is not there yet."""
    if "doors" in raw:
        yield ("doors",), "several doors are not built yet; describe one door with keys at the top level"
    for pattern, default in UNBUILT.items():
        for path, value in _at(raw, pattern, ()):
            if not _same(value, default):
                yield path, f"is not built yet; leave it at its default ({show_value(default)})"


def _at(table: object, pattern: Path, done: Path) -> Iterator[tuple[Path, object]]:
    if not pattern:
        yield done, table
    elif isinstance(table, dict):
        names = list(table) if pattern[0] == _ANY else [pattern[0]]
        for name in names:
            if name in table:
                yield from _at(table[name], pattern[1:], (*done, name))


def _same(value: object, default: object) -> bool:
    if value == default and type(value) is type(default):
        return True
    try:
        return parse_duration(value) == parse_duration(default)  # "0ms" is "0s"
    except ValueError:
        return False
