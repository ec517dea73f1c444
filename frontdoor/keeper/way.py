"""The way to a path: whoever can change a step of it decides what is found at its end.

Root who opens, binds or gives away something by its path does so wherever somebody else has let it lead. So before
root's rights are used on a path, it is asked here whose the way is.
"""

import errno
import os
import stat
from collections.abc import Iterator

from frontdoor.keeper.identity import Identity, acting_as

_MOST_LINKS = 40
"""As the kernel follows (path_resolution(7))."""


def steps(path: str) -> Iterator[str]:
    """Each folder, each link, and last what is found there. Ends with what does not exist; raises OSError."""
    to_go, here, links = os.path.abspath(path).split("/")[::-1], "/", 0
    yield here
    while to_go:
        name = to_go.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        if not os.path.lexists(step):
            return
        yield step
        if not os.path.islink(step):
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        here = "/" if target.startswith("/") else here
        to_go += target.split("/")[::-1]


def is_roots_alone(folder: str) -> bool:
    """Whether nobody but root can change where this folder is, or will be, or put something into it."""
    sticky = False
    for step in steps(folder):
        found = os.lstat(step)
        if found.st_uid != 0:
            return False
        if stat.S_ISLNK(found.st_mode):
            continue  # its mode means nothing
        # Of an ACL the group's bits are the mask: at least as much as anybody has by it.
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = bool(writable)
        if writable and not found.st_mode & stat.S_ISVTX:
            return False
    return not sticky  # as /tmp: what root has in it is safe there, but anybody can put something beside it


def changeable_by(identity: Identity, path: str) -> str | None:
    """The first step on the way to ``path`` that this user can change; None: he cannot change what is found there."""
    for step in steps(path):
        found = os.lstat(step)
        if found.st_uid == identity.uid:
            return step
        if stat.S_ISLNK(found.st_mode):
            continue  # who can replace it can write into its folder, or owns it
        if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
            continue  # as /tmp: what stands in it can be replaced by its owner alone
        with acting_as(identity):
            if os.access(step, os.W_OK, effective_ids=True):
                return step
    return None
