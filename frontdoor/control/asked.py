"""What a control request asks for: its JSON body and its query, checked strictly.

A field that is not known is refused, and not ignored: a client that misspells ``version`` is told so, and
does not learn it from what happens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import trio
from starlette.requests import ClientDisconnect, Request

from .operator import BAD_REQUEST, USAGE, Refused

MAX_BODY = 64 * 1024  # bytes; the longest call that makes sense has some hundred
BODY_TIMEOUT = 10.0  # seconds for all of a body, from a client on the same machine
TOO_SLOW = 408
TOO_LARGE = 413


def query(request: Request, known: Collection[str]) -> Mapping[str, str]:
    """Return the query's parameters. Raises :exc:`Refused` for one that is not in `known`, or comes twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    _only_known(names, known, "parameter")
    return request.query_params


class Span(NamedTuple):
    """How much of what was, and whether what comes."""

    history: int
    follow: bool


def span(asked: Mapping[str, str], most: int) -> Span:
    """Return the parameters ``history`` (default 0, and no more than `most`) and ``follow`` (default 1).

    Raises :exc:`Refused`.
    """
    history = asked.get("history", "0")
    if not (history.isascii() and history.isdecimal()):
        raise Refused(USAGE, f"history is how many of the last are wanted, a number, not {history!r}")
    if (follow := asked.get("follow", "1")) not in ("0", "1"):
        raise Refused(USAGE, f"follow is 0 or 1, not {follow!r}")
    # Python refuses to convert thousands of digits.
    return Span(min(int(history), most) if len(history) < 9 else most, follow == "1")


async def read_json(request: Request, empty_is: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return the body's JSON object; no body at all is `empty_is`, if there is one.

    Raises :exc:`Refused` if it is too long, too slow, not JSON, or not an object.
    """
    body = b""
    with trio.move_on_after(BODY_TIMEOUT) as deadline:
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise Refused(USAGE, f"the body is longer than {MAX_BODY} bytes", status=TOO_LARGE)
        except ClientDisconnect:
            # Nobody is left to read this; what matters is that half a request starts nothing.
            raise Refused(USAGE, "the client hung up before its body was complete") from None
    if deadline.cancelled_caught:
        raise Refused(USAGE, f"the body did not come within {BODY_TIMEOUT:.0f} s", status=TOO_SLOW)
    if not body and empty_is is not None:
        return empty_is
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(USAGE, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(USAGE, 'the body is not a JSON object, such as {"version": "v2"}')
    return value


class Fields:
    """The fields of a JSON object. Each method returns one of them, or raises :exc:`Refused`."""

    def __init__(self, values: Mapping[str, Any], known: Collection[str]) -> None:
        _only_known(list(values), known, "field")
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._get(name)
        if not isinstance(value, str) or not value:
            raise Refused(USAGE, f"{name} is a text that is not empty")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return one of `choices`."""
        value = self._values.get(name, default)
        if value not in choices:
            raise Refused(USAGE, f"{name} is one of {', '.join(choices)}")
        return str(value)

    def number(self, name: str, *, whole: bool = False) -> float:
        """Return a number that is not negative, and with `whole` an integer."""
        value = self._get(name)
        kinds = int if whole else (int, float)
        # bool is an int to Python, and NaN a number to its JSON: neither is one to a person.
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise Refused(USAGE, f"{name} is a {'whole ' if whole else ''}number")
        if not 0 <= value < 2**53 or not math.isfinite(value):
            raise Refused(USAGE, f"{name} is a number from 0, and not beyond measure")
        return float(value)

    def maybe_number(self, name: str) -> float | None:
        """Return a number that is above 0, or None if the field is not there."""
        if name not in self._values:
            return None
        value = self.number(name)
        if not value:
            raise Refused(USAGE, f"{name} is a number above 0")
        return value

    def maybe_whole(self, name: str, default: int) -> int | None:
        """Return a whole number from 0, or None for null; `default` if the field is not there."""
        if name not in self._values:
            return default
        return None if self._values[name] is None else int(self.number(name, whole=True))

    def maybe_text(self, name: str) -> str | None:
        """Return a text that is not empty, or None if the field is not there."""
        return self.text(name) if name in self._values else None

    def flag(self, name: str, *, default: bool | None) -> bool:
        """Return true or false. With no `default` the field must be there."""
        value = self._get(name) if default is None else self._values.get(name, default)
        if not isinstance(value, bool):
            raise Refused(USAGE, f"{name} is true or false")
        return value

    def _get(self, name: str) -> Any:
        if name not in self._values:
            raise Refused(USAGE, f"the field {name} is missing")
        return self._values[name]


def _only_known(names: Sequence[str], known: Collection[str], noun: str) -> None:
    for name in names:
        if name not in known:
            there_is = f"there is {', '.join(known)}" if known else "there is none"
            raise Refused(USAGE, f"there is no {noun} {name!r} here; {there_is}", status=BAD_REQUEST)
        if names.count(name) > 1:
            raise Refused(USAGE, f"the {noun} {name} is given twice", status=BAD_REQUEST)
