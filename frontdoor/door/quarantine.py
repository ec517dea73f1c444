"""Streams that are not restored, since the door processes before this one have died of them (``keeper/deaths.py``)."""

from collections.abc import Sequence

from frontdoor.keeper.deaths import Death
from frontdoor.keeper.deaths import Quarantine as Numbers
from frontdoor.observe.logs.log import Log
from frontdoor.sockets import show

SAID = 100
"""Streams of which each is said by itself. When all are left out there may be thousands."""


class Quarantine:
    """Who is left out, and that it was said."""

    def __init__(self, numbers: Numbers, deaths: Sequence[Death] = ()) -> None:
        """``deaths``: how it came to that, the oldest first."""
        self._numbers = numbers
        self._deaths = deaths
        self._count = 0

    def __repr__(self) -> str:
        return f"<Quarantine of {self._numbers or 'nobody'}>"

    def __bool__(self) -> bool:
        """Whether anybody may be left out."""
        return bool(self._numbers)

    def takes(self, number: int, door: str, client: object, log: Log) -> bool:
        """Whether the stream is left out; that is said."""
        if self._numbers != "all" and number not in self._numbers:
            return False
        self._count += 1
        if self._count <= SAID:
            log.error("stream.quarantined", door=door, stream=number, client=show(client), reason=self._why(number))
        return True

    def say_rest(self, log: Log) -> None:
        """So many more were left out than were said."""
        if self._count > SAID:
            log.error("stream.quarantined", more=self._count - SAID, reason=self._why(0))
            self._count = 0

    def _why(self, number: int) -> str:
        blamed = sum(death.suspect == number for death in self._deaths)
        if number and blamed:
            times = "" if blamed == 1 else f", {blamed} times of late"
            return f"the door process died with it in hand{times}: it is closed, and the others go on"
        return "the door process died again and again, and nobody knows of which stream: all are closed"


def tell(deaths: Sequence[Death], log: Log) -> None:
    """Say how the last one has ended: the keeper has said it on stderr alone."""
    if deaths:
        last = deaths[-1]
        log.error("door_process.died", reason=last.how, **({"stream": last.suspect} if last.suspect else {}))
