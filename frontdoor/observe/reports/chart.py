"""The chart of a report: the streams open on both generations over time, and when what happened."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from frontdoor.observe.reports.curve import Point
from frontdoor.observe.reports.drawing import box, rule, trace, wide, write
from frontdoor.observe.reports.report import SWITCHED, Report, moment
from frontdoor.observe.reports.words import duration

LEFT = 64
"""Of the plot, for the numbers of the axis."""

ROW = 18
"""Height of a row of labels above the plot."""

ROWS = 4
"""Rows of labels, at the most: what does not fit beside another one is a line without a label."""

TICKS = 5
"""On an axis, about."""

_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)
"""Seconds between two ticks, from a second on."""


@dataclass(frozen=True, slots=True)
class Plot:
    """The area that is drawn in, and its scales."""

    x: float
    y: float
    width: float
    height: float
    until: float
    """Seconds at its right end."""
    most: int
    """Streams at its upper end."""

    def across(self, at: float) -> float:
        """Where a time is."""
        return self.x + self.width * min(1.0, max(0.0, at / self.until))

    def up(self, streams: float) -> float:
        """Where so many streams are."""
        return self.y + self.height * (1 - streams / self.most)


def chart(report: Report, x: float, y: float, width: float, height: float) -> list[str]:
    """The chart, in that place."""
    until = max(report.curve.points[-1].at if report.curve.points else 0.0, 0.001)
    step = streams_step(report.curve.highest)
    most = step * max(1, -(-report.curve.highest // step))
    marks = place_labels(
        list(_marks(report)), lambda at: x + LEFT + (width - LEFT - 16) * min(1.0, at / until), x + width
    )
    above = ROW * (1 + max((row for *_, row in marks if row is not None), default=0)) + 12
    plot = Plot(x + LEFT, y + above, width - LEFT - 16, height - above - 28, until, most)
    parts = [*_axes(plot, step)]
    sides = [side for side, name in (("old", report.old), ("new", report.new)) if name is not None]
    lines = {side: _line(plot, report.curve.points, side) for side in sides if report.curve.points}
    parts += [trace(places, f"{side}-fill area", floor=plot.up(0)) for side, places in lines.items()]
    parts += [trace(places, f"line {side}") for side, places in lines.items()]
    for words, at, kind, place, row in marks:
        top = plot.y - 6 if row is None else y + ROW * row + 16
        parts.append(rule(plot.across(at), top, plot.across(at), plot.y + plot.height, kind))
        if row is not None:
            parts.append(write(place, y + ROW * row + 12, words, "small strong" if kind == "switch" else "small soft"))
    return parts


def legend(report: Report, x: float, y: float) -> list[str]:
    """Which colour is which, with the most streams that each had."""
    parts = []
    for side, name in (("old", report.old), ("new", report.new)):
        if name is None:
            continue
        most = max((getattr(point, side) for point in report.curve.points), default=0)
        last = getattr(report.curve.points[-1], side) if report.curve.points else 0
        words = f"{name}: {most} at most, {last} at the end" if report.ended else f"{name}: {most} at most, {last} now"
        parts += [box(x, y - 11, 14, 14, f"{side}-fill", round_=3), write(x + 22, y, words, "num")]
        x += 22 + wide(words) + 36
    return parts


def _axes(plot: Plot, step: int) -> Iterator[str]:
    for streams in range(0, plot.most + 1, step):
        y = plot.up(streams)
        yield rule(plot.x, y, plot.x + plot.width, y, "grid" if streams else "axis")
        yield write(plot.x - 10, y + 4, str(streams), "small soft num end")
    apart = seconds_step(plot.until)
    for number in range(int(plot.until / apart + 1e-9) + 1):
        x = plot.across(number * apart)
        yield rule(x, plot.y + plot.height, x, plot.y + plot.height + 5, "axis")
        words = duration(number * apart).replace(".0 s", " s") if number else "0 s"
        yield write(x, plot.y + plot.height + 20, words, "small soft num mid" if number else "small soft num")


def _line(plot: Plot, points: list[Point], side: str) -> list[tuple[float, float]]:
    """The streams of one generation, in steps: each number holds until the next one was seen."""
    places: list[tuple[float, float]] = []
    for point in points:
        x, y = plot.across(point.at), plot.up(getattr(point, side))
        if places and places[-1][1] != y:
            places.append((x, places[-1][1]))
        places.append((x, y))
    return places


def _marks(report: Report) -> Iterator[tuple[str, float, str]]:
    """What is marked: words, seconds since it was asked for, the kind of line."""
    began = report.started
    if report.ready is not None:
        yield "ready", report.ready - began, "mark"
    if report.switched is not None:
        yield "switched", report.switched - began, "switch"
    if report.settled is not None and report.outcome != SWITCHED:
        yield report.outcome.replace("_", " "), report.settled - began, "switch"
    elif report.settled is not None and report.bake:
        yield "probation over", report.settled - began, "mark"
    for event in report.events:
        if event["event"] == "drain.started" and isinstance(event.get("over_s"), int | float):
            over = event["over_s"]
            yield f"drain --over {over:g}s" if over else "drain --now", moment(event) - began, "mark"
        elif event["event"] == "door.restored":
            yield "another door process", moment(event) - began, "mark"
    if report.drained is not None:
        yield "taken back" if report.recalled else "drained", report.drained - began, "mark"


Mark = tuple[str, float, str, float, int | None]


def place_labels(marks: list[tuple[str, float, str]], across: Callable[[float], float], right: float) -> list[Mark]:
    """Give each label a place from the left and a row in which it covers no other one; row None: there is none.

    A row is counted from the top, and a label that comes later is lower: its line does not cross the earlier ones.
    """
    placed: list[Mark] = []
    ends = [float("-inf")] * ROWS
    for words, at, kind in sorted(marks, key=lambda mark: mark[1]):
        x = min(across(at) + 5, right - wide(words, 12))
        row = next((row for row, end in enumerate(ends) if end < x), None)
        if row is not None:
            ends[row] = x + wide(words, 12) + 10
        placed.append((words, at, kind, x, row))
    return placed


def seconds_step(until: float) -> float:
    """Seconds between two ticks of an axis of so many seconds."""
    wanted = until / TICKS
    if wanted >= 1:
        return next((step for step in _STEPS if step >= wanted), _STEPS[-1] * -(-wanted // _STEPS[-1]))
    return next(step for digits in (4, 3, 2, 1, 0) for step in _decade(digits) if step >= wanted or digits == 0)


def _decade(digits: int) -> tuple[float, float, float]:
    unit = 10.0**-digits
    return unit, 2 * unit, 5 * unit


def streams_step(highest: int) -> int:
    """Streams between two ticks of an axis that has room for so many."""
    wanted, unit = max(1, highest) / TICKS, 1
    while unit * 5 < wanted:
        unit *= 10
    return next(step for step in (unit, 2 * unit, 5 * unit) if step >= wanted)
