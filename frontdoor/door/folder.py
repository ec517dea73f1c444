"""The runtime folder: made, checked, and locked against a second frontdoor."""

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterable

PID_FILE = "frontdoor.pid"
CONTROL_SOCKET = "control.sock"

MAIN = "main"
"""The door whose generations have their folders right in the runtime folder."""


class FolderError(Exception):
    """The folder cannot be used; the text says why and what to do."""


def prepare(path: str) -> None:
    """Make the folder, or make sure that nobody else could put a socket of his own there.

    Raises FolderError.
    """
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
        found = os.stat(path)
    except (FileExistsError, NotADirectoryError):
        raise FolderError(f"{path} is not a folder: name another one as [frontdoor] runtime_dir") from None
    except OSError as error:
        raise FolderError(
            f"the runtime folder {path} cannot be made ({error.strerror}): name another one as [frontdoor] runtime_dir"
        ) from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FolderError(
            f"others may write into the runtime folder {path} (mode {stat.S_IMODE(found.st_mode):04o}), "
            f"and could put a socket of their own there: chmod go-w {path}, "
            "or name another one as [frontdoor] runtime_dir"
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise FolderError(
            f"the runtime folder {path} belongs to another user (uid {found.st_uid}): "
            "name one of your own as [frontdoor] runtime_dir"
        )
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise FolderError(f"the runtime folder {path} is not writable: name another one as [frontdoor] runtime_dir")


def lock(path: str, pid: int) -> int:
    """Take the folder; the locked descriptor of its pid file, which says ``pid``.

    The lock belongs to the open file description (flock(2)), which the keeper holds from here on: it ends with the
    keeper, however that ends, so a pid file that was left behind is never in the way.

    Raises FolderError when another frontdoor has it.
    """
    name = os.path.join(path, PID_FILE)
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise FolderError(f"the pid file {name} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        other = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise FolderError(
            f"another frontdoor (pid {other or 'unknown'}) runs in {path}, and goes on: stop it with `frontdoor stop`, "
            "or name another folder as [frontdoor] runtime_dir"
        ) from None
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{pid}\n".encode(), 0)
    except OSError as error:
        os.close(fd)
        raise FolderError(f"the pid file {name} cannot be written: {error.strerror}") from None
    return fd


def sweep(path: str, doors: Iterable[str]) -> None:
    """Remove the sockets of generations that nobody stopped: the keeper before this one was killed.

    ``doors``: only where these have theirs: the folder may be the user's own in other respects.
    """
    for home in {door_home(path, door) for door in doors}:
        if not os.path.isdir(home):
            continue
        for name in os.listdir(home):
            if re.fullmatch(r"g[0-9]+", name):
                shutil.rmtree(os.path.join(home, name), ignore_errors=True)


def door_home(path: str, door: str) -> str:
    """The folder in which that door's generations have theirs; ``path``: the runtime folder."""
    return path if door == MAIN else os.path.join(path, door)


def clear(path: str, doors: Iterable[str] = ()) -> None:
    """Remove what only a running frontdoor has. The folder itself stays: it may be the service manager's."""
    for door in doors:
        if door != MAIN:
            try:
                os.rmdir(door_home(path, door))
            except OSError:
                pass  # it is not empty: somebody else has put something there
    for name in (CONTROL_SOCKET, PID_FILE):
        try:
            os.unlink(os.path.join(path, name))
        except OSError:
            pass  # it was removed already, or cannot be: the next start copes with it
