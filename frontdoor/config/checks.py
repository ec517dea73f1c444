"""What must hold between keys, looked for in the raw tables: so a slip elsewhere hides nothing here."""

from __future__ import annotations

from collections.abc import Iterator

from frontdoor.config.backends import EVERY_VERSION, OWN_ENV, VERSION, VERSION_RULE, UnknownVersion
from frontdoor.config.known import known_keys
from frontdoor.config.problem import Path, show_value


def cross_faults(raw: dict[str, object]) -> Iterator[tuple[Path, str]]:
    """Find versions without a name, a table or a command, and variables that cannot be."""
    backends = raw.get("backends")
    if not isinstance(backends, dict):
        return
    for name in backends:
        if name != EVERY_VERSION and not VERSION.match(name):
            yield ("backends", name), f"{show_value(name)} is no version: {VERSION_RULE}"
        yield from _env_faults(name, backends[name])
    yield from _active_faults(raw.get("active"), backends)
    yield from _command_faults(raw.get("active"), backends)


def _active_faults(active: object, backends: dict[str, object]) -> Iterator[tuple[Path, str]]:
    if not isinstance(active, str):
        return  # its type is what is wrong, and has been said
    if not VERSION.match(active):
        yield ("active",), f"{show_value(active)} is no version: {VERSION_RULE}"
    elif active not in backends and EVERY_VERSION not in backends:
        unknown = UnknownVersion(active, list(backends))
        yield (
            ("active",),
            f'{unknown}; add [backends.{show_value(active)}], or [backends."*"] for any version',
        )


def _env_faults(name: str, table: object) -> Iterator[tuple[Path, str]]:
    env = table.get("env") if isinstance(table, dict) else None
    for variable in env if isinstance(env, dict) else ():
        if not variable or "=" in variable or "\0" in variable:
            yield ("backends", name, "env", variable), 'a variable\'s name is not empty, and has no "=" and no NUL'
        elif variable in OWN_ENV:
            yield ("backends", name, "env", variable), "frontdoor sets this variable itself; take it out"


def _command_faults(active: object, backends: dict[str, object]) -> Iterator[tuple[Path, str]]:
    general = backends.get(EVERY_VERSION)
    if general is not None and (not isinstance(general, dict) or _starts(general)):
        return
    for name, table in backends.items():
        if name == EVERY_VERSION or not isinstance(table, dict) or _starts(table) or _is_dotted(table):
            continue
        yield (
            ("backends", name),
            ('has no command, and there is none in [backends."*"] to inherit: write command = ["{python}", "app.py"]'),
        )
    if general is not None and isinstance(active, str) and VERSION.match(active) and active not in backends:
        yield (
            ("active",),
            (
                f'{active} has no table of its own, and [backends."*"] has no command: '
                f'write command = ["{{python}}", "app.py"]'
            ),
        )


def _starts(table: dict[str, object]) -> bool:
    return "command" in table or "socket" in table


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
