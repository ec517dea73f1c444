"""From a file, or a text, to settings: all of them, or every problem at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from frontdoor.config.addresses import CONTROL_SOCKET
from frontdoor.config.admin import admin_faults
from frontdoor.config.backends import Table
from frontdoor.config.checks import cross_faults, nul_faults
from frontdoor.config.doors import DoorTable, addresses, door_tables, listen_faults, longest_name, place_faults
from frontdoor.config.external import external_faults, socket_faults
from frontdoor.config.lines import Lines
from frontdoor.config.log_file import log_file_faults
from frontdoor.config.pages import page_faults
from frontdoor.config.problem import ConfigError, Path, Problem, show_key
from frontdoor.config.process import FrontdoorSettings
from frontdoor.config.protocol import protocol_faults
from frontdoor.config.settings import DoorSettings
from frontdoor.config.syntax import read_toml
from frontdoor.config.wording import faults_of

_LARGEST = 64 << 10
"""Bytes; a config has some thousand. The keeper keeps the text, in one message of at most 128 KiB, in which a line's
end is two characters."""
_T = TypeVar("_T", bound=Table)


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid config. `path` is absolute, `folder` is its folder, `text` is what it was read from."""

    path: str
    folder: str
    doors: dict[str, DoorSettings]
    frontdoor: FrontdoorSettings
    text: str


def load(path: str) -> Settings:
    """Read the config at `path`, and look at the files that it names.

    Raises ConfigError, with every problem, if it cannot be read or is not valid.
    """
    try:
        # Without O_NONBLOCK a FIFO in its place would hold up the caller, which is the relay, until somebody writes.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refused(path, "is not a file")
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise _refused(path, "there is no such file") from None
    except IsADirectoryError:
        raise _refused(path, "is a folder; give the config file in it") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _refused(path, "is not a path: it has a NUL character") from None
    if len(data) > _LARGEST:
        raise _refused(path, "is larger than 64 KiB: a config cannot be, make it shorter")
    try:
        text = data.decode("utf-8-sig")  # some editors begin a file with a mark of byte order
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, "is not UTF-8 text; save it as UTF-8", line) from None
    settings = parse(text, path)
    if faults := [*page_faults(settings.doors.values()), *log_file_faults(settings.frontdoor)]:
        raise ConfigError(path, _problems(faults, text))
    return settings


def parse(text: str, path: str) -> Settings:
    """Make settings of a config's text; its relative paths start at the folder of `path`.

    No file is looked at, not even its own: the text may be one that was kept while the files went on changing.
    Raises ConfigError with every problem.
    """
    raw = read_toml(text, path)
    absolute = os.path.abspath(path)
    folder = os.path.dirname(absolute)
    tables = door_tables(raw)
    faults = [*nul_faults(raw), *place_faults(raw, tables)]
    doors = {table.name: _door(table, folder, faults) for table in tables}
    process = _process(raw.get("frontdoor", {}), absolute, longest_name(tables), faults)
    control = None if process is None else os.path.join(process.runtime_dir, CONTROL_SOCKET)
    for table in tables:
        faults += cross_faults(table.table, table.place)
        faults += external_faults(table.table, table.place)
        faults += protocol_faults(table.table, table.place)
    faults += listen_faults(tables, folder, control)
    faults += admin_faults(raw.get("frontdoor"), addresses(tables, folder))
    for door in doors.values():
        if door is not None and process is not None:
            faults += socket_faults(door, process.runtime_dir)
    faults = _first_of_each(faults)
    valid = {name: door for name, door in doors.items() if door is not None}
    if faults or process is None or len(valid) < len(doors):
        raise ConfigError(path, _problems(faults, text))
    return Settings(absolute, folder, valid, process, text)


def _door(door: DoorTable, folder: str, faults: list[tuple[Path, str]]) -> DoorSettings | None:
    context = {"folder": folder, "door": door.name, "place": door.place}
    # Of keys that are in no door, only what is in them can be wrong: not what is missing beside them.
    return _validate(DoorSettings, door.table, door.place, context, faults, skip="missing" if door.stray else "")


def _process(table: object, path: str, longest_door: str, faults: list[tuple[Path, str]]) -> FrontdoorSettings | None:
    shown = table.get("runtime_dir") if isinstance(table, dict) else None
    context = {"path": path, "runtime_dir": shown, "longest_door": longest_door}
    return _validate(FrontdoorSettings, table, ("frontdoor",), context, faults)


def _refused(path: str, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(path, [Problem("", line, message)])


def _validate(
    model: type[_T], table: object, path: Path, context: object, faults: list[tuple[Path, str]], skip: str = ""
) -> _T | None:
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            if not (each["type"] == skip and len(each["loc"]) == 1):
                faults += faults_of(each, path)
        return None


def _first_of_each(faults: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Keep the first fault of each key."""
    kept: dict[Path, str] = {}
    for path, message in faults:
        kept.setdefault(path, message)
    return list(kept.items())


def _problems(faults: Iterable[tuple[Path, str]], text: str) -> list[Problem]:
    lines = Lines(text)
    problems = [Problem(show_key(path), lines.find(path), message) for path, message in faults]
    return sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))
