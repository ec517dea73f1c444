"""Those who follow: answers that go on as things happen, and how many of them there may be at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext

from starlette.responses import Response

from .answers import Lines, Opened, Source
from .feed import Event, Follower
from .operator import FAILED, Refused
from .turns import Turns

MAX_FOLLOWERS = 128  # half of the connections: whoever follows cannot keep out whoever asks
UNAVAILABLE = 503


class Followers:
    """The followers of one listener, who share the `turns` in which they are served."""

    def __init__(self, most: int | None = None, hint: str = "") -> None:
        """`most` at once, MAX_FOLLOWERS if it is not said; `hint`: what whoever comes then is told besides."""
        self.turns = Turns()
        self._count = 0
        self._most = most
        self._hint = hint

    def __repr__(self) -> str:
        return f"<Followers: {self._count}>"

    def check(self) -> None:
        """Raise :exc:`Refused` if there is no room for one more."""
        most = MAX_FOLLOWERS if self._most is None else self._most
        if self._count >= most:
            raise Refused(
                FAILED,
                f"{most} clients follow already; end one, or try again later{self._hint}",
                status=UNAVAILABLE,
            )

    def lines(self, opened: Opened, headers: Mapping[str, str] | None = None, kind: type[Lines] = Lines) -> Response:
        """Answer with what `opened` gives, as it comes. Raises :exc:`Refused`."""
        self.check()
        return kind(lambda: self._counted(opened), self.turns, headers)

    def past(self, lines: list[Event]) -> Response:
        """Answer with what there is, and end. Raises :exc:`Refused`."""
        there = Follower(lines, len(lines))
        there.close()
        return self.lines(lambda: nullcontext(there))

    @asynccontextmanager
    async def _counted(self, opened: Opened) -> AsyncIterator[Source]:
        self._count += 1
        try:
            async with opened() as lines:
                yield lines
        finally:
            self._count -= 1
