"""Requests under way without sockets: as much of an exchange as the door looks at."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

from frontdoor.exchanges.exchange import Exchange
from frontdoor.policy.generation import Seat


def a_request(target: str = "/", seat: Seat | None = None, gate: Any = None, **known: Any) -> Exchange:
    """A GET of that, from a client of 192.0.2.7, a second after the clock's beginning."""
    it = Exchange.__new__(Exchange)
    visitor = Some(address=("192.0.2.7", 51234), client=Some(trusted=False))
    head = Some(method=b"GET", target=target.encode(), known={})
    is_so: dict[str, Any] = {
        "visitor": visitor,
        "head": head,
        "seat": seat,
        "gate": gate or Some(name="main"),
        "request_id": b"b24f-1",
        "status": 0,
        "reason": None,
        "deadline": None,
        "up_bytes": 0,
        "down_bytes": 0,
        "began": 1.0,
        "since": 1.0,
        "stamp": 1.0,
        "seated": 0.0,
        "dialled": 0.0,
        "first_byte": 0.0,
        "ended": 0.0,
    }
    for name, value in (is_so | known).items():
        setattr(it, name, value)
    return it
