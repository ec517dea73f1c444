"""One event as a line that a person reads: the same on the console, in the log and in ``frontdoor events``.

Standard library only: the command line reads this, and starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

# Said in a place of their own, or not at all: the rest follows as key=value.
_PLACED = frozenset(
    {
        "event",
        "time",
        "seq",
        "level",
        "door",
        "version",
        "generation",
        "from",
        "to",
        "streams",
        "reason",
        "message",
        "output",
        "problems",
        "listen",
        "line",
        "asked_for",
    }
)

_NAMED = ("swap", "pid", "process", "hook", "upgrade", "keeper")
"""Said by their names: ``swap 3``."""

_TIMES = {"after_s": "after", "for_s": "for", "delay_s": "in", "over_s": "over", "bake_s": "watched for"}
"""Seconds, and how they are said."""

_COUNTS = ("closed", "lost")
"""Said beside the streams, unless there are none."""


def printable(text: str) -> str:
    """Return `text` with every control character escaped.

    What a backend writes reaches terminals and log files through here: it may neither move a cursor nor
    begin a line of its own.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def count(number: int, noun: str) -> str:
    """Return ``1 stream`` or ``132 streams``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock(time: str) -> str:
    """Return the local time of day of an RFC 3339 `time`, ``12:03:11``; what is no time stays as it is."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return printable(time)


def _value(value: object) -> str:
    text = printable(",".join(map(str, value)) if isinstance(value, list) else str(value))
    return repr(text) if text == "" or " " in text else text


def _who(event: Mapping[str, Any]) -> list[str]:
    """Return the words that say which door, generation, swap and process it is about."""
    words = [str(event["door"])] if "door" in event else []
    ends = [event[end] for end in ("from", "to") if event.get(end) is not None]
    if ends:
        words.append(" → ".join(map(str, ends)))
    who = event.get("generation", event.get("version"))
    if who is not None and who not in ends:
        words.append(str(who))
    words += [f"{name} {event[name]}" for name in _NAMED if name in event]
    return [printable(word) for word in words]


def _counts(event: Mapping[str, Any]) -> list[str]:
    """Return how many streams it is about, and what has become of some: ``(9 streams, 2 closed)``."""
    streams = event.get("streams")
    words = [count(streams, "stream")] if isinstance(streams, int) else []
    if words and event.get("event") == "swap.switched" and "from" in event:
        words = [f"{words[0]} left on {printable(str(event['from']))}"]  # else they might be those that have moved
    words += [f"{event[name]} {name}" for name in _COUNTS if _is_number(event.get(name)) and event[name]]
    return [f"({', '.join(words)})"] if words else []


def _rest(event: Mapping[str, Any]) -> list[str]:
    """Return what has no place of its own, as ``key=value``; what is simply so by its name, and what is empty not."""
    said = {*_PLACED, *_NAMED, *(name for name in (*_TIMES, *_COUNTS) if _is_number(event.get(name)))}
    if event.get("reason"):
        said.add("status")  # the reason says it, in words
    if not isinstance(event.get("streams"), int):
        said.discard("streams")
    rest = {key: value for key, value in event.items() if key not in said and value is not False and value != []}
    return [printable(key) if value is True else f"{printable(key)}={_value(value)}" for key, value in rest.items()]


def _seconds(value: float) -> str:
    """Return ``0.3 s``, ``90 s``, ``3600 s``."""
    return f"{value:.1f} s" if value < 10 and value != int(value) else f"{value:.0f} s"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def describe(event: Mapping[str, Any]) -> str:
    """Return what `event` says besides its name and time: ``main v1#1 → v2#2 (132 streams left on v1#1)``.

    A backend's last output and the problems of a config follow on lines of their own, indented by four.
    """
    words = _who(event)
    words += [f"{say} {_seconds(event[name])}" for name, say in _TIMES.items() if _is_number(event.get(name))]
    if isinstance(event.get("listen"), list):
        words.append("on " + printable(", ".join(map(str, event["listen"]))))
    words += _counts(event) + _rest(event)
    text = " ".join(words)
    why = [printable(str(event[key])) for key in ("reason", "message", "line") if event.get(key)]
    if why:
        text += (": " if text else "") + "; ".join(why)
    for key in ("problems", "output"):
        lines = event.get(key)
        if isinstance(lines, list):
            text += "".join(f"\n    {printable(str(line))}" for line in lines)
    return text


def line(event: Mapping[str, Any]) -> str:
    """Return the whole line: ``12:03:11 swap.switched main v1#1 → v2#2 (132 streams left on v1#1)``."""
    words = [clock(str(event.get("time", ""))), printable(str(event.get("event", ""))), describe(event)]
    return " ".join(word for word in words if word)
