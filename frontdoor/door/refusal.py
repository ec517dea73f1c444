"""Why serving cannot begin, in words for whoever is on call."""

import errno

from frontdoor.control.operator import FAILED, USAGE
from frontdoor.keeper import stderr


class CannotStart(Exception):  # noqa: N818 - the message to the user, and the exit code
    """Serving cannot begin; the text says why and what to do."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def in_words(error: BaseException) -> str:
    """The first thing that went wrong: "LocalProtocolError: bad Sec-WebSocket-Key"."""
    leaf = _leaf(error)
    return f"{type(leaf).__name__}: {leaf}"


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def why_not(error: OSError) -> str:
    """Why an address cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "something else listens there. Stop that, or choose another address in `listen`"
    if error.errno == errno.EACCES:
        return "not allowed. A port below 1024 needs root, or the capability CAP_NET_BIND_SERVICE"
    return error.strerror or str(error)


def confess(errors: BaseExceptionGroup[CannotStart]) -> int:
    """Say it on stderr, as the last thing; the exit code."""
    leaf = _leaf(errors)
    assert isinstance(leaf, CannotStart)
    lines = "\nfrontdoor: ".join(str(leaf).splitlines()) if leaf.exit_code == USAGE else str(leaf)
    stderr.tell(f"frontdoor: {lines}")
    return leaf.exit_code
