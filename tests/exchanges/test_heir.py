from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from frontdoor.exchanges.heir import portable
from frontdoor.traffic.unseated import Unseated

ADDRESS = ("192.0.2.1", 5)
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"


def visitor(**changes: Any) -> Any:
    """One who is idle, with these changes."""
    as_it_is = {
        "fd": 7,
        "address": ADDRESS,
        "destination": None,
        "since": 1.5,
        "exchange": None,
        "buffer": b"",
        "counted": False,
        "waits": False,
        "goodbye_until": 0.0,
    }
    return cast(Any, SimpleNamespace(**{**as_it_is, **changes}))


def exchange(**changes: Any) -> Any:
    """One that waits for a backend."""
    return SimpleNamespace(**{"head": SimpleNamespace(raw=HEAD), "seat": None, "status": 0, **changes})


@pytest.mark.parametrize(
    ("who", "read", "counted"),
    [
        (visitor(), b"", False),
        (visitor(counted=True), b"", True),
        (visitor(counted=True, buffer=b"GET / HT"), b"GET / HT", True),
        (visitor(counted=True, exchange=exchange(), buffer=b"half"), HEAD + b"half", True),
    ],
    ids=["idle", "who has not said a word", "half a head", "who waits for a backend, with half of the body"],
)
def test_who_can_be_handed_over_and_what_goes_along(who: Any, read: bytes, counted: bool) -> None:
    assert portable(who) == Unseated(7, ADDRESS, None, 1.5, None, read, counted)


@pytest.mark.parametrize(
    "who",
    [
        visitor(fd=-1),
        visitor(goodbye_until=9.0),
        visitor(waits=True),
        visitor(exchange=exchange(seat=object())),
        visitor(exchange=exchange(status=503)),
    ],
    ids=["closed", "who is told goodbye", "who has not taken all", "with a backend", "who is answered by ourselves"],
)
def test_who_stays(who: Any) -> None:
    assert portable(who) is None
