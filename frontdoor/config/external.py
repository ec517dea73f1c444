"""Backends that somebody else runs: what must hold of a version that has a socket and no command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from frontdoor.config import placeholders
from frontdoor.config.addresses import CONTROL_SOCKET, check_socket_path
from frontdoor.config.backends import EVERY_VERSION, BackendSettings, UnknownVersion
from frontdoor.config.problem import Path, show_key, show_value
from frontdoor.config.settings import DoorSettings

_ABOUT_PROCESSES = ("stop_signal", "stop_timeout", "restart", "listen_fd", "env", "cwd", "user", "group")

Source = Literal["command", "socket", "both", "nothing"]
"""What a version's backend is: started here, run by somebody else, or what neither can be."""

_MANY_GENERATIONS = 999_999
"""The number of a generation that the check of a path's length leaves room for."""


def source_of(table: object, general: object) -> Source:
    """Say what a version's backend is, from its own table and the one that it inherits: {} where there is none."""
    own, inherited = _written(table), _written(general)
    if own == "nothing" and inherited == "socket" and isinstance(table, dict) and "socket" in table:
        return "nothing"  # socket = "": not the inherited one
    return inherited if own == "nothing" else own


def _written(table: object) -> Source:
    if not isinstance(table, dict):
        return "command"  # its type is what is wrong, and not what is missing in it
    command, socket = "command" in table, table.get("socket", "") != ""
    if command and socket:
        return "both"
    return "command" if command else "socket" if socket else "nothing"


def external_faults(table: object, place: Path) -> Iterator[tuple[Path, str]]:
    """Find what no external backend can have, in the door that stands at `place`."""
    backends = table.get("backends") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(backends, dict):
        return
    general = backends.get(EVERY_VERSION, {})
    external = []
    for name, own in backends.items():
        if not isinstance(own, dict):
            continue
        inherited = {} if name == EVERY_VERSION else general
        source = source_of(own, inherited)
        path = (*place, "backends", name)
        if source == "both" and "command" in own:
            yield (*path, "socket"), "cannot stand beside command: a backend is started, or somebody else runs it"
        elif source == "socket":
            external.append(show_key(path))
            yield from _meaningless_faults(own, path)
            yield from _process_faults(own, inherited if isinstance(inherited, dict) else {}, path)
    if external:
        yield from _told_faults(table, external[0], place)


def _told_faults(table: dict[str, object], external: str, place: Path) -> Iterator[tuple[Path, str]]:
    """Find what only who starts a process can be told by it, or tell it."""
    ready, drain = table.get("ready"), table.get("drain")
    if isinstance(ready, dict) and ready.get("check") == "notify":
        why = f"frontdoor does not start {external}, and whoever does has no $NOTIFY_SOCKET"
        yield (*place, "ready", "check"), f'"notify" cannot hold: {why}; write "connect" or "http:/path"'
    notify = drain.get("notify") if isinstance(drain, dict) else None
    if isinstance(notify, str) and notify and not notify.startswith("http:"):
        why = f"frontdoor does not start {external}, and knows no process to send it to"
        yield (*place, "drain", "notify"), f'a signal cannot arrive: {why}; write "http:/path", or ""'


def socket_faults(door: DoorSettings, runtime_dir: str) -> Iterator[tuple[Path, str]]:
    """Find external sockets that cannot be dialled: too long a path, or one on which frontdoor itself listens."""
    own = {address.removeprefix("unix:") for address in door.listen if address.startswith("unix:")}
    own.add(os.path.join(runtime_dir, CONTROL_SOCKET))
    for version in dict.fromkeys((*door.versions(), door.active)):
        backend = _external(door, version)
        if backend is None:
            continue
        table = version if version in door.backends and door.backends[version].socket else EVERY_VERSION
        path = (*door.place, "backends", table, "socket")
        message = _dial_fault(backend, version, own, runtime_dir)
        if message:
            yield path, message


def _external(door: DoorSettings, version: str) -> BackendSettings | None:
    try:
        backend = door.backend(version)
    except UnknownVersion:
        return None  # that is what is wrong, and has been said
    return backend if backend.external else None


def _dial_fault(backend: BackendSettings, version: str, own: set[str], runtime_dir: str) -> str | None:
    longest = backend.address(
        version=version, generation=_MANY_GENERATIONS, process=backend.processes - 1, runtime_dir=runtime_dir
    )
    try:
        check_socket_path(longest)
    except ValueError as error:
        return f"{error}; use a shorter path"
    if backend.address(version=version, generation=1, process=0, runtime_dir=runtime_dir) in own:
        return "frontdoor itself listens there; write the path on which the backend does"
    return None


def _meaningless_faults(own: dict[str, object], path: Path) -> Iterator[tuple[Path, str]]:
    for key in _ABOUT_PROCESSES:
        if own.get(key) not in (None, False, "", {}):
            yield (
                (*path, key),
                "means nothing here: this backend has a socket and no command, so somebody else runs it; take it out",
            )


def _process_faults(own: dict[str, object], general: dict[str, object], path: Path) -> Iterator[tuple[Path, str]]:
    if "socket" not in own and "processes" not in own:
        return  # it is said of the table that this one inherits
    socket = own.get("socket", general.get("socket"))
    count = own.get("processes", general.get("processes", 1))
    if (
        not isinstance(socket, str)
        or not isinstance(count, int)
        or count < 2
        or "process" in placeholders.found(socket)
    ):
        return
    key = "socket" if "socket" in own else "processes"
    inherited = "" if "processes" in own else f" (of [{show_key((*path[:-1], EVERY_VERSION))}])"
    shared = f"processes = {count}{inherited}, and {show_value(socket)} is one socket for all of them"
    yield (*path, key), f"{shared}: put {{process}} in it, or write processes = 1"
