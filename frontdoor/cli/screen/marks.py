"""Bars, sparklines and cells: numbers and words as text of an exact width on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells, set_cell_size

from frontdoor.control.wording import printable


@dataclass(frozen=True)
class Marks:
    """The characters that a terminal can show; each takes one column."""

    full: str
    """A column of a bar."""
    parts: str
    """The end of a bar, from a little of a column to most of it; empty: whole columns only."""
    heights: str
    """A column of a sparkline, from next to nothing to all; nothing is a blank."""
    more: str
    """In place of what does not fit."""
    chosen: str
    """In front of the door that is shown."""


BLOCKS = Marks(full="█", parts="▏▎▍▌▋▊▉", heights="▁▂▃▄▅▆▇█", more="…", chosen="▸")
ASCII = Marks(full="#", parts="", heights=".:-=+*#", more="~", chosen=">")
"""For a locale, or a console, that has no blocks."""


_UNITS = frozenset(("ms", "s", "m", "h", "d", "B", "KiB", "MiB", "GiB", "TiB"))


def bar(value: float, most: float, width: int, marks: Marks = BLOCKS) -> str:
    """Return a bar of `value` in which `most` is `width` columns; what is more than nothing can be seen."""
    if value <= 0 or most <= 0 or width <= 0:
        return ""
    steps = len(marks.parts) + 1
    length = max(1, round(min(1.0, value / most) * width * steps))
    whole, rest = divmod(length, steps)
    return marks.full * whole + (marks.parts[rest - 1] if rest else "")


def spark(values: Sequence[float], width: int, marks: Marks = BLOCKS) -> str:
    """Return the last `width` of `values` as a line, the newest at its right end; the highest is as high as can be."""
    shown = values[-width:] if width > 0 else []
    most = max(shown, default=0)
    top = len(marks.heights)
    line = "".join(marks.heights[min(top, max(1, round(each / most * top))) - 1] if each > 0 else " " for each in shown)
    return line.rjust(max(width, 0))


def cell(text: object, width: int, *, right: bool = False, marks: Marks = BLOCKS) -> str:
    """Return `text`, with nothing in it that moves a cursor, in exactly `width` columns."""
    shown = printable(str(text))
    if width <= 0:
        return ""
    length = cell_len(shown)
    if length > width:
        return set_cell_size(shown, width - 1) + marks.more
    blank = " " * (width - length)
    return blank + shown if right else shown + blank


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` columns, broken between words where that is possible."""
    lines = [""]
    for word in _words(printable(text)):
        there = cell_len(lines[-1])
        if there and there + 1 + cell_len(word) <= width:
            lines[-1] += " " + word
            continue
        if there:
            lines.append("")
        pieces = chop_cells(word, max(width, 2)) or [""]
        lines[-1] = pieces[0]
        lines += pieces[1:]
    return lines


def _words(text: str) -> list[str]:
    """Return where it may be broken: not between a number and its unit."""
    words: list[str] = []
    for word in text.split(" "):
        if words and word.rstrip(",;:.)") in _UNITS and words[-1].lstrip("(")[:1].isdecimal():
            words[-1] += " " + word
        else:
            words.append(word)
    return words
