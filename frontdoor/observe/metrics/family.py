"""A family of metrics: its name, what it means, its labels, and where its values come from.

Names and units are as Prometheus has them (prometheus.io/docs/practices/naming): the base unit is part of the name, and
what ends in ``_total`` only rises, until it begins anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from frontdoor.observe.metrics.figures import Figures, Place

DOOR = ("door",)
PLACE = ("door", "version", "generation")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one scrape shows: all of it as it was at one moment."""

    status: Mapping[str, Any]
    """As ``status --json`` prints it."""
    figures: Figures

    @property
    def doors(self) -> Iterable[Mapping[str, Any]]:
        """The doors' parts of the status."""
        doors: list[Mapping[str, Any]] = self.status["doors"]
        return doors

    @property
    def generations(self) -> Iterator[tuple[Mapping[str, Any], Sequence[str], Place]]:
        """Each generation's part, with the values of the labels ``PLACE``, and its key among the figures."""
        for door in self.doors:
            for one in door["generations"]:
                yield one, (door["name"], one["version"], one["id"]), (door["name"], one["id"])


Row = tuple[Sequence[str], float]
"""The values of the labels, and that of the metric."""

HistogramRow = tuple[Sequence[str], Sequence[int], float]
"""The values of the labels, cumulative counts (the last one is of all), and the sum of what was observed."""


@dataclass(frozen=True, slots=True)
class Family:
    """A counter, if its name ends in ``_total``; else a gauge."""

    name: str
    text: str
    labels: Sequence[str]
    rows: Callable[[Seen], Iterable[Row]]

    def metric(self, seen: Seen) -> Metric:
        """It with its values."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        metric = kind(self.name, self.text, labels=self.labels)
        for labels, value in self.rows(seen):
            metric.add_metric(labels, value)
        return metric


@dataclass(frozen=True, slots=True)
class HistogramFamily:
    """A histogram: of what has happened so far, or with ``now`` of what there is, so that its counts may fall, too."""

    name: str
    text: str
    labels: Sequence[str]
    bounds: Sequence[float]
    rows: Callable[[Seen], Iterable[HistogramRow]]
    now: bool = False

    def metric(self, seen: Seen) -> Metric:
        """It with its values."""
        kind = GaugeHistogramMetricFamily if self.now else HistogramMetricFamily
        metric = kind(self.name, self.text, labels=self.labels)
        bounds = [*map(floatToGoString, self.bounds), "+Inf"]
        for labels, counts, total in self.rows(seen):
            metric.add_metric(labels, list(zip(bounds, counts, strict=True)), total)
        return metric


def one(get: Callable[[Seen], float]) -> Callable[[Seen], Iterable[Row]]:
    """The only value."""
    return lambda seen: [((), get(seen))]


def per_door(get: Callable[[Mapping[str, Any]], float]) -> Callable[[Seen], Iterable[Row]]:
    """A value for each door, from its part of the status."""
    return lambda seen: [((door["name"],), get(door)) for door in seen.doors]


def per_generation(get: Callable[[Mapping[str, Any]], float | None]) -> Callable[[Seen], Iterable[Row]]:
    """A value for each generation, from its part of the status; None: it has none."""
    return lambda seen: [(labels, value) for each, labels, _ in seen.generations if (value := get(each)) is not None]
