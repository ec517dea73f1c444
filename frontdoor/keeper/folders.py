"""Folders that root makes for others, and gives away: the runtime folder, the state's, those of generations.

What must hold: nobody gets a folder, a file or a right by these that he could not have had without. So everything is
opened first, and what is looked at then, above all whose it is, and what is changed is what was opened.
"""

import errno
import os
import re
import shutil
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from frontdoor.keeper.identity import Identity, acting_as
from frontdoor.keeper.way import is_roots_alone

_GENERATION = re.compile(r"g[0-9]{1,9}")
_DOOR = re.compile(r"(?!g[0-9]+\Z)[A-Za-z][A-Za-z0-9_-]{0,31}")
_SOCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_OURS = re.compile(r"control\.sock|frontdoor\.pid|state\.json(\.new|\.bad)?|admin\.token(\.new)?")
"""What a frontdoor that ran as root has left behind in a runtime folder, or in the state's."""

_REPORTS = "swaps"
"""The folder with the reports of swaps, in that of the state. It has files only."""

_ACCESS_ACL = "system.posix_acl_access"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderError(Exception):
    """A folder cannot be made, or given away; the text says why and what to do."""


def make(path: str, owner: Identity, key: str, mode: int) -> None:
    """Make a folder that belongs to ``owner``; ``key``: what names it in the config.

    One that is his already stays as it is. One of root's becomes his, with what frontdoor has left in it, if there is
    nothing else in it. What belongs to anybody else is left alone: it is refused where it is used. Raises FolderError.
    """
    try:
        if not os.path.lexists(path):
            _make(path, owner, mode)
        elif os.stat(path).st_uid == 0 and os.path.isdir(path):
            _hand_down(path, owner, mode)
    except PermissionError:
        text = f"the folder {path} cannot be made for the {owner}, since the way to it is not root's alone"
        raise FolderError(f"{text}: make it yourself, and chown it to him, or name another one as {key}") from None
    except OSError as error:
        text = f"the folder {path} cannot be made for the {owner} ({error.strerror})"
        raise FolderError(f"{text}: name another one as {key}") from None
    except _InUse as other:
        text = f"the folder {path} belongs to root, and has other things in it ({other}): it does not become that of"
        raise FolderError(f"{text} the {owner}; name a folder of its own as {key}, or chown it to him") from None


class _InUse(Exception):  # noqa: N818 - it says what else is in the folder
    pass


def _make(path: str, owner: Identity, mode: int) -> None:
    try:
        with acting_as(owner):  # where he may do it himself root need not look whose the way is
            os.makedirs(path, mode)
            os.chmod(path, mode)  # whatever the umask
            return
    except PermissionError:
        above = os.path.dirname(path)
        if not is_roots_alone(above):
            raise
    before = os.umask(0o022)
    try:
        os.makedirs(above, exist_ok=True)
        os.mkdir(path, 0o700)
    finally:
        os.umask(before)
    with _opened(path) as folder:
        os.fchmod(folder, mode)
        os.fchown(folder, owner.uid, owner.gid)


def _hand_down(path: str, owner: Identity, mode: int) -> None:
    """Root's folder becomes his: it was used by a frontdoor without a user, or the service manager has made it."""
    real = os.path.realpath(path)
    if not is_roots_alone(path):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    with _opened(real) as folder:
        names = os.listdir(folder)
        known = (_OURS.fullmatch, _GENERATION.fullmatch, _REPORTS.__eq__)
        others = [name for name in sorted(names) if not any(is_known(name) for is_known in known)]
        if others:
            raise _InUse(others[0])
        # Nobody but root could have put anything there up to now; from the last line on that is over.
        for name in names:
            if _GENERATION.fullmatch(name):
                shutil.rmtree(os.path.join(real, name), ignore_errors=True)
                continue
            if name == _REPORTS:
                _hand_down_reports(os.path.join(real, name), owner)
            os.chown(name, owner.uid, owner.gid, dir_fd=folder, follow_symlinks=False)
        os.fchmod(folder, mode)
        os.fchown(folder, owner.uid, owner.gid)


