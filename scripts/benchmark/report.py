"""What a run says: medians, ratios to the peers, and whether these are as they are wanted."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.figure import Figure, Scale
from benchmark.rounds import Sample

OURS = "frontdoor"


@dataclass(frozen=True)
class Line:
    """A figure, and what came of it."""

    figure: Figure
    medians: Mapping[str, float]  # target → median over the rounds, in the figure's unit

    def ratio(self, peer: str) -> float | None:
        """Frontdoor / peer; None where one of them has no value, or the peer's is 0."""
        ours, theirs = self.medians.get(OURS), self.medians.get(peer)
        return ours / theirs if ours is not None and theirs else None

    def met(self, peer: str) -> bool | None:
        """Whether that ratio is as wanted; None where nothing is wanted, or nothing is known."""
        ratio, limit = self.ratio(peer), self.figure.wanted.get(peer)
        return None if ratio is None or limit is None else self._holds(ratio, limit)

    def absolute(self) -> bool | None:
        """Whether frontdoor's own value is within its ceiling; None where there is none, or nothing is known."""
        ours, limit = self.medians.get(OURS), self.figure.ceiling
        return None if ours is None or limit is None else self._holds(ours, limit)

    def _holds(self, value: float, limit: float) -> bool:
        return value >= limit if self.figure.more_is_better else value <= limit

    def verdicts(self) -> dict[str, bool]:
        """All limits that could be judged: peer, or frontdoor for the absolute one → whether it is met."""
        found = {peer: self.met(peer) for peer in self.figure.wanted} | {OURS: self.absolute()}
        return {name: met for name, met in found.items() if met is not None}


def lines(figures: Iterable[Figure], samples: Iterable[Sample]) -> list[Line]:
    """A line for each figure that somebody has a value of."""
    values: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        for key, value in sample.values.items():
            values.setdefault(key, {}).setdefault(sample.target, []).append(value)
    return [
        Line(figure, {target: statistics.median(all_of) for target, all_of in values[figure.key].items()})
        for figure in figures
        if figure.key in values
    ]


def table(those: Sequence[Line], targets: Sequence[str]) -> str:
    """A table in Markdown: the medians of all targets, then the ratios to the peers."""
    peers = [name for name in targets if name not in (OURS, "direct")]
    shown = [name for name in targets if name != OURS]
    head = ["", "unit", OURS, *shown, *[f"/ {peer}" for peer in peers]]
    rows = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    for line in those:
        ours = judged(line.medians.get(OURS), line.figure.ceiling, line.absolute(), line.figure.more_is_better)
        others = [number(line.medians.get(name)) for name in shown]
        ratios = [
            judged(line.ratio(peer), line.figure.wanted.get(peer), line.met(peer), line.figure.more_is_better)
            for peer in peers
        ]
        rows.append([line.figure.title, line.figure.unit, ours, *others, *ratios])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def judged(value: float | None, limit: float | None, met: bool | None, more_is_better: bool) -> str:
    """Such as `1.04 (≥ 1: yes)`, or only the value."""
    if limit is None or met is None:
        return number(value)
    answer = "yes" if met else "**no**"
    return f"{number(value)} ({'≥' if more_is_better else '≤'} {limit:g}: {answer})"


def number(value: float | None) -> str:
    """Three digits, or all those before the point."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def summary(those: Iterable[Line]) -> str:
    """How many of the wanted limits are met, and which are not."""
    found = {(line.figure.key, name): met for line in those for name, met in line.verdicts().items()}
    text = f"{sum(found.values())} of {len(found)} limits are met"
    missed = [f"{key} ({'absolute' if name == OURS else name})" for (key, name), met in found.items() if not met]
    return text + (f"; not met: {', '.join(missed)}" if missed else "")


def data(machine: Mapping[str, str], scale: Scale, those: Iterable[Line], samples: Iterable[Sample]) -> dict[str, Any]:
    """All of it, for programs: every sample too."""
    return {
        "machine": dict(machine),
        "scale": dataclasses.asdict(scale),
        "figures": [_figure(line) for line in those],
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }


def _figure(line: Line) -> dict[str, Any]:
    ratios = {peer: line.ratio(peer) for peer in line.medians if peer != OURS}
    return {
        "key": line.figure.key,
        "title": line.figure.title,
        "unit": line.figure.unit,
        "more_is_better": line.figure.more_is_better,
        "medians": dict(line.medians),
        "ratios": {peer: ratio for peer, ratio in ratios.items() if ratio is not None},
        "wanted": dict(line.figure.wanted),
        "ceiling": line.figure.ceiling,
        "met": line.verdicts(),
    }
