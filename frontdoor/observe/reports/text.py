"""A report as text, for somebody who asks the next morning what happened."""

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from frontdoor.control.wording import clock, describe, printable
from frontdoor.observe.reports.look import Figures
from frontdoor.observe.reports.report import Report
from frontdoor.observe.reports.words import day, duration, endings, figures, headline, reason, steps, story, sums

COLUMNS = 60
"""Of the curve, and of the longest bar."""

EVENTS = 40
"""Of more events than that, the first and the last ones are shown."""

_BARS = " ▁▂▃▄▅▆▇█"


def text(report: Report, zone: tzinfo | None = None) -> str:
    """All of it. ``zone``: of its times; None is that of this machine."""
    parts = [
        [headline(report), *([f"  {story(report)}"] if story(report) else [])],
        _part(f"When (asked for at {day(report.started, zone)})", _steps(report)),
        _part("Streams open", _curve(report)),
        _endings(report),
        _part("The two generations, each since its start", _generations(report)),
        _part("The whole door", _ledger(report)),
        _part("The last output of " + report.new, report.output),
        _part("What this report does not know", report.gaps),
        _part("Events", _events(report)),
    ]
    lines = [line for part in parts if part for line in (*part, "")]
    return "\n".join(printable(line) for line in lines)


def _part(title: str, lines: "Iterator[str] | Sequence[str]") -> list[str]:
    found = [f"  {line}" for line in lines]
    return [title, *found] if found else []


def _steps(report: Report) -> Iterator[str]:
    for at, what in steps(report):
        yield f"{'+' + duration(at):>10}  {what}"
    if report.ended is None:
        yield f"{'':>10}  it goes on"
    elif report.exit_code:
        yield f"{'':>10}  exit code {report.exit_code}, for who waited for the end (--wait drained)"


def _curve(report: Report) -> Iterator[str]:
    columns, highest = report.curve.columns(COLUMNS), report.curve.highest
    if not columns or not highest:
        return
    width = max(len(report.new), len(report.old or ""))
    for side, name in (("old", report.old), ("new", report.new)):
        if name is not None:
            open_ = [getattr(column, side) for column in columns]
            most = max(getattr(point, side) for point in report.curve.points)
            yield f"{name:<{width}}  {''.join(_bar(each, highest) for each in open_)}  {most} at most, {open_[-1]} last"
    end = duration(report.curve.points[-1].at)
    yield f"{'':<{width}}  {'0 s':<{COLUMNS - len(end)}}{end}"


def _bar(open_: int, highest: int) -> str:
    """One column: not empty while there is a stream, and full only for the most of them."""
    return _BARS[-(-8 * open_ // highest)]


def _endings(report: Report) -> list[str]:
    gone, found = endings(report)
    if gone is None or not found:
        return []
    most, width = max(found.values()), max(len(reason(name)) for name in found)
    digits = len(str(most))
    lines = (f"{reason(name):<{width}}  {n:>{digits}}  {'█' * max(1, 30 * n // most)}" for name, n in found.items())
    return _part(f"How the streams of {gone} ended, from when it got no new ones", [*lines])


def _generations(report: Report) -> Iterator[str]:
    rows = [("", "streams", "open", "failed dials", "early closes", "crashes", "mean dial", "slowest dial")]
    for side, name in (("old", report.old), ("new", report.new)):
        last = figures(report, side)[1]
        if last is not None and name is not None:
            rows.append((name, *_row(last)))
    return _table(rows) if len(rows) > 1 else iter(())


def _row(side: Figures) -> tuple[str, str, str, str, str, str, str]:
    mean = duration(side.dial_time / side.dials) if side.dials else "-"
    counts = (side.total, side.open, side.failed_dials, side.early_closes, side.crashes)
    streams, open_, failed, early, crashes = map(str, counts)
    return streams, open_, failed, early, crashes, mean, duration(side.slowest) if side.dials else "-"


def _ledger(report: Report) -> Iterator[str]:
    if report.looks:
        width = max(map(len, report.looks))
        for name, look in report.looks.items():
            yield f"{name:<{width}}  {sums(look)}"


def _events(report: Report) -> Iterator[str]:
    events, left_out = report.events, report.left_out
    half = EVENTS // 2
    if len(events) > EVENTS:
        left_out += len(events) - EVENTS
        events = [*events[:half], *events[-half:]]
    for place, event in enumerate(events):
        if left_out and place == half:
            yield f"… {left_out} more …"
        said = describe({key: value for key, value in event.items() if value is not None})
        yield f"{clock(event['time'])}  {event['event']:<17} {said.splitlines()[0] if said else ''}".rstrip()


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells)
