"""The backends of a door: what is started for a version, and how."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationInfo

from frontdoor.config import placeholders
from frontdoor.config.addresses import MOST_PROCESSES
from frontdoor.config.problem import show_value
from frontdoor.config.units import parse_duration, parse_signal

EVERY_VERSION = "*"
"""The name of the table that every version inherits."""

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
VERSION_RULE = (
    'a version\'s name has letters, digits, ".", "_" and "-", begins with a letter or a digit, '
    "and is at most 64 characters long"
)

OWN_ENV = ("FRONTDOOR_SOCKET", "FRONTDOOR_VERSION", "FRONTDOOR_GENERATION", "FRONTDOOR_PROCESS")
"""Variables that every backend gets: where it listens, and what it is."""

SOCKET_PLACEHOLDERS = tuple(name for name in placeholders.NAMES if name != "socket")
"""Placeholders of `socket`: all but the one that stands for its own value."""

_TCP_ADDRESS = re.compile(r"[^/]*:[0-9]+\Z")


class UnknownVersion(Exception):  # noqa: N818 - it reads as the sentence that it stands for
    """The config knows no such version; str() says which it knows."""

    def __init__(self, version: str, known: list[str]) -> None:
        self.version = version
        self.known = known
        super().__init__(f"there is no version {show_value(version)}: {self._why()}")

    def _why(self) -> str:
        if not VERSION.match(self.version):
            return VERSION_RULE
        near = difflib.get_close_matches(self.version, self.known, 1, 0.5)
        ask = f"; the nearest is {near[0]}" if near and len(self.known) > 1 else ""
        return f"the config knows {', '.join(self.known) or 'none'}{ask}"


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start for one process: its arguments, what goes over the environment, the folder it starts in."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str


class Table(BaseModel):
    """A table of the config: no key that is not known, no value of another type, no change afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def context_of(info: ValidationInfo) -> Mapping[str, Any]:
    """Give what `frontdoor.config.parse` says of a table beside its keys: where it is from."""
    assert info.context is not None, "these settings are made by frontdoor.config.parse, which says where they are from"
    context: Mapping[str, Any] = info.context
    return context


Duration = Annotated[float, BeforeValidator(parse_duration)]


def check_shell_line(value: object) -> object:
    """Raise ValueError for a string where a list of arguments belongs, and say how it would be written."""
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    raise ValueError(f"a command is an array of strings, never a shell line: write {show_value(words)}")


def _check_command(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command or not command[0]:
        raise ValueError("names no program: the first string is the program to run")
    return command


def _check_text(text: str) -> str:
    placeholders.check(text)
    return text


def _check_cwd(cwd: str | None) -> str | None:
    if cwd == "":
        raise ValueError("must not be empty; leave it out for the config's own folder")
    if cwd is not None:
        placeholders.check(cwd)
    return cwd


# Checked string by string, so that a slip in one hides none in another.
_Text = Annotated[str, AfterValidator(_check_text)]


def _check_socket(path: str) -> str:
    placeholders.check(path, SOCKET_PLACEHOLDERS)
    if path.startswith("@"):
        raise ValueError(f'{show_value(path)}: abstract sockets are not offered; write a path ("./{path}" for a file)')
    if path.startswith("unix:"):
        raise ValueError(f"{show_value(path)}: write the path alone, {show_value(path.removeprefix('unix:'))}")
    if _TCP_ADDRESS.match(path):
        raise ValueError(
            f"{show_value(path)} is an address of TCP, and backends listen on Unix sockets: write the path of one "
            f'("./{path}" for a file of that name)'
        )
    return path


class BackendSettings(Table):
    """One table of `backends`. The door's `backend()` gives it with what it inherits from "*"."""

    command: Annotated[tuple[_Text, ...], AfterValidator(_check_command), BeforeValidator(check_shell_line)] = ()
    processes: int = Field(default=1, ge=1, le=MOST_PROCESSES)
    stop_signal: Annotated[int, BeforeValidator(parse_signal)] = int(signal.SIGTERM)
    stop_timeout: Duration = 30.0
    restart: Literal["always", "never"] = "always"
    listen_fd: bool = False
    proxy_protocol: Literal["off", "v1", "v2"] = "off"
    env: dict[str, _Text] = Field(default_factory=dict)
    cwd: Annotated[str | None, AfterValidator(_check_cwd)] = None
    user: str = ""
    group: str = ""
    socket: Annotated[str, AfterValidator(_check_socket)] = ""

    _folder: str = PrivateAttr(default="/")

    def model_post_init(self, context: Any) -> None:
        """Remember the config's folder: paths of the config are relative to it."""
        if context is not None:
            self._folder = context["folder"]

    @property
    def external(self) -> bool:
        """Whether somebody else runs it: it has a socket and no command."""
        return bool(self.socket) and not self.command

    def inherit(self, general: BackendSettings) -> BackendSettings:
        """Give these settings with the keys that are not set here taken from `general`; `env` is merged.

        A socket of one's own takes the place of an inherited command, with all that is about how to start it; a command
        of one's own that of an inherited socket.
        """
        own = {name: getattr(self, name) for name in self.model_fields_set} | {"env": general.env | self.env}
        if self.socket:
            return general.model_copy(update=_NOT_STARTED | own)
        if self.command:
            return general.model_copy(update={"socket": ""} | own)
        return general.model_copy(update=own)

    def launch(self, *, socket: str, version: str, generation: int, process: int, runtime_dir: str) -> Launch:
        """Fill the placeholders for one process.

        `socket` and `runtime_dir` are absolute paths; `generation` counts from 1, `process` from 0.
        """
        values = {"socket": socket} | _values(version, generation, process, runtime_dir)
        env = {name: placeholders.fill(value, values) for name, value in self.env.items()}
        env |= dict(zip(OWN_ENV, (socket, version, str(generation), str(process)), strict=True))
        # Joined after the placeholders are filled: "{runtime_dir}/x" is absolute only then.
        cwd = os.path.normpath(os.path.join(self._folder, placeholders.fill(self.cwd or ".", values)))
        return Launch(tuple(placeholders.fill(word, values) for word in self.command), env, cwd)

    def address(self, *, version: str, generation: int, process: int, runtime_dir: str) -> str:
        """Give the absolute path of the socket that an external backend listens on."""
        path = placeholders.fill(self.socket, _values(version, generation, process, runtime_dir))
        return os.path.normpath(os.path.join(self._folder, path))


# What an external backend does not take from the table that it inherits: it is for processes that are started here.
_NOT_STARTED = {
    name: BackendSettings.model_fields[name].get_default() for name in ("command", "listen_fd", "cwd", "user", "group")
}


def _values(version: str, generation: int, process: int, runtime_dir: str) -> dict[str, str]:
    return {
        "version": version,
        "generation": str(generation),
        "python": sys.executable,
        "runtime_dir": runtime_dir,
        "process": str(process),
    }
