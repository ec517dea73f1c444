"""The memfd in which one door process leaves what it has compiled, for the next one (``door.bytecode``).

It is not in the vault: a door process wants it before it has loaded the code that asks for that. Nothing here reads it.
"""

import os

VARIABLE = "FRONTDOOR_BYTECODE"
"""In a door process' environment: the number of the descriptor."""

_memory: int | None = None


def memory() -> int | None:
    """The descriptor, which is made when it is asked for first. None: there is no room for it, and all goes without."""
    global _memory  # this process has one, as it has one environment
    if _memory is None:
        try:
            _memory = os.memfd_create("frontdoor-bytecode")
        except OSError:
            return None
    return _memory


def remember() -> int | None:
    """For a renewal of the keeper: the number of the descriptor, if there is one."""
    return _memory


def recall(number: int | None) -> None:
    """After a renewal: that is it."""
    global _memory
    _memory = number
