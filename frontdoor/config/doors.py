"""The doors of a config: where in it the keys of each stand, and what must hold between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from frontdoor.config.addresses import parse_address
from frontdoor.config.known import unknown_key
from frontdoor.config.problem import Path, show_key, show_value
from frontdoor.config.settings import DoorSettings
from frontdoor.config.units import kind_of

MAIN = "main"
"""The name of the door that the top level describes."""

_NAME = re.compile(r"(?!g[0-9]+\Z)[A-Za-z][A-Za-z0-9_-]{0,31}\Z")
_NAME_RULE = (
    'a door\'s name has letters, digits, "_" and "-", begins with a letter, and is at most 32 characters long; '
    '"g" with a number is the name of a generation\'s folder'
)
_NEEDED = tuple(name for name, field in DoorSettings.model_fields.items() if field.is_required())


@dataclass(frozen=True, slots=True)
class DoorTable:
    """What a config says of one door. `place` is () where its keys stand at the top level.

    `stray`: these keys are a door's, but what makes a door is not among them, and the doors are elsewhere.
    """

    name: str
    place: Path
    table: object
    stray: bool = False


def door_tables(raw: dict[str, object]) -> list[DoorTable]:
    """Find the doors, in the order of the file. Where there is none at all, the top level is one that lacks it all."""
    below = _items(raw.get("doors"))
    named = [DoorTable(name, ("doors", name), table) for name, table in below if not _is_nameless(name, table)]
    top = {key: value for key, value in raw.items() if key not in ("frontdoor", "doors")}
    if "doors" in raw and not any(key in DoorSettings.model_fields for key in top):
        return named
    main = DoorTable(MAIN, (), top, stray=bool(named) and not any(key in _NEEDED for key in top))
    first = next((key for key in raw if key != "frontdoor"), None)
    return [*named, main] if first == "doors" else [main, *named]


def longest_name(doors: Iterable[DoorTable]) -> str:
    """Give the longest of the names that are folders below runtime_dir; "" where the only door is main."""
    return max((door.name for door in doors if door.name != MAIN and _NAME.match(door.name)), key=len, default="")


def place_faults(raw: dict[str, object], doors: Sequence[DoorTable]) -> Iterator[tuple[Path, str]]:
    """Find doors without a name or with one too many, and keys that stand below no door."""
    below = raw.get("doors", {})
    if not isinstance(below, dict):
        yield ("doors",), f"must be a table, not {kind_of(below)}: write [doors.web], and its keys below it"
        return
    main = next((door for door in doors if door.place == ()), None)
    if main is None:
        yield from _without_a_main(raw, below)
    elif main.stray:
        yield from _stray_faults(main, next(door.name for door in doors if door.place))
    for name, table in below.items():
        path = ("doors", name)
        if _is_nameless(name, table):
            yield path, f"a door has a name: write [doors.web], and {show_key((name,))} below it"
        elif not _NAME.match(name):
            yield path, f"{show_value(name)} is no name of a door: {_NAME_RULE}"
        elif name == MAIN and main is not None and not main.stray:
            yield path, "the keys at the top level describe the door main already; give this one another name"


def listen_faults(doors: Iterable[DoorTable], folder: str, control: str | None) -> Iterator[tuple[Path, str]]:
    """Find addresses that are taken: by another door, or by frontdoor itself, whose control socket is `control`."""
    owners: dict[str, DoorTable] = {}
    for door in doors:
        for index, address in _addresses(door, folder):
            path = (*door.place, "listen", index)
            owner = owners.setdefault(address, door)
            if control is not None and address == f"unix:{control}":
                yield path, "this is frontdoor's own control socket; choose another path"
            elif owner is not door and (address.startswith(("unix:", "systemd:")) or not address.endswith(":0")):
                yield path, f"{show_value(address)} is where the door {owner.name} listens; choose another address"


def addresses(doors: Iterable[DoorTable], folder: str) -> Iterator[tuple[str, str]]:
    """Give each address that is one, in its one form, and the name of the door that listens there."""
    for door in doors:
        for _, address in _addresses(door, folder):
            yield address, door.name


def _without_a_main(raw: dict[str, object], below: dict[str, object]) -> Iterator[tuple[Path, str]]:
    for key, value in raw.items():
        if key not in ("frontdoor", "doors"):
            yield (key,), unknown_key((key,), value)
    if not below:
        yield ("doors",), f"describes no door: write [doors.web], with {', '.join(_NEEDED)} below it"


def _stray_faults(main: DoorTable, example: str) -> Iterator[tuple[Path, str]]:
    for key, value in _items(main.table):
        if key in DoorSettings.model_fields:
            full = show_key(("doors", example, key))
            where = f"[{full}]" if isinstance(value, dict) else f"{full} = {show_value(value)}"
            why = f"stands below no door, and the top level is none (it has no {', '.join(_NEEDED)})"
            yield (key,), f"{why}: write {where}"


def _is_nameless(name: str, table: object) -> bool:
    """Whether this is no door called "ready", but a door's [ready] below [doors] itself."""
    keys = table if isinstance(table, dict) else ()
    return name in DoorSettings.model_fields and not any(key in DoorSettings.model_fields for key in keys)


def _addresses(door: DoorTable, folder: str) -> Iterator[tuple[int, str]]:
    listen = door.table.get("listen") if isinstance(door.table, dict) else None
    for index, text in enumerate(listen if isinstance(listen, tuple) else ()):
        try:
            yield index, parse_address(text, folder)
        except (ValueError, AttributeError):
            pass  # it is no address, or no string: that is what is wrong, and is said elsewhere


def _items(table: object) -> Iterable[tuple[str, object]]:
    return table.items() if isinstance(table, dict) else ()
