"""What must hold between keys, looked for in the raw tables: so a slip elsewhere hides nothing here."""

from __future__ import annotations

from collections.abc import Iterator

from frontdoor.config.backends import EVERY_VERSION, OWN_ENV, VERSION, VERSION_RULE, UnknownVersion
from frontdoor.config.external import source_of
from frontdoor.config.known import known_keys
from frontdoor.config.problem import Path, show_key, show_value

_COMMAND = 'write command = ["{python}", "app.py"]'


def cross_faults(table: object, place: Path) -> Iterator[tuple[Path, str]]:
    """Find versions without a name, a table or a command, and variables that cannot be, in the door at `place`."""
    backends = table.get("backends") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(backends, dict):
        return
    for name in backends:
        if name != EVERY_VERSION and not VERSION.match(name):
            yield (*place, "backends", name), f"{show_value(name)} is no version: {VERSION_RULE}"
        yield from _env_faults((*place, "backends", name), backends[name])
    yield from _active_faults(table.get("active"), backends, place)
    yield from _command_faults(table.get("active"), backends, place)


def _active_faults(active: object, backends: dict[str, object], place: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(active, str):
        return  # its type is what is wrong, and has been said
    if not VERSION.match(active):
        yield (*place, "active"), f"{show_value(active)} is no version: {VERSION_RULE}"
    elif active not in backends and EVERY_VERSION not in backends:
        unknown = UnknownVersion(active, list(backends))
        add = f"[{show_key((*place, 'backends'))}.{show_value(active)}]"
        yield (*place, "active"), f"{unknown}; add {add}, or {_general(place)} for any version"


def _env_faults(path: Path, table: object) -> Iterator[tuple[Path, str]]:
    env = table.get("env") if isinstance(table, dict) else None
    for variable in env if isinstance(env, dict) else ():
        if not variable or "=" in variable or "\0" in variable:
            yield (*path, "env", variable), 'a variable\'s name is not empty, and has no "=" and no NUL'
        elif variable in OWN_ENV:
            yield (*path, "env", variable), "frontdoor sets this variable itself; take it out"


def _command_faults(active: object, backends: dict[str, object], place: Path) -> Iterator[tuple[Path, str]]:
    general = backends.get(EVERY_VERSION, {})
    for name, table in backends.items():
        if name == EVERY_VERSION or not isinstance(table, dict) or _is_dotted(table):
            continue
        if source_of(table, general) == "nothing":
            yield (
                (*place, "backends", name),
                f"has no command, and there is none in {_general(place)} to inherit: {_COMMAND}",
            )
    if not isinstance(active, str) or not VERSION.match(active) or active in backends or EVERY_VERSION not in backends:
        return
    if source_of({}, general) == "nothing":
        yield (
            (*place, "active"),
            f"{active} has no table of its own, and {_general(place)} has no command: {_COMMAND}",
        )


def _general(place: Path) -> str:
    return f"[{show_key((*place, 'backends', EVERY_VERSION))}]"


def _is_dotted(table: dict[str, object]) -> bool:
    """Whether this is the "1" of a version that was written [backends.1.2]: that is said elsewhere."""
    known = known_keys()["backends", EVERY_VERSION]
    return any(isinstance(child, dict) and key not in known for key, child in table.items())


def nul_faults(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Find NUL characters: no path, argument or variable can hold one (execve(2))."""
    if isinstance(value, str) and "\0" in value:
        yield path, f"{show_value(value)} has a NUL character, which no path and no argument can hold"
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from nul_faults(child, (*path, key))
    elif isinstance(value, tuple):
        for index, child in enumerate(value):
            yield from nul_faults(child, (*path, index))
