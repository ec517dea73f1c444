"""The keys that a config may have, and which of them somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin

from frontdoor.config.backends import EVERY_VERSION, VERSION, BackendSettings, Table
from frontdoor.config.problem import Path, show_key, show_value
from frontdoor.config.process import FrontdoorSettings
from frontdoor.config.settings import DoorSettings

_OF_THE_PROCESS = ("frontdoor", "doors")


@cache
def known_keys() -> Mapping[Path, tuple[str, ...]]:
    """Give the known keys of every table; the top level is (), and "*" stands for every version.

    Below `[doors.NAME]` the same are known, but for what is of the whole process.
    """
    keys: dict[Path, tuple[str, ...]] = {}
    _add(keys, (), DoorSettings)
    _add(keys, ("frontdoor",), FrontdoorSettings)
    _add(keys, ("backends", EVERY_VERSION), BackendSettings)
    keys[()] += _OF_THE_PROCESS
    return keys


def _add(keys: dict[Path, tuple[str, ...]], path: Path, model: type[Table]) -> None:
    keys[path] = tuple(model.model_fields)
    for name, field in model.model_fields.items():
        optional = get_origin(field.annotation) in (Union, UnionType)
        for kind in get_args(field.annotation) if optional else (field.annotation,):
            if isinstance(kind, type) and issubclass(kind, Table):
                _add(keys, (*path, name), kind)


def unknown_key(path: Path, value: object) -> str:
    """Say that a key is not known, and which known one is the nearest."""
    door = path[:2] if path[0] == "doors" and len(path) > 2 else ()
    inner, table, key = path[len(door) :], path[:-1], str(path[-1])
    if inner[0] == "backends":
        version = _dotted_version(inner, value)
        if version:
            return (
                f"unknown key; if {version} is a version, its name needs quotes because of the dot: "
                f"write [{show_key((*door, 'backends'))}.{show_value(version)}]"
            )
        inner, table = ("backends", EVERY_VERSION, *inner[2:]), (*door, *inner[:2])
    here = known_keys().get(inner[:-1], ())
    if door and len(inner) == 1:
        here = tuple(name for name in here if name not in _OF_THE_PROCESS)
    near = difflib.get_close_matches(key, here, 1)
    if near:
        return f"unknown key; the nearest known one is {show_key((*table, near[0]))}"
    elsewhere = _elsewhere(key, door)
    if elsewhere:
        return f"unknown key; the nearest known one is {elsewhere}"
    return f"unknown key; known here are {', '.join(here)}"


def _elsewhere(key: str, door: Path) -> str | None:
    """Find a key of another table: it is easily put below the wrong header, or above the right one."""
    places: dict[str, str] = {}
    for table, names in known_keys().items():  # the top level first: it wins where a name is there twice
        for name in names:
            path = (*table, name)
            places.setdefault(name, show_key(path if path[0] in _OF_THE_PROCESS else (*door, *path)))
    near = difflib.get_close_matches(key, places, 1, 0.8)
    return places[near[0]] if near else None


def _dotted_version(path: Path, value: object) -> str | None:
    """`[backends.1.2]` is a table "2" in a table "1" for TOML, and the version "1.2" for whoever wrote it."""
    parts = [str(part) for part in path[1:]]
    if not isinstance(value, dict) or parts[-1] in (*BackendSettings.model_fields, *known_keys()[()]):
        return None
    while len(value) == 1:
        ((key, child),) = value.items()
        if not isinstance(child, dict) or key in BackendSettings.model_fields:
            break
        parts.append(key)
        value = child
    version = ".".join(parts)
    return version if VERSION.match(version) else None
