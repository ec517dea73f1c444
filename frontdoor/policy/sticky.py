"""Stickiness: one visitor of an http door stays with one version while a canary runs.

By cookie: each visitor carries a number, made at random. It has a place on a line as an address has, and the canary
gets those up to its share. So nobody who has seen the canary goes back to the active generation, however often the
share grows; the number says nothing by itself, and means nothing when no canary runs. By header: the client says which
of the two it wants, as testers and other services do.
"""

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from frontdoor.policy.generation import Generation
from frontdoor.policy.share import Share, ShareByAddress, Turns, Visitor

MAX_AGE = 7 * 24 * 3600
"""Seconds that a visitor keeps his number. It is not renewed: few canaries last that long, and who comes without it is
only somebody new."""

_NUMBER = rb"[0-9a-f]{16}"
_YES = frozenset({b"1", b"true", b"yes", b"canary"})


class Choice(enum.Enum):
    """A client has said itself which of the two it wants: no share is asked then, and none is used up."""

    CANARY = enum.auto()
    ACTIVE = enum.auto()


class Sticky(Protocol):
    """How the visitors of a door are told apart while a canary runs."""

    def key(
        self, cookies: bytes, fields: Iterable[tuple[bytes, bytes]], canary: Generation
    ) -> tuple[object | None, bytes]:
        """By what the turn of this request goes, for ``Switchboard.lease``; None: by the client's address.

        And what its answer is to set as a cookie: the value of one Set-Cookie field; empty: nothing. ``cookies``: the
        request's, the values of all its Cookie fields joined; ``fields``: all that it has.
        """


class ByCookie:
    """Visitors are told apart by a number that their browsers keep (RFC 6265)."""

    def __init__(self, name: str, number: Callable[[], bytes]) -> None:
        """``number`` makes one for somebody new: 16 hexadecimal digits, at random."""
        self._name = name
        self._find = re.compile(rb"(?:^|;)[ \t]*%b=(%b)[ \t]*(?:;|$)" % (re.escape(name.encode()), _NUMBER)).search
        self._set = f"{name}=%b; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax".encode()
        self._number = number

    def __repr__(self) -> str:
        return f"<ByCookie {self._name}>"

    def key(
        self, cookies: bytes, fields: Iterable[tuple[bytes, bytes]], canary: Generation
    ) -> tuple[object | None, bytes]:
        """The visitor's number. Who has none, or none of ours, gets one with the answer."""
        found = self._find(cookies) if cookies else None
        if found is not None:
            return Visitor(found[1]), b""
        number = Visitor(self._number())
        return number, self._set % number


@dataclass(frozen=True)
class ByHeader:
    """A field of the request says where it is to go."""

    name: bytes
    """Lower case."""

    def key(
        self, cookies: bytes, fields: Iterable[tuple[bytes, bytes]], canary: Generation
    ) -> tuple[object | None, bytes]:
        """The choice that it makes, if it does.

        "yes" or one like it, the canary's version or its id are for the canary, all else is for the active one.
        """
        for name, value in fields:
            if name.lower() == self.name:
                wanted = value.lower() in _YES or value in (canary.version.encode(), canary.id.encode())
                return Choice.CANARY if wanted else Choice.ACTIVE, b""
        return None, b""


def sticky_of(kind: str, cookie: str, header: str, number: Callable[[], bytes]) -> Sticky | None:
    """As the config has it: ``kind`` is "cookie", "header" or "", which is None.

    ``cookie``, ``header``: their names. ``number``: as ``ByCookie`` has it.
    """
    if kind == "cookie":
        return ByCookie(cookie, number)
    return ByHeader(header.lower().encode()) if kind == "header" else None


class TurnsByKey:
    """Whose turn it is, by the key that a stream comes with: a choice, a visitor's number, or an address.

    What there is to go by says the key alone, and no setting: those may change while a canary runs.
    """

    def __init__(self, rest: Turns, visitors: ShareByAddress) -> None:
        """``rest``: how those are shared out who have neither chosen nor a number."""
        self._rest = rest
        self._visitors = visitors
        self._asked: Turns | None = rest
        """Whose matter the last one was; None: it had chosen itself."""
        self._asks_again = False

    def __repr__(self) -> str:
        return f"<TurnsByKey {self._rest}>"

    @property
    def part(self) -> int:
        """Of WHOLE."""
        return self._rest.part

    @part.setter
    def part(self, part: int) -> None:
        self._rest.part = self._visitors.part = part

    def take(self, client: object = None) -> bool:
        """Whether a stream with that key is the canary's."""
        if isinstance(client, Choice):
            again = self._asked is None and self._asks_again
            self._asked, self._asks_again = None, False
            return client is Choice.CANARY and not again
        self._asked = self._visitors if isinstance(client, Visitor) else self._rest
        return self._asked.take(client)

    def give_back(self) -> None:
        """The stream that asked last has not found a place: it asks again, and is no canary's then."""
        if self._asked is None:
            self._asks_again = True
        else:
            self._asked.give_back()


def share_of(by: str, salt: int, part: int = 0) -> TurnsByKey:
    """A share of streams or of clients; ``by``: "stream" or "address". ``salt``: the swap's number."""
    return TurnsByKey(ShareByAddress(salt, part) if by == "address" else Share(part), ShareByAddress(salt, part))
