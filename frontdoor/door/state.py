"""What outlives frontdoor: which version each door serves, its maintenance, and the numbers that are never given again.

A small JSON file, replaced as a whole: at any moment, a loss of power included, there is the old one or the new one.
"""

import errno
import json
import os
import reprlib
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import trio

from frontdoor.config.backends import VERSION
from frontdoor.door.maintaining import problem
from frontdoor.traffic.gate import Maintenance

SCHEMA = 2
"""Of the file. Any change to what is in it takes the next number: a file of another one is not guessed at."""

WITHOUT_MAINTENANCE = 1
"""Of the file in which no door is in maintenance: a frontdoor that does not know what that is can read it."""

LARGEST_FILE = 1 << 20
"""Bytes that are read. A thousand doors need a fifth of it."""

LARGEST_MOMENT = 253_402_300_799
"""Seconds since the epoch: the end of the year 9999, after which there are no dates."""

LARGEST_NUMBER = 999_999_999
"""Of a generation or a swap: one a second for thirty years. What is larger was not counted by frontdoor."""


@dataclass(frozen=True, slots=True)
class DoorState:
    """One door."""

    active: str
    """The version that served last."""
    configured: str
    """The config's ``active`` at that time: a swap overrides it until it is changed."""
    previous: str | None
    """The version that ``rollback`` goes back to."""
    next_generation: int
    next_swap: int
    maintenance: Maintenance | None = None
    """What its requests are answered with. A door that is not in maintenance does not have the key at all."""


class StateError(Exception):
    """The state cannot be read, or cannot be kept: what is wrong, in one line for the user."""


def choose(config_active: str, state: DoorState | None, known: Callable[[str], bool]) -> tuple[str, str]:
    """Choose the version to start; and why, in a line for the log, where it is not the obvious one ("" else).

    The contract's rule of ``active``: what a swap has made active stays so over restarts, until the key itself is
    changed. ``known`` says whether the config has a version.
    """
    if state is None or state.active == config_active:
        return config_active, ""
    if state.configured != config_active:
        was = f'{state.active} was active; `active` in the config has been changed to "{config_active}" since'
        return config_active, f"{was}: {config_active} serves"
    if not known(state.active):
        return config_active, f"{state.active} was active and is not in the config any more: {config_active} serves"
    return state.active, f'{state.active} serves, as a swap has decided; the config says `active = "{config_active}"`'


# -- reading -------------------------------------------------------------------------------------------------------


def read(path: str) -> dict[str, DoorState]:
    """Door → its state; empty when there is no such file yet. Blocks for as long as the disk does.

    Raises StateError when there is one that cannot be read or believed: what was active is not known then, and that
    has to be said.
    """
    data = _content(path)
    if data is None:
        return {}
    if not data.strip():
        raise StateError(f"the state file {path} is empty")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise StateError(f"the state file {path} is damaged or cut short") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if type(schema) is int and schema not in (SCHEMA, WITHOUT_MAINTENANCE):
        age = "a newer" if schema > SCHEMA else "an older"
        raise StateError(
            f"the state file {path} is of {age} frontdoor (schema {reprlib.repr(schema)}; this one knows {SCHEMA})"
        )
    try:
        return _decode(found)
    except _WrongValue as wrong:
        raise StateError(f"the state file {path} says what cannot be: {wrong}") from None


def set_aside(path: str) -> str | None:
    """Keep a file that cannot be read under another name, for whoever wants to look; None when that cannot be done.

    One is kept: the one before it is replaced.
    """
    aside = f"{path}.bad"
    try:
        os.rename(path, aside)
    except OSError:
        return None
    return aside


def _content(path: str) -> bytes | None:
    try:
        # Non-blocking: it may be a FIFO that nobody ever writes to.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise StateError(f"the state file {path} is not a file")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(LARGEST_FILE + 1)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"the state file {path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise StateError(f"the state file {path} is too large to be one")
    return data


class _WrongValue(Exception):  # noqa: N818 - it says what it is, and leaves this module in words only
    """A value that no frontdoor has written."""


def _decode(found: object) -> dict[str, DoorState]:
    whole = _table("it", found, {"schema", "doors"})
    if type(whole["schema"]) is not int:
        raise _WrongValue(f"schema is {_shown(whole['schema'])}")
    doors = whole["doors"]
    if not isinstance(doors, dict):
        raise _WrongValue(f"doors is {_shown(doors)}")
    return {name: _decode_door(f"doors.{reprlib.repr(name)}", door) for name, door in doors.items()}


