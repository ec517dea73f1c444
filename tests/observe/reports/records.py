"""Reports as tests feed them: what happens at which second, with how many streams on each side."""

from __future__ import annotations

from typing import Any

from frontdoor.control.feed import timestamp
from frontdoor.observe.reports.look import Figures, Look
from frontdoor.observe.reports.report import Report

BEGAN = 1_790_000_000.0


def figures(id_: str, open_: int, total: int = 0, ended: dict[str, int] | None = None, **more: Any) -> Figures:
    counts = {"up_bytes": 0, "down_bytes": 0, "failed_dials": 0, "early_closes": 0, "crashes": 0, "dials": total}
    values: dict[str, Any] = {"dial_time": 0.0, "slowest": 0.0, **counts, **more}
    return Figures(id=id_, state="active", open=open_, total=total or open_, ended=ended or {}, **values)


def look(
    at: float,
    old: int,
    new: int | None = None,
    closed: int = 0,
    drained: int = 0,
    *,
    new_more: dict[str, Any] | None = None,
) -> Look:
    """So many streams on v1#1 and v2#2; of the old one's so many were closed by clients, and by the drain."""
    gone = {reason: n for reason, n in (("client_closed", closed), ("drain_closed", drained)) if n}
    ended = {"answered": 7, **gone}
    v1 = figures("v1#1", old, old + closed + drained, gone)
    v2 = None if new is None else figures("v2#2", new, **(new_more or {}))
    open_ = old + (new or 0)
    return Look(BEGAN + at, open_ + sum(ended.values()), open_, ended, v1, v2)


def event(name: str, at: float, **fields: Any) -> dict[str, Any]:
    """An event of swap 3 of the door main."""
    said = {"event": name, "time": timestamp(BEGAN + at), "seq": 1, "door": "main", "swap": 3, **fields}
    return {key: value for key, value in said.items() if value is not None}


def begun(**fields: Any) -> Report:
    ends = {"from": "v1#1", "to": "v2#2", **fields}
    first = event("swap.started", 0, **ends)
    report = Report.begin(first)
    report.take(first, look(0, 12))
    return report


def switched(at: float = 1.2, **fields: Any) -> Report:
    """One that has come to its switch."""
    report = begun()
    report.take(event("backend.starting", 0.1, generation="v2#2", pid=7), look(0.1, 12))
    report.take(event("backend.ready", at - 0.1, generation="v2#2", pid=7, after_s=1.0), look(at - 0.1, 12, 0))
    ends = {"from": "v1#1", "to": "v2#2"}
    report.take(event("swap.switched", at, generation="v2#2", streams=12, **ends, **fields), look(at, 12, 0))
    report.take(event("swap.settled", at, to="v2#2"), look(at, 12, 0))
    return report


def drained(cut: int = 3) -> Report:
    """One that is over, with a drain that had to close some."""
    report = switched()
    report.take(event("drain.started", 1.2, generation="v1#1", streams=12), look(1.2, 12, 0))
    for second in range(2, 9):
        report.see(look(second, 14 - second, second, closed=second - 2))
    report.take(event("drain.started", 60, generation="v1#1", swap=None, over_s=0.0), look(60, 12 - 9, 9, closed=9))
    last = look(61, 0, 9, closed=12 - cut, drained=cut)
    report.take(event("drain.finished", 61, generation="v1#1", closed=cut), last)
    message = f"v2#2 is active; {cut} streams of v1#1 had to be closed"
    report.end(BEGAN + 61, {"result": "drained", "exit_code": 6, "message": message}, last)
    return report


def failed(reason: str = "it exited with code 3", output: list[str] | None = None) -> Report:
    report = begun()
    said = event("swap.failed", 2, reason=reason, output=output or ["no database"], **{"from": "v1#1", "to": "v2#2"})
    report.take(said, look(2, 11))
    message = f"v2#2 did not become ready ({reason}); v1#1 still serves"
    report.end(BEGAN + 2, {"result": "failed", "exit_code": 4, "message": message}, look(2, 11))
    return report
