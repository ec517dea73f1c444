"""The client's end of the control socket: to connect, and what can go wrong with a call.

Apart from the HTTP over it (:mod:`frontdoor.control.client`): to find that nothing is running must not cost
the import of an HTTP library.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

CONNECT_TIMEOUT = 5  # seconds in a full backlog


class ControlError(Exception):
    """A call that did not come to its end; the message is for the user, `exit_code` the contract's."""

    exit_code = 1


class NotRunning(ControlError):  # noqa: N818 - the contract's words
    """Nothing answers at that socket."""

    exit_code = 3


class NotAllowed(ControlError):  # noqa: N818 - as above
    """Something answers there, but not to this user."""


class Broken(ControlError):  # noqa: N818 - as above
    """The connection ended in the middle: the door process died, or frontdoor has stopped."""


class Refused(ControlError):  # noqa: N818 - as above
    """Frontdoor said no. `answer` is all it said, `status` the HTTP status."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        code = answer.get("exit_code")
        super().__init__(str(answer.get("error", f"the control socket answered with status {status}")))
        self.status = status
        self.answer = answer
        self.exit_code = code if isinstance(code, int) else 1


def connect(path: str) -> socket.socket:
    """Connect to the control socket at `path`.

    Raises :exc:`NotRunning`, or :exc:`NotAllowed` if it is another user's.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        # A blocking connect waits in a full backlog; unix(7) bounds that with the send timeout. A socket
        # that Python has given a timeout is non-blocking, and gets EAGAIN at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_TIMEOUT, 0))
        sock.connect(path)
    except PermissionError:
        sock.close()
        raise NotAllowed(f"no permission to use {path}: it belongs to another user") from None
    except BlockingIOError:
        sock.close()
        raise NotRunning(f"the frontdoor at {path} does not take calls: it is too busy, or stopped") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        sock.close()
        why = getattr(error, "strerror", None) or str(error)
        raise NotRunning(f"no frontdoor is running at {path} ({why[:1].lower()}{why[1:]})") from None
    except BaseException:
        sock.close()
        raise
    return sock