def _decode_door(where: str, found: object) -> DoorState:
    maintained = isinstance(found, dict) and "maintenance" in found
    keys = {field.name for field in fields(DoorState)} - (set() if maintained else {"maintenance"})
    door = _table(where, found, keys)
    maintenance = _decode_maintenance(f"{where}.maintenance", door.pop("maintenance")) if maintained else None
    for key, value in door.items():
        if not (_is_number(value) if key.startswith("next_") else _is_version(value) or (key, value) == _NONE_BEFORE):
            raise _WrongValue(f"{where}.{key} is {_shown(value)}")
    return DoorState(**door, maintenance=maintenance)


def _decode_maintenance(where: str, found: object) -> Maintenance:
    table = _table(where, found, {field.name for field in fields(Maintenance)})
    wait, since = table["retry_after"], table["since"]
    if wrong := problem(table["message"], wait):
        raise _WrongValue(f"{where}: {wrong}")
    if type(since) not in (int, float) or not 0 <= since <= LARGEST_MOMENT:
        raise _WrongValue(f"{where}.since is {_shown(since)}")
    return Maintenance(**table)


_NONE_BEFORE = ("previous", None)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and VERSION.match(value) is not None


def _is_number(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST_NUMBER  # true is an int too


def _table(where: str, found: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _WrongValue(f"{where} is {_shown(found)}")
    if found.keys() != keys:
        missing, more = sorted(keys - found.keys()), sorted(found.keys() - keys)
        raise _WrongValue(f"{where} has no {missing[0]}" if missing else f"{where} has a {reprlib.repr(more[0])}")
    return found


def _shown(value: object) -> str:
    return f"a {type(value).__name__}" if isinstance(value, (list, dict)) else reprlib.repr(value)


# -- writing -------------------------------------------------------------------------------------------------------


def encode(doors: Mapping[str, DoorState]) -> bytes:
    """What is in the file."""
    maintained = any(door.maintenance is not None for door in doors.values())
    schema = SCHEMA if maintained else WITHOUT_MAINTENANCE
    whole = {"schema": schema, "doors": {name: _encode_door(door) for name, door in doors.items()}}
    return json.dumps(whole, indent=1).encode() + b"\n"


def _encode_door(door: DoorState) -> dict[str, Any]:
    return {key: value for key, value in asdict(door).items() if (key, value) != ("maintenance", None)}


class StateFile:
    """The file while frontdoor runs: written in a thread, so that a hung disk hangs those alone who wait for it."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._asked = 0
        self._newest: tuple[int, bytes] = (0, b"")
        self._written = 0
        # Of its own: a hung disk takes no thread from anybody else. Its one token stays with the thread, also when
        # the one who waited for it was cancelled: so an older state never overtakes a newer one.
        self._turn = trio.CapacityLimiter(1)

    def __repr__(self) -> str:
        return f"<StateFile {self.path}: {self._written} of {self._asked} written>"

    async def write(self, doors: Mapping[str, DoorState]) -> None:
        """Replace what is in the file; it is on the disk when this returns. Who comes last wins.

        Cancelled, it stops waiting: what has been begun is finished all the same.

        Raises StateError when it cannot be written. The file says what it said before, then.
        """
        self._asked += 1
        self._newest = (self._asked, encode(doors))
        try:
            await trio.to_thread.run_sync(self._write, self._asked, abandon_on_cancel=True, limiter=self._turn)
        except OSError as error:
            raise StateError(
                f"the state file {self.path} cannot be written ({error.strerror}): this frontdoor serves on, "
                "but a later one may start with a version from before"
            ) from None

    def _write(self, number: int) -> None:
        """In a thread, where nobody else writes."""
        if self._written >= number:
            return  # a newer state went with another's turn
        newest, data = self._newest
        replace(self.path, data)
        self._written = newest


def replace(path: str, data: bytes) -> None:
    """Replace a file as a whole: nobody ever sees half of it, and it has not gone when the power has.

    Raises OSError; the old file is as it was then.
    """
    folder = os.path.dirname(path)
    make(folder)
    new = f"{path}.new"
    try:
        os.unlink(new)  # of a frontdoor that was killed in the middle of this
    except FileNotFoundError:
        pass
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(fd, 0o600)  # whatever the umask
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)  # before the rename: else the name may reach the disk before what it names
        finally:
            os.close(fd)
        os.rename(new, path)
    except BaseException:
        try:
            os.unlink(new)
        except OSError:
            pass  # it was never made, or cannot be removed either: the next write does
        raise
    _sync(folder)


def make(folder: str) -> None:
    """Make a folder, if it is not there, and those above it. Raises OSError."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    make(above)
    try:
        os.mkdir(folder, 0o711)  # as the runtime folder, which it may be
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None
    _sync(above)


def _sync(folder: str) -> None:
    """Make sure that the names in a folder are on the disk (fsync(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise  # those two: a file system that cannot do that for folders, and has nothing better
    finally:
        os.close(fd)
