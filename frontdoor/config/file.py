"""From a file, or a text, to settings: all of them, or every problem at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from frontdoor.config.addresses import CONTROL_SOCKET
from frontdoor.config.backends import Table
from frontdoor.config.checks import cross_faults, nul_faults
from frontdoor.config.lines import Lines
from frontdoor.config.problem import ConfigError, Path, Problem, show_key
from frontdoor.config.settings import DoorSettings, FrontdoorSettings
from frontdoor.config.syntax import read_toml
from frontdoor.config.unbuilt import unbuilt_faults
from frontdoor.config.wording import faults_of

DOOR = "main"
"""The name of the door that the top level describes."""

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
    """Read the config at `path`.

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
    return parse(text, path)


def parse(text: str, path: str) -> Settings:
    """Make settings of a config's text; its relative paths start at the folder of `path`.

    The file itself is not looked at: the text may be one that was kept while the file went on changing.
    Raises ConfigError with every problem.
    """
    raw = read_toml(text, path)
    absolute = os.path.abspath(path)
    folder = os.path.dirname(absolute)
    faults = list(nul_faults(raw))
    door_table = {key: value for key, value in raw.items() if key not in ("frontdoor", "doors")}
    door = _validate(DoorSettings, door_table, (), {"folder": folder, "door": DOOR}, faults)
    process_table = raw.get("frontdoor", {})
    shown = process_table.get("runtime_dir") if isinstance(process_table, dict) else None
    context = {"path": absolute, "runtime_dir": shown}
    process = _validate(FrontdoorSettings, process_table, ("frontdoor",), context, faults)
    faults += cross_faults(raw)
    if door is not None and process is not None:
        faults += _socket_faults(door, process)
    faults = _without_doubles(faults, unbuilt_faults(raw), "doors" in raw)
    if faults or door is None or process is None:
        raise ConfigError(path, _problems(faults, text))
    return Settings(absolute, folder, {DOOR: door}, process, text)


def _refused(path: str, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(path, [Problem("", line, message)])


def _validate(model: type[_T], table: object, path: Path, context: object, faults: list[tuple[Path, str]]) -> _T | None:
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            faults += faults_of(each, path)
        return None


def _socket_faults(door: DoorSettings, process: FrontdoorSettings) -> Iterable[tuple[Path, str]]:
    control = f"unix:{os.path.join(process.runtime_dir, CONTROL_SOCKET)}"
    for index, address in enumerate(door.listen):
        if address == control:
            yield ("listen", index), "this is frontdoor's own control socket; choose another path"


def _without_doubles(
    faults: list[tuple[Path, str]], unbuilt: Iterable[tuple[Path, str]], other_doors: bool
) -> list[tuple[Path, str]]:
    """Keep the first fault of each key; ask for no default of a feature whose value is no value at all.

    Nor ask for `listen` at the top level of whoever has described doors below `[doors]`.
    """
    kept: dict[Path, str] = {}
    for path, message in faults:
        if not (other_doors and len(path) == 1 and message.startswith("is missing")):
            kept.setdefault(path, message)
    for path, message in unbuilt:
        if not any(known[: len(path)] == path for known in kept):
            kept[path] = message
    return list(kept.items())


def _problems(faults: Iterable[tuple[Path, str]], text: str) -> list[Problem]:
    lines = Lines(text)
    problems = [Problem(show_key(path), lines.find(path), message) for path, message in faults]
    return sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))
