"""The metrics of generations. A generation that status does not show any more has none: so they do not pile up."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from frontdoor.observe.metrics.family import PLACE, Family, HistogramFamily, HistogramRow, Row, Seen, per_generation
from frontdoor.observe.metrics.figures import AGES
from frontdoor.policy.conduct import BOUNDS
from frontdoor.policy.share import WHOLE, parse_share
from frontdoor.processes.member import Life


def _since(seen: Seen) -> Iterable[Row]:
    for each, labels, _ in seen.generations:
        yield (*labels, each["state"]), datetime.fromisoformat(each["since"]).timestamp()


def _total(seen: Seen) -> Iterable[Row]:
    for each, labels, place in seen.generations:
        yield labels, seen.figures.meters.most(*place, each["streams"]["total"])


def _bytes(seen: Seen) -> Iterable[Row]:
    for each, labels, _ in seen.generations:
        for direction in ("up", "down"):
            yield (*labels, direction), each["bytes"][direction]


def _ages(seen: Seen) -> Iterable[HistogramRow]:
    for _, labels, place in seen.generations:
        if (ages := seen.figures.ages.get(place)) is not None:
            yield labels, ages.cumulative, ages.sum


def _dials(seen: Seen) -> Iterable[HistogramRow]:
    for _, labels, place in seen.generations:
        if (conduct := seen.figures.conduct.get(place)) is not None:
            yield labels, conduct.cumulative, conduct.dial_time


def _failures(kind: str) -> Any:
    return per_generation(lambda generation: generation["failures"][kind])


def _processes(seen: Seen) -> Iterable[Row]:
    for each, labels, _ in seen.generations:
        if each["processes"]:
            there = [process["state"] for process in each["processes"]]
            for state in Life:
                yield (*labels, state.value), there.count(state.value)


def _restarts(generation: Mapping[str, Any]) -> float | None:
    if not generation["processes"]:
        return None  # it has ended
    restarts: int = sum(process["restarts"] for process in generation["processes"])
    return restarts


def _share(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        if (canary := door["canary"]) is not None:
            version = canary["generation"].rpartition("#")[0]
            yield (door["name"], version, canary["generation"]), parse_share(canary["share"]) / WHOLE


def _of_drain(get: Any) -> Any:
    return per_generation(lambda generation: get(generation) if "drain" in generation else None)


def _left(generation: Mapping[str, Any]) -> float:
    seconds: float | None = generation["drain"]["deadline_s"]
    return math.inf if seconds is None else seconds


GENERATIONS: tuple[Family | HistogramFamily, ...] = (
    Family(
        "frontdoor_generation_state_timestamp_seconds",
        "When the generation came into the state that it has, in seconds since the epoch; there is one for each"
        " generation, with its state as a label.",
        (*PLACE, "state"),
        _since,
    ),
    Family(
        "frontdoor_generation_streams_open",
        "Streams that the generation has open now.",
        PLACE,
        per_generation(lambda generation: generation["streams"]["open"]),
    ),
    Family(
        "frontdoor_generation_streams_total",
        "Streams that the generation was given so far.",
        PLACE,
        _total,
    ),
    Family(
        "frontdoor_stream_bytes_total",
        "Bytes that streams have moved: up is from clients to the backend, down is to the clients.",
        (*PLACE, "direction"),
        _bytes,
    ),
    HistogramFamily(
        "frontdoor_stream_age_seconds",
        "How long the streams that are open now have been open. It shows what there is: do not take its rate.",
        PLACE,
        AGES,
        _ages,
        now=True,
    ),
    HistogramFamily(
        "frontdoor_dial_duration_seconds",
        "How long clients waited for a connection to the backend, of those who got one.",
        PLACE,
        BOUNDS,
        _dials,
    ),
    Family(
        "frontdoor_dial_failures_total",
        "Clients whom no process of the generation took: refused, none up, or they waited too long.",
        PLACE,
        _failures("dials"),
    ),
    Family(
        "frontdoor_early_closes_total",
        "Streams that the backend ended right after their start without having sent a byte.",
        PLACE,
        _failures("early_closes"),
    ),
    Family(
        "frontdoor_backend_crashes_total",
        "Exits of the generation's processes that nobody had asked for.",
        PLACE,
        _failures("crashes"),
    ),
    Family(
        "frontdoor_backend_restarts_total",
        "Restarts of the generation's processes by frontdoor, after a crash or because a health check failed.",
        PLACE,
        per_generation(_restarts),
    ),
    Family(
        "frontdoor_backend_processes",
        "Processes of the generation, by what they are doing.",
        (*PLACE, "state"),
        _processes,
    ),
    Family(
        "frontdoor_canary_share_ratio",
        "Share of the new streams that the canary gets, 0 to 1. There is one while there is a canary.",
        PLACE,
        _share,
    ),
    Family(
        "frontdoor_drain_streams",
        "Streams that a draining generation still has. There is one while it drains.",
        PLACE,
        _of_drain(lambda generation: generation["streams"]["open"]),
    ),
    Family(
        "frontdoor_drain_remaining_seconds",
        "Seconds until the last stream of a draining generation is closed; +Inf where it has all the time it needs.",
        PLACE,
        _of_drain(_left),
    ),
    Family(
        "frontdoor_drain_closed_streams",
        "Streams that the drain had to close so far.",
        PLACE,
        _of_drain(lambda generation: generation["drain"]["closed"]),
    ),
    Family(
        "frontdoor_drain_waiting",
        "1 while a drain closes nothing because it is a bad moment to send clients away (status says why). Else 0.",
        PLACE,
        _of_drain(lambda generation: generation["drain"]["waits"] is not None),
    ),
)
"""Of each generation that status shows."""
