"""What is different between two configs, key by key: what a reload says that it has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from frontdoor.config.backends import EVERY_VERSION, BackendSettings, Table
from frontdoor.config.file import Settings
from frontdoor.config.problem import show_key
from frontdoor.config.settings import DoorSettings


def changes(old: Settings, new: Settings) -> list[str]:
    """Give the names of the keys that differ, as TOML writes them: "limits.connections", "doors.api.listen".

    A version is named as a whole ("backends.v2"), and so is what only one of the two has: "doors.api", "health". To
    write out what is the default is no difference.
    """
    changed = []
    for name in dict.fromkeys((*new.doors, *old.doors)):
        before, after = old.doors.get(name), new.doors.get(name)
        if before is None or after is None:
            changed.append(show_key(("doors", name)))
        else:
            changed += [after.key(*path) for path in _door(before, after)]
    return changed + [show_key(("frontdoor", *path)) for path in _table(old.frontdoor, new.frontdoor)]


def _door(old: DoorSettings, new: DoorSettings) -> Iterator[tuple[str, ...]]:
    yield from _table(old, new, but=("backends",))
    yield from (("backends", name) for name in _versions(old.backends, new.backends))


def _table(old: Table, new: Table, but: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name in but or before == after:
            continue
        if isinstance(before, Table) and isinstance(after, Table):
            yield from ((name, *path) for path in _table(before, after))
        elif name in old.model_fields_set | new.model_fields_set:  # else it follows from another key, which is named
            yield (name,)


def _versions(old: Mapping[str, BackendSettings], new: Mapping[str, BackendSettings]) -> Iterator[str]:
    # Both against the same general table: what only that one changes is named once, and not with every version.
    general = new.get(EVERY_VERSION, BackendSettings())
    for name in dict.fromkeys((*new, *old)):
        before, after = old.get(name), new.get(name)
        if before is not None and after is not None and name != EVERY_VERSION:
            before, after = before.inherit(general), after.inherit(general)
        if before != after:
            yield name
