"""A report as JSON's values, as it is kept in its file and as the control API gives it; and back again."""

import json
from datetime import datetime
from typing import Any

from frontdoor.control.feed import timestamp
from frontdoor.observe.reports.curve import Curve
from frontdoor.observe.reports.look import Look
from frontdoor.observe.reports.report import FIRST_EVENTS, LAST_EVENTS, MILESTONES, OUTCOMES, Report

SCHEMA = 1
"""Of the file. A frontdoor that does not know its number leaves it alone."""

_TIMES = ("ready", "switched", "settled", "drained", "ended")
_TEXTS = ("door", "verb", "outcome", "message", "reason")


class Damaged(Exception):  # noqa: N818 - it says what the file is
    """What is in it was written by no frontdoor that this one knows."""


def encode(report: Report) -> dict[str, Any]:
    """As JSON's values: the summary first, then all the rest. Times are RFC 3339, as those of events."""
    return {
        "schema": SCHEMA,
        "door": report.door,
        **report.summary(),
        **{name: None if (at := getattr(report, name)) is None else timestamp(at) for name in _TIMES},
        "reused": report.reused,
        "recalled": report.recalled,
        "exit_code": report.exit_code,
        "message": report.message,
        "reason": report.reason,
        "output": list(report.output),
        "bake_s": report.bake,
        "shares": [{"time": timestamp(at), "share": share} for at, share in report.shares],
        "ready_s": _between(report.started, report.ready),
        "switched_s": _between(report.started, report.switched),
        "drained_s": _between(report.switched, report.drained),
        "looks": {name: _look(report.looks[name]) for name in MILESTONES if name in report.looks},
        "curve": report.curve.encode(),
        "events": list(report.events),
        "events_left_out": report.left_out,
        "gaps": list(report.gaps),
    }


def as_json(values: dict[str, Any]) -> bytes:
    """As JSON on one line, whatever a name or an output has in it."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # a lone surrogate, \udc80, is its own escape in JSON, too


def decode(data: object) -> Report:
    """From JSON's values. Raises Damaged."""
    try:
        json.dumps(data, allow_nan=False)  # Python reads NaN and Infinity, which could not be kept again
        return _decode(data)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from None


def _decode(data: Any) -> Report:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r:.40}; this frontdoor knows {SCHEMA}")
    if data["outcome"] not in OUTCOMES or not isinstance(data["events"], list):
        raise ValueError("no report has this outcome, or such events")
    simple: dict[str, Any] = {name: _text(data[name]) for name in _TEXTS}
    simple |= {name: None if data[name] is None else _time(data[name]) for name in _TIMES}
    return Report(
        **simple,
        number=int(data["number"]),
        old=None if data["from"] is None else _text(data["from"]),
        new=_text(data["to"]),
        started=_time(data["started"]),
        reused=bool(data["reused"]),
        recalled=bool(data["recalled"]),
        closed=int(data["cut"]),
        exit_code=None if data["exit_code"] is None else int(data["exit_code"]),
        output=[_text(line) for line in data["output"]],
        bake=None if data["bake_s"] is None else float(data["bake_s"]),
        shares=[(_time(each["time"]), _text(each["share"])) for each in data["shares"]],
        looks={name: _look_back(data["looks"][name]) for name in MILESTONES if name in data["looks"]},
        curve=Curve.decode(data["curve"]),
        events=[_event(event) for event in data["events"][: FIRST_EVENTS + LAST_EVENTS]],
        left_out=int(data["events_left_out"]),
        gaps=[_text(gap) for gap in data["gaps"]],
    )


def _look(look: Look) -> dict[str, Any]:
    return {**look.encode(), "time": timestamp(look.time)}


def _look_back(data: dict[str, Any]) -> Look:
    return Look.decode({**data, "time": _time(data["time"])})


def _event(data: dict[str, Any]) -> dict[str, Any]:
    _time(data["time"])
    _text(data["event"])
    return {_text(key): value for key, value in data.items() if value is None or isinstance(value, str | int | float)}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _time(value: object) -> float:
    return datetime.fromisoformat(_text(value)).timestamp()


def _between(first: float | None, then: float | None) -> float | None:
    return None if first is None or then is None else round(max(0.0, then - first), 3)
