"""A canary's share of the new streams: which of them are its.

Nothing here is left to chance: with a share of 5 % exactly 5 of every 100 streams that come one after the other are the
canary's, or, by address or by visitor, the same clients for as long as the share lasts.
"""

import hashlib
import ipaddress
import re
from typing import Protocol

WHOLE = 10_000
"""All streams. A share is counted in parts of it: hundredths of a percent."""

_SHARE = re.compile(r"(-?\d+)(?:\.(\d+))? ?%", re.ASCII)

_POINTS = 2**64
"""Places on the line that addresses and visitors are spread over."""


def parse_share(text: str) -> int:
    """A share as it is written, "5%" or "0.25%", in parts of WHOLE.

    Raises ValueError, with a message for whoever wrote it.
    """
    found = _SHARE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{text}" is no share: write it as a percentage, such as 5% or 0.5%')
    whole, decimals = found[1], (found[2] or "").rstrip("0")
    if whole.startswith("-"):
        raise ValueError(f"a share of {text} is too small: it must be 0% or more")
    if len(decimals) > 2:
        raise ValueError(f"a share of {text} is too fine: it can have two decimals at most")
    # No more digits than a share can have: int() refuses thousands of them in words that nobody would understand.
    share = int(whole[-6:]) * 100 + int(decimals.ljust(2, "0"))
    if len(whole.lstrip("0")) > 3 or share > WHOLE:
        raise ValueError(f"a share of {text} is too large: it must be 100% or less")
    return share


def show_share(part: int) -> str:
    """A share as people write it: "5%", "0.25%"."""
    whole, decimals = divmod(part, 100)
    return f"{whole}.{decimals:02}".rstrip("0").rstrip(".") + "%"


class Visitor(bytes):
    """What tells one visitor from others. A type of its own: an abstract Unix address is bytes, too (unix(7))."""


class Turns(Protocol):
    """Whose turn it is when a stream comes: the canary's, or the active one's."""

    part: int
    """The canary's share, of WHOLE."""

    def take(self, client: object = None) -> bool:
        """Whether the stream that comes now is the canary's; ``client``: who it is of, as far as that matters."""

    def give_back(self) -> None:
        """The stream that asked last has not found a place: it asks again, and is no canary's then."""


class Share:
    """A share of the streams, counted: each asks once when it comes.

    The error is carried on from stream to stream, so that the share is exact over every 10,000 of them that follow each
    other, and over every 100 if it is a whole number of percent. It is so from whichever stream one begins to count.
    """

    def __init__(self, part: int = 0) -> None:
        """``part``: of WHOLE."""
        self.part = part
        self._owed = 0
        """What the canary should have got by now and has not, in parts of a stream."""
        self._asks_again = False

    def __repr__(self) -> str:
        return f"<Share {show_share(self.part)}>"

    def take(self, client: object = None) -> bool:
        """Whether the stream that comes now is the canary's. Its turn is used up, whatever becomes of it.

        ``client``: its address.
        """
        if self._asks_again:
            self._asks_again = False
            return False
        self._owed += self.part
        if self._owed < WHOLE:
            return False
        self._owed -= WHOLE
        return True

    def give_back(self) -> None:
        """The stream that asked last has not found a place: it asks again, and is no canary's then.

        If it waits and leaves, whoever waits behind it takes its turn. So the count is of streams that found a place.
        """
        self._asks_again = True


class ShareByAddress:
    """A share of the clients, told apart by their addresses: each of them sees one version for as long as it lasts.

    Each address has a place on a line, and the canary gets those up to its share: who is in at 5 % is in at 25 %. So
    has each visitor, where visitors are told apart (:mod:`~frontdoor.policy.sticky`).
    """

    def __init__(self, salt: int, part: int = 0) -> None:
        """``part``: of WHOLE. ``salt``: the swap's number; with each swap there are others who see the canary first."""
        self._salt = salt.to_bytes(8)
        self._no_address = Share(part)
        """Of the streams that come from no address, as those of a Unix socket: they can only be counted."""
        self._asked: object = None
        self._asks_again = False
        self._part = part

    def __repr__(self) -> str:
        return f"<ShareByAddress {show_share(self.part)}>"

    @property
    def part(self) -> int:
        """Of WHOLE."""
        return self._part

    @part.setter
    def part(self, part: int) -> None:
        self._part = self._no_address.part = part

    def take(self, client: object = None) -> bool:
        """Whether a stream from there is the canary's.

        ``client``: its address, as accept(2) gave it; or the visitor.
        """
        again = self._asks_again and client == self._asked
        self._asks_again, self._asked = False, client
        network = _network(client)
        if network is None:
            if again:
                self._no_address.give_back()
            return self._no_address.take()
        return not again and self._place(network) * WHOLE < self._part * _POINTS

    def give_back(self) -> None:
        """The stream that asked last has not found a place: it asks again, and is no canary's then."""
        self._asks_again = True

    def _place(self, network: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(self._salt + network, digest_size=8).digest())


def _network(client: object) -> bytes | None:
    """What tells a client from others; None: nothing does.

    Of IPv6 it is the first half, its network: within it a client may change its address as it likes (RFC 8981).
    """
    if isinstance(client, Visitor):
        return client
    if not isinstance(client, tuple) or not client or not isinstance(client[0], str):
        return None
    host = client[0]
    if ":" not in host or "." in host:
        # "::ffff:192.0.2.1" is an IPv4 client that came to an IPv6 socket.
        return host.rpartition(":")[2].encode() or None
    try:
        return ipaddress.IPv6Address(host).packed[:8]
    except ValueError:
        return None
