"""Who this process runs as, and who the config says that it should: ``[frontdoor] user``."""

import os
import pwd

from frontdoor.door.refusal import CannotStart


def refuse_root(user: str) -> None:
    """Raise CannotStart if this process runs as root, and the config names somebody else.

    It is the keeper that changes the user, and it reads the config before this one does.
    """
    if user and os.geteuid() == 0 and _is_not_root(user):
        raise CannotStart(f"[frontdoor] user was set to {user} while frontdoor was being started: start it again")


def why_ignored(user: str) -> str:
    """Why this process does not run as that user; empty when it does, or when none is named."""
    me = os.geteuid()
    try:
        if not user or pwd.getpwnam(user).pw_uid == me:
            return ""
    except KeyError:
        pass  # whoever that is, it is nobody of this machine
    return f"only a frontdoor that is started by root can run as {user}: it runs as uid {me}"


def _is_not_root(user: str) -> bool:
    try:
        return pwd.getpwnam(user).pw_uid != 0
    except KeyError:
        return True
