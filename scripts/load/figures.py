"""The figures of an upheaval: what was measured, what of it is too much, and all of it for people."""

import dataclasses
import os
import statistics
import sys
from typing import Any

import frontdoor.keeper
from load.gauge import MB, Gauge
from load.verdict import Reading

MOMENT = {"upgrade": 0.100, "kill": 1.0}
"""Seconds that clients may have to wait at the most."""


@dataclasses.dataclass(frozen=True)
class Upheaval:
    """One of them."""

    began: float
    """On the monotonic clock."""
    served: float
    """When another door process answered."""
    ended: float
    """When each stream had gone on."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What came of one kind."""

    kind: str
    upheavals: tuple[Upheaval, ...]
    pauses: tuple[float, ...]
    """Seconds: the longest gap between two echoes, around each."""
    usual: float
    """The longest gap between two echoes in the quiet before."""
    echoes: int
    before: Reading
    after: Reading
    keeper: Gauge
    """With all streams open, in the quiet before."""
    keeper_quiet: float
    """The share of a core that the keeper uses then."""
    keeper_cpu: float
    """Seconds of CPU that it has used for all upheavals."""
    keeper_lines: int
    """Lines of its source, `frontdoor/keeper`, but for the door process's end of the wire."""
    streams: int
    visits: int
    cut: int
    moved: dict[str, int]
    ledger: dict[str, Any]
    problems: tuple[str, ...]


def lines_of_the_keeper() -> int:
    """Of code, as they stand in the files."""
    folder = os.path.dirname(os.path.abspath(frontdoor.keeper.__file__))
    count = 0
    for name in os.listdir(folder):
        if name.endswith(".py") and name != "link.py":
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                count += len(file.readlines())
    return count


def too_long(figures: Figures) -> list[str]:
    """Which pauses were longer than they may be.

    What the machine itself makes clients wait, without any upheaval, comes on top of that.
    """
    limit = MOMENT[figures.kind] + figures.usual
    return [f"a pause of {pause * 1000:.0f} ms" for pause in figures.pauses if pause > limit]


def report(figures: Figures) -> None:
    """The figures, for people."""
    kind = "frontdoor upgrade" if figures.kind == "upgrade" else "kill -9 of the door process"
    say(f"{len(figures.upheavals)} x {kind}, {figures.streams} streams, {figures.visits} visits ({figures.cut} cut)")
    shown = f"median {statistics.median(figures.pauses) * 1000:.0f} ms, longest {max(figures.pauses) * 1000:.0f} ms"
    say(f"  longest gap between two echoes: {shown}")
    say(f"  in the quiet before: {figures.usual * 1000:.0f} ms; {figures.echoes:,} echoes measured")
    held = (
        f"{figures.keeper_quiet:.2%} of a core in the quiet before, {figures.keeper_cpu:.2f} s of CPU for all of them"
    )
    say(f"  keeper with {figures.streams} streams: {figures.keeper}; {held}; {figures.keeper_lines} lines of source")
    served = [one.served - one.began for one in figures.upheavals]
    say(f"  another one answers after: median {statistics.median(served):.2f} s, longest {max(served):.2f} s")
    say(f"  moved: {', '.join(f'{kind} {count / MB:,.0f} MB' for kind, count in figures.moved.items() if count)}")
    say(f"  ledger: {figures.ledger}")
    for name, was, now in (
        ("keeper", figures.before.keeper, figures.after.keeper),
        ("door process", figures.before.door, figures.after.door),
    ):
        say(f"  {name} before: {was}")
        say(f"  {name} after:  {now}")
    for problem in (*figures.problems, *too_long(figures)):
        say(f"  FAILED: {problem}")


def say(line: str) -> None:
    """One line of the story, at once. Standard output is for the figures."""
    print(f"upheaval: {line}", file=sys.stderr, flush=True)
