"""Who a child runs as: the names of a config, looked up before the fork."""

import grp
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class IdentityError(Exception):
    """There is no such user or group; the text says which."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of a process, and what its environment says of them."""

    name: str
    """In words: ``user app``, ``user app and group www``."""
    uid: int
    gid: int
    groups: Sequence[int]
    """All groups that it is in (setgroups(2))."""
    env: Mapping[str, str]

    def __str__(self) -> str:
        return self.name


def look_up(user: str, group: str) -> Identity | None:
    """The identity of that user and group; "" stands for none. None: neither is named.

    A group alone leaves the user as it is, and takes all other groups away. Raises IdentityError.
    """
    if not user and not group:
        return None
    name = " and ".join(f"{kind} {value}" for kind, value in (("user", user), ("group", group)) if value)
    try:
        gid = grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        raise IdentityError(f"there is no group called {group!r} on this machine") from None
    if not user:
        assert gid is not None
        return Identity(name, os.getuid(), gid, [gid], {})
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise IdentityError(f"there is no user called {user!r} on this machine") from None
    gid = entry.pw_gid if gid is None else gid
    # As systemd.exec(5) does: an app that looks for its files in root's home finds them closed to it.
    env = {"HOME": entry.pw_dir, "LOGNAME": user, "USER": user, "SHELL": entry.pw_shell}
    return Identity(name, entry.pw_uid, gid, os.getgrouplist(user, gid), env)


@contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Have the rights of that user on files, and no others, while this lasts; None: our own.

    The real and the saved user stay root (credentials(7)): he can neither signal nor trace this process meanwhile, and
    there is a way back. It is of the whole process, which must have one thread. Raises PermissionError if not root.
    """
    if identity is None:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    try:
        os.setgroups(identity.groups)
        os.setegid(identity.gid)
        os.seteuid(identity.uid)  # last: from here on nothing of the kind is allowed
        yield
    finally:
        os.seteuid(uid)  # first, for the same reason
        os.setegid(gid)
        os.setgroups(groups)