def _hand_down_reports(path: str, owner: Identity) -> None:
    if os.path.islink(path) or not is_roots_alone(path):
        return  # he cannot write there then, and frontdoor says so
    with _opened(path) as folder:
        for name in os.listdir(folder):
            os.chown(name, owner.uid, owner.gid, dir_fd=folder, follow_symlinks=False)


# -- of generations ----------------------------------------------------------------------------------------------------


def give(runtime_dir: str, path: str, owner: Identity, door: Identity) -> None:
    """Give the folder of a generation to the user that it runs as; the door process comes in as before.

    The app's own sockets need not let anybody but the app in: the folder keeps all others out. ``door``: who the door
    process runs as. He gets an entry in the folder's access control list (acl(5)), since its group may have others in
    it. Raises FolderError, OSError.
    """
    with _generation(runtime_dir, path) as folder:
        found = os.fstat(folder)
        if found.st_uid not in (door.uid, owner.uid):
            raise FolderError(f"the folder {path} belongs to another user (uid {found.st_uid})")
        if owner.uid == door.uid:
            return
        try:
            os.setxattr(folder, _ACCESS_ACL, _only(door.uid))
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            why = "its file system has no access control lists, and without them frontdoor could not reach its sockets"
            raise FolderError(f"{path} cannot be given to the {owner}: {why}; name a runtime_dir below /run") from None
        os.fchown(folder, owner.uid, owner.gid)


def let_in(runtime_dir: str, path: str, door: Identity) -> None:
    """Let the door process dial a socket in the folder of a generation, whatever rights the app has made it with.

    Raises FolderError, OSError.
    """
    above, name = os.path.split(path)
    if not _SOCKET.fullmatch(name):
        raise FolderError(f"{path} is no socket of a generation")
    with _generation(runtime_dir, above) as folder:
        home = os.fstat(folder)
        # Not opened, as it were, but held: what is changed below is what is looked at here, and no other thing.
        sock = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            found = os.fstat(sock)
            # Whoever is the folder's user made it there; one with two names might be somebody's elsewhere.
            if not stat.S_ISSOCK(found.st_mode) or found.st_uid != home.st_uid or found.st_nlink != 1:
                raise FolderError(f"{path} is no socket of that generation's own")
            if found.st_uid != door.uid:
                # setxattr(2) does not take such a descriptor itself.
                os.setxattr(f"/proc/self/fd/{sock}", _ACCESS_ACL, _only(door.uid, 6))
        finally:
            os.close(sock)


def _only(uid: int, rights: int = 7) -> bytes:
    """An access control list: the owner and this user have these rights, and nobody else has any (acl(5)).

    The form is the kernel's: version 2, then tag, rights and id of each entry (linux/posix_acl_xattr.h).
    """
    nobody = 0xFFFFFFFF
    owner, user, group, mask, others = 0x01, 0x02, 0x04, 0x10, 0x20
    entries = [(owner, rights, nobody), (user, rights, uid), (group, 0, nobody), (mask, rights, nobody)]
    entries.append((others, 0, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@contextmanager
def _generation(runtime_dir: str, path: str) -> Iterator[int]:
    """The folder of a generation: ``g7`` or ``DOOR/g7`` in the runtime folder, and nothing else."""
    names = path.removeprefix(f"{runtime_dir}/").split("/") if path.startswith(f"{runtime_dir}/") else []
    kinds: Sequence[re.Pattern[str]] = (_GENERATION,) if len(names) == 1 else (_DOOR, _GENERATION)
    if len(names) != len(kinds) or not all(kind.fullmatch(name) for kind, name in zip(kinds, names, strict=True)):
        raise FolderError(f"{path} is no folder of a generation in {runtime_dir}")
    with _opened(runtime_dir, *names) as folder:
        yield folder


@contextmanager
def _opened(path: str, *names: str) -> Iterator[int]:
    """A folder: at ``path``, and from there on by name, where none is a link. Raises OSError."""
    folder = os.open(path, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for name in names:
            above, folder = folder, os.open(name, _FOLDER, dir_fd=folder)
            os.close(above)
        yield folder
    finally:
        os.close(folder)
