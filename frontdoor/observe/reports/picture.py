"""A report as a picture: an SVG of its own, which needs nothing else, in light and dark.

What it shows is said in its description, too, for who cannot see it.
"""

from datetime import tzinfo

from frontdoor.observe.reports.chart import chart, legend
from frontdoor.observe.reports.drawing import box, fold, sheet, wide, write
from frontdoor.observe.reports.report import ENDED, ROLLED_BACK, SETTLED, STARTED, SWITCHED, UNDER_WAY, Report
from frontdoor.observe.reports.words import (
    day,
    duration,
    endings,
    failed_dials,
    figures,
    headline,
    outcome,
    reason,
    steps,
    story,
)

WIDTH = 960
EDGE = 32
INNER = WIDTH - 2 * EDGE

CHART = 330
"""Height of the chart with its labels."""

LINE = 26
"""Height of a line of the two lists below it."""

OUTPUT = 10
"""Lines of a failed generation's output that there is room for."""

_NAMES = {STARTED: "asked for", SWITCHED: "switched", SETTLED: "settled", ENDED: "end"}


def picture(report: Report, zone: tzinfo | None = None) -> str:
    """Draw it. ``zone``: of its times; None is that of this machine."""
    parts, y = _head(report, zone)
    parts += _tiles(report, y)
    y += 96
    parts += [write(EDGE, y + 18, "Streams open", "strong"), *legend(report, EDGE + 130, y + 18)]
    parts += chart(report, EDGE, y + 34, INNER, CHART)
    y += 34 + CHART + 36
    left, down = _endings(report, y)
    right, far = _sums(report, y)
    said = "; ".join(f"after {duration(at)}: {what}" for at, what in steps(report))
    height = max(down, far) + EDGE
    name = f"report-{report.door}-{report.number}"
    return sheet([*parts, *left, *right], WIDTH, height, name, headline(report), f"{story(report)}. {said}.")


def _head(report: Report, zone: tzinfo | None) -> tuple[list[str], float]:
    """The title and what happened; and where that ends."""
    words = outcome(report)
    width = wide(words, 15) + 32
    where = f"{report.verb.capitalize()} {report.number} of the door {report.door}, asked for at "
    parts = [
        write(EDGE, 44, where + day(report.started, zone), "soft"),
        write(EDGE, 80, fold(report.replaces, INNER - width, 1, 26)[0], "head"),
        box(WIDTH - EDGE - width, 54, width, 34, _colour(report), round_=17),
        write(WIDTH - EDGE - width / 2, 76, words, "pill mid"),
    ]
    lines = fold(story(report), INNER, 3)
    parts += [write(EDGE, 112 + 20 * place, line) for place, line in enumerate(lines)]
    return parts, 112 + 20 * len(lines)


def _colour(report: Report) -> str:
    if report.outcome == UNDER_WAY or (report.outcome == SWITCHED and report.ended is None):
        return "plain"
    if report.outcome == SWITCHED:
        return "warn" if report.closed else "good"
    return "warn" if report.outcome == ROLLED_BACK else "bad"


def _tiles(report: Report, y: float) -> list[str]:
    """The five figures that are asked for first."""
    began = report.started
    back = report.outcome == ROLLED_BACK
    since = report.settled if back else report.switched
    failed = failed_dials(report)
    tiles = [
        ("ready after", "at once" if report.reused else _after(began, report.ready), ""),
        ("switched after", _after(began, report.switched), ""),
        ("drain took", _after(since, report.drained), ""),
        ("streams cut", str(report.closed), "warn" if report.closed else ""),
        ("failed dials", str(failed), "bad" if failed else ""),
    ]
    gap = 16
    width = (INNER - gap * (len(tiles) - 1)) / len(tiles)
    parts = []
    for place, (label, value, kind) in enumerate(tiles):
        x = EDGE + place * (width + gap)
        parts += [
            box(x, y, width, 70, "card", round_=8),
            write(x + 16, y + 26, label, "small soft"),
            write(x + 16, y + 54, value, f"big strong num {kind}".rstrip()),
        ]
    return parts


def _after(first: float | None, then: float | None) -> str:
    return "-" if first is None or then is None else duration(then - first)


def _endings(report: Report, y: float) -> tuple[list[str], float]:
    """How the streams of the generation that was left have ended, as bars; and where that ends."""
    gone, found = endings(report)
    if gone is None:
        return _output(report, y)
    side, half = "new" if gone == report.new else "old", INNER / 2 - 24
    parts = [write(EDGE, y, f"How the streams of {gone} ended", "strong")]
    if not found:
        parts.append(write(EDGE, y + LINE, "none has ended yet" if report.ended is None else "it had none", "soft"))
    most = max(found.values(), default=1)
    for name, count in found.items():
        y += LINE + 16
        said = fold(reason(name), half - 60, 1)[0]
        parts += [
            write(EDGE, y - 12, said),
            write(EDGE + half, y - 12, str(count), "strong num end"),
            box(EDGE, y - 4, max(3, half * count / most), 8, f"{side}-fill", round_=3),
        ]
    return parts, y + LINE


def _output(report: Report, y: float) -> tuple[list[str], float]:
    """What the new generation printed last, where it has not come to its switch; and where that ends."""
    if not report.output:
        return [], y
    parts = [write(EDGE, y, f"The last output of {report.new}", "strong")]
    for line in report.output[-OUTPUT:]:
        y += LINE - 6
        parts += [write(EDGE, y + 4, said, "small code") for said in fold(line, INNER / 2 - 24, 1, 13)]
    return parts, y + 4


def _sums(report: Report, y: float) -> tuple[list[str], float]:
    """The ledger at each milestone, and how the two generations have treated their streams; and where that ends."""
    x = EDGE + INNER / 2 + 24
    edges = [x + part for part in (210, 316, INNER / 2 - 24)]
    parts = [write(x, y, "The whole door: every stream is counted", "strong")]
    rows = [("", "accepted", "open", "ended")]
    for name, look in report.looks.items():
        rows.append((_NAMES[name], str(look.accepted), f"= {look.open}", f"+ {sum(look.ended.values())}"))
    y = _table(parts, rows, x, edges, y)
    parts.append(write(x, y + 2 * LINE - 10, "The generations, since their start", "strong"))
    rows = [("", "streams", "failed dials", "crashes")]
    for side in ("old", "new"):
        last = figures(report, side)[1]
        if last is not None:
            rows.append((last.id, str(last.total), str(last.failed_dials), str(last.crashes)))
    return parts, _table(parts, rows, x, edges, y + 2 * LINE - 10)


def _table(parts: list[str], rows: list[tuple[str, str, str, str]], x: float, edges: list[float], y: float) -> float:
    """Add the rows of a table, the first of which is its head; where that ends."""
    for number, (first, *cells) in enumerate(rows):
        y += LINE
        parts.append(write(x, y, fold(first, 150, 1)[0] if first else "", "soft"))
        kind = "num end" if number else "small soft end"
        parts += [write(edge, y, cell, kind) for edge, cell in zip(edges, cells, strict=True)]
    return y
