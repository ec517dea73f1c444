"""Maintenance: each request of an http door is answered 503, and nothing is stopped.

What is open stays: an answer that is under way is delivered, a WebSocket goes on. Backends run, and may be swapped. It
lasts until it is ended: a crash of this process, an upgrade and a new start of frontdoor do not end it, for what is
being maintained is most likely not ready for visitors yet.
"""

import time
from typing import TYPE_CHECKING

from frontdoor.control.operator import USAGE, Refused
from frontdoor.traffic.gate import Maintenance

if TYPE_CHECKING:
    from frontdoor.door.door import Door

MESSAGE = "Down for maintenance. Please try again in a little while."
"""For who says no other."""

LONGEST_MESSAGE = 1000
"""Characters. It is kept in a note and in the state file, and is meant for a small page."""

LONGEST_WAIT = 30 * 86400
"""Seconds of Retry-After: who has to say more than a month should say it in words."""


class Maintaining:
    """Whether one door is in maintenance."""

    def __init__(self, door: "Door") -> None:
        self._door = door

    def __repr__(self) -> str:
        return f"<Maintaining {self.now}>"

    @property
    def now(self) -> Maintenance | None:
        """What requests are answered with; None: it is not in maintenance."""
        return self._door.gate.maintenance

    def begin(self, message: str | None, retry_after: int | None) -> bool:
        """Answer requests with this from here on. False: that is so already. Raises Refused."""
        door, now = self._door, self.now
        if door.settings.protocol != "http":
            raise Refused(
                USAGE,
                f'the door {door.name} has protocol = "tcp": it knows of no requests, and can answer none; '
                f"with frontdoor pause its clients wait",
            )
        if message is None:
            message = MESSAGE
        if wrong := problem(message, retry_after):
            raise Refused(USAGE, wrong)
        if now is not None and (now.message, now.retry_after) == (message, retry_after):
            return False
        door.gate.maintenance = Maintenance(message, retry_after, now.since if now is not None else time.time())
        door.say("maintenance.on", message=message)
        return True

    def end(self, reason: str | None = None) -> bool:
        """Requests go to the backends again. False: there was no maintenance."""
        now, self._door.gate.maintenance = self.now, None
        if now is None:
            return False
        self._door.say("maintenance.off", message=now.message, reason=reason)
        return True

    def restore(self, maintenance: Maintenance | None) -> None:
        """It was so before this process was there."""
        self._door.gate.maintenance = maintenance if self._door.settings.protocol == "http" else None


def problem(message: object, retry_after: object) -> str:
    """What is wrong with what visitors are to be told; empty: nothing is."""
    if not isinstance(message, str) or not 0 < len(message) <= LONGEST_MESSAGE:
        return f"the message is a text of 1 to {LONGEST_MESSAGE} characters"
    if not all(char.isprintable() or char == "\n" for char in message):
        return "the message has a character that cannot be printed: write plain text"
    if retry_after is not None and not (type(retry_after) is int and 0 <= retry_after <= LONGEST_WAIT):
        return f"the time after which to try again is 0 to {LONGEST_WAIT} whole seconds, which is a month"
    return ""
