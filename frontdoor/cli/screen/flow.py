"""Where the streams are, and what moves: the bars of the generations, the rates, what holds a drain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from frontdoor.cli.screen.marks import Marks, bar, cell, spark
from frontdoor.cli.screen.model import Past, span
from frontdoor.cli.text import duration, size

WIDE = 60
"""Columns from which on there is room for sparklines beside the bars."""

PER = 3
"""Steps of the past in one column of a generation's sparkline."""

STYLES = {
    "active": "green",
    "draining": "yellow",
    "warm": "blue",
    "starting": "cyan",
    "ready": "cyan",
    "failed": "red",
}

_ORDER = ("active", "ready", "starting", "draining", "warm", "failed", "stopping", "stopped")

Generation = Mapping[str, Any]


def generations(door: Mapping[str, Any], past: Past, width: int, marks: Marks, *, titled: bool = True) -> list[Text]:
    """Return a title, if `titled`, and a bar of open streams for each generation, the one that serves first."""
    there = sorted(door.get("generations", []), key=_place)
    if not there:
        return []
    name = min(max(len(str(each.get("id"))) for each in there), max(4, width // 4))
    # In a row: id, state, bar, number, and what the number was.
    state, number = (8 if width >= 32 else 0), 6
    trend = 20 if width >= WIDE else 0
    room = max(1, width - name - state - number - trend - 2 - (state > 0) - (trend > 0))
    # All bars have the scale of the longest in sight, so that one shrinks while the other grows.
    levels = {id_: series.levels(trend or 1, PER) for id_, series in past.open.items()}
    most = max([_open(each) for each in there] + [max(each, default=0) for each in levels.values()])
    rows = [_row(each, (name, state, room, number, trend), most, levels, marks) for each in there]
    if not titled:
        return rows
    title = Text("GENERATIONS" if width >= 32 else "OPEN", "bold", no_wrap=True)
    if trend:
        title.append(f"open, and the last {duration(span(trend * PER))}".rjust(width - len(title)), "not bold dim")
    return [title, *rows]


def _row(
    each: Generation, widths: tuple[int, ...], most: float, levels: Mapping[str, Sequence[float]], marks: Marks
) -> Text:
    name, state, room, number, trend = widths
    id_, is_, open_ = str(each.get("id")), str(each.get("state")), _open(each)
    style = STYLES.get(is_, "dim")
    text = Text(no_wrap=True)
    text.append(cell(id_, name, marks=marks), "bold")
    if state:
        text.append(" " + cell(is_, state, marks=marks), style)
    text.append(" " + cell(bar(open_, most, room, marks), room, marks=marks), style)
    text.append(" " + cell(f"{open_:g}", number, right=True, marks=marks))
    if trend:
        text.append(" " + spark(levels.get(id_, ()), trend, marks), style)
    return text


def rates(past: Past, width: int, marks: Marks) -> list[Text]:
    """Return lines of what happens in a second, with what happened before."""
    now = past.rates()
    new, up, down = ("-", "-", "-") if now is None else (number_text(now.new), _moved(now.up), _moved(now.down))
    if width < WIDE:
        first = Text(f"new {new}/s ", no_wrap=True)
        left = width - len(first)
        first.append(spark(past.accepted.rates(left), left, marks), "green")
        return [first, Text(f"up {up}/s  down {down}/s", no_wrap=True)]
    half = width // 2
    first = _rate("new", f"{new}/s", past.accepted.rates(width), width, "green", marks)
    second = _rate("up", f"{up}/s", past.up.rates(half), half - 1, "cyan", marks)
    second.append(" ")
    second.append_text(_rate("down", f"{down}/s", past.down.rates(half), width - half, "cyan", marks))
    return [first, second]


def _rate(label: str, value: str, values: Sequence[float], width: int, style: str, marks: Marks) -> Text:
    text = Text(no_wrap=True)
    text.append(f"{label:<5}", "bold")
    text.append(f"{value:>12} ")
    text.append(spark(values, width - len(text), marks), style)
    return text


def holds(held: Sequence[Mapping[str, Any]], generation: Generation, width: int) -> list[Text]:
    """Return a title, and the oldest streams of a generation that drains: for whom it waits."""
    if not held:
        return []
    open_ = int(generation.get("streams", {}).get("open", 0))
    which = f"the {len(held)} oldest of {open_}" if open_ > len(held) else "the oldest first"
    title = Text(no_wrap=True)
    title.append(cell(f"WHAT HOLDS {generation.get('id')}  ", min(width, 80)).rstrip() + "  ", "bold")
    title.append(which, "dim")
    asked = any("request" in each for each in held)
    columns = [("CLIENT", 9), ("IDLE", 8), ("AGE", 8), ("DOWN", 10), ("UP", 10)]
    while len(columns) > 1 and sum(least + 1 for _, least in columns) - 1 > width:
        columns.pop()
    left = width - sum(least + 1 for _, least in columns[1:])
    client = min(max((len(str(each.get("client") or "-")) for each in held), default=9), left)
    client = max(client, min(6, left))
    rest = left - client - 1 if asked else 0
    lines = [title, _held_row([name for name, _ in columns], "REQUEST", client, columns, rest, "dim")]
    for each in held:
        moved = each.get("bytes", {})
        cells = {
            "CLIENT": str(each.get("client") or "-"),
            "IDLE": duration(float(each.get("idle_s", 0))),
            "AGE": duration(float(each.get("age_s", 0))),
            "DOWN": size(int(moved.get("down", 0))),
            "UP": size(int(moved.get("up", 0))),
        }
        asked_for = str(each.get("request") or "-")
        lines.append(_held_row([cells[name] for name, _ in columns], asked_for, client, columns, rest, ""))
    return lines


def _held_row(
    cells: Sequence[str], request: str, client: int, columns: Sequence[tuple[str, int]], rest: int, style: str
) -> Text:
    text = cell(cells[0], client)
    for value, (_, width) in zip(cells[1:], columns[1:], strict=True):
        text += " " + cell(value, width, right=True)
    if rest > 7:
        text += " " + cell(request, rest)
    return Text(text, style, no_wrap=True)


def _place(each: Generation) -> tuple[int, int]:
    state = str(each.get("state"))
    number = each.get("generation")
    return (_ORDER.index(state) if state in _ORDER else len(_ORDER), -number if isinstance(number, int) else 0)


def _open(each: Generation) -> float:
    return float(each.get("streams", {}).get("open", 0))


def number_text(value: float) -> str:
    """Return ``0.4``, ``19.0``, ``1234``."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _moved(value: float) -> str:
    return size(round(value))
