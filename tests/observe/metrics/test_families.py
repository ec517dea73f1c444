"""The metrics say what the status says; and docs/metrics.md says what they are."""

import os
import re
from itertools import chain
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from frontdoor.observe.metrics.families import DOORS, WHOLE, families
from frontdoor.observe.metrics.family import Family, HistogramFamily
from frontdoor.observe.metrics.generations import GENERATIONS
from frontdoor.policy.ledger import Reason
from observe.metrics.seen import DRAIN, generation, seen

TABLE: tuple[Family | HistogramFamily, ...] = (*WHOLE, *DOORS, *GENERATIONS)
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
DOCS = os.path.join(ROOT, "docs", "metrics.md")

V1 = {"door": "main", "version": "v1", "generation": "v1#1"}


def value(of: Any, sample: str, **labels: str) -> float:
    """The value of the sample with these labels, and no others."""
    (found,) = [
        each.value
        for family in families(of)
        for each in family.samples
        if each.name == sample and each.labels == labels
    ]
    return float(found)


def labels_of(of: Any, sample: str) -> list[dict[str, str]]:
    return [each.labels for family in families(of) for each in family.samples if each.name == sample]


def test_all_that_a_door_can_have_is_shown() -> None:
    """A family without a sample here would be one that no test has looked at."""
    now = seen()
    for family in families(now):
        assert family.samples, family.name
    assert len(list(families(now))) == len({family.name for family in families(now)}) == len(TABLE)


@pytest.mark.parametrize(
    ("sample", "labels", "wanted"),
    [
        ("frontdoor_uptime_seconds", {}, 12.5),
        ("frontdoor_vault_streams", {}, 8),
        ("frontdoor_vault_full", {}, 0),
        ("frontdoor_earlier_requests", {}, 2),
        ("frontdoor_log_lines_dropped_total", {}, 17),
        ("frontdoor_access_log_lines_dropped_total", {"door": "main"}, 5),
        ("frontdoor_door_up", {"door": "main"}, 1),
        ("frontdoor_door_up", {"door": "empty"}, 0),
        ("frontdoor_door_paused", {"door": "empty"}, 1),
        ("frontdoor_door_maintenance", {"door": "main"}, 0),
        ("frontdoor_door_maintenance", {"door": "empty"}, 1),
        ("frontdoor_streams_accepted_total", {"door": "main"}, 120),
        ("frontdoor_streams_open", {"door": "main"}, 9),
        ("frontdoor_streams_ended_total", {"door": "main", "reason": "client_closed"}, 80),
        ("frontdoor_streams_ended_total", {"door": "main", "reason": "lost"}, 0),
        ("frontdoor_streams_limited", {"door": "empty"}, 1),
        ("frontdoor_http_connections", {"door": "main", "state": "busy"}, 9),
        ("frontdoor_http_connections", {"door": "main", "state": "idle"}, 10),
        ("frontdoor_generations", {"door": "main", "state": "draining"}, 1),
        ("frontdoor_generations", {"door": "main", "state": "warm"}, 0),
        ("frontdoor_swap_under_way", {"door": "main"}, 1),
        ("frontdoor_generation_streams_open", V1, 3),
        ("frontdoor_generation_streams_total", V1, 10),
        ("frontdoor_stream_bytes_total", {**V1, "direction": "up"}, 1000),
        ("frontdoor_stream_bytes_total", {**V1, "direction": "down"}, 90000),
        ("frontdoor_stream_age_seconds_bucket", {**V1, "le": "10.0"}, 1),
        ("frontdoor_stream_age_seconds_bucket", {**V1, "le": "+Inf"}, 2),
        ("frontdoor_stream_age_seconds_gcount", V1, 2),
        ("frontdoor_stream_age_seconds_gsum", V1, 100),
        ("frontdoor_dial_duration_seconds_bucket", {**V1, "le": "0.001"}, 2),
        ("frontdoor_dial_duration_seconds_bucket", {**V1, "le": "0.0025"}, 3),
        ("frontdoor_dial_duration_seconds_bucket", {**V1, "le": "10.0"}, 3),
        ("frontdoor_dial_duration_seconds_count", V1, 4),
        ("frontdoor_dial_failures_total", V1, 1),
        ("frontdoor_early_closes_total", V1, 2),
        ("frontdoor_backend_crashes_total", V1, 3),
        ("frontdoor_backend_restarts_total", V1, 6),
        ("frontdoor_backend_processes", {**V1, "state": "up"}, 1),
        ("frontdoor_backend_processes", {**V1, "state": "backing off"}, 1),
        ("frontdoor_backend_processes", {**V1, "state": "exited"}, 0),
        ("frontdoor_canary_share_ratio", {"door": "main", "version": "v3", "generation": "v3#3"}, 0.025),
        ("frontdoor_generation_state_timestamp_seconds", {**V1, "state": "draining"}, 1795338000),
        ("frontdoor_drain_streams", V1, 3),
        ("frontdoor_drain_remaining_seconds", V1, 60),
        ("frontdoor_drain_closed_streams", V1, 2),
        ("frontdoor_drain_waiting", V1, 0),
        ("process_open_fds", {}, 40),
        ("process_resident_memory_bytes", {}, 50 << 20),
    ],
)
def test_a_value_is_that_of_the_status(sample: str, labels: dict[str, str], wanted: float) -> None:
    assert value(seen(), sample, **labels) == wanted


def test_each_reason_of_the_ledger_is_there_from_the_start() -> None:
    """Else the first stream that is lost would be no increase."""
    there = [
        labels["reason"] for labels in labels_of(seen(), "frontdoor_streams_ended_total") if labels["door"] == "empty"
    ]
    assert there == list(Reason)


def test_a_drain_that_has_all_the_time_it_needs() -> None:
    now = seen(generations=[generation("v1#1", "draining", drain=DRAIN | {"deadline_s": None, "waits": "trouble"})])
    assert value(now, "frontdoor_drain_remaining_seconds", **V1) == float("inf")
    assert value(now, "frontdoor_drain_waiting", **V1) == 1


def test_a_door_whose_active_generation_has_no_process_that_is_up_is_down() -> None:
    processes = [{"pid": 1, "state": "backing off", "restarts": 1, "socket": ""}]
    now = seen(
        active="v1#1", generations=[generation("v1#1", "active", processes=processes), generation("v2#2", "warm")]
    )
    assert value(now, "frontdoor_door_up", door="main") == 0


def test_a_generation_that_has_ended_keeps_its_counts_and_has_no_processes() -> None:
    now = seen(generations=[generation("v1#1", "stopped", processes=[])], canary=None)
    assert value(now, "frontdoor_generation_streams_total", **V1) == 10
    for gone in ("frontdoor_backend_processes", "frontdoor_backend_restarts_total", "frontdoor_drain_streams"):
        assert labels_of(now, gone) == []


def test_a_generation_that_status_does_not_show_any_more_is_in_no_metric() -> None:
    now = seen(generations=[generation("v2#2", "active")], canary=None)
    there = {each.labels.get("generation") for family in families(now) for each in family.samples}
    assert there == {None, "v2#2"}


def test_a_count_that_is_taken_back_does_not_fall() -> None:
    now = seen(generations=[generation("v1#1", "active")])
    assert value(now, "frontdoor_generation_streams_total", **V1) == 10
    now.status["doors"][0]["generations"][0]["streams"]["total"] = 9
    assert value(now, "frontdoor_generation_streams_total", **V1) == 10


def test_names_are_as_prometheus_has_them() -> None:
    units = re.compile(r"_(seconds|bytes|ratio|total|info|fds|streams|requests|connections|processes|generations)(_|$)")
    booleans = re.compile(r"_(up|paused|maintenance|full|limited|way|waiting|open|limit)$")
    for family in TABLE:
        assert re.fullmatch(r"(frontdoor|process)_[a-z0-9_]+", family.name)
        assert units.search(family.name) or booleans.search(family.name), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent|count|sum|bucket)$", family.name)
        assert family.text.endswith("."), family.name


# -- the docs ----------------------------------------------------------------------------------------------------------


def kind(metric: Metric) -> str:
    return {"gaugehistogram": "histogram of now"}.get(metric.type, metric.type)


def rows() -> list[str]:
    made = {family.name.removesuffix("_total"): metric for family, metric in zip(TABLE, families(seen()), strict=True)}
    return [
        f"| `{family.name}` | {kind(made[family.name.removesuffix('_total')])}"
        f" | {', '.join(f'`{label}`' for label in family.labels)} | {family.text} |".replace("  ", " ")
        for family in chain(WHOLE, DOORS, GENERATIONS)
    ]


def test_the_docs_have_each_metric_with_its_kind_labels_and_meaning() -> None:
    with open(DOCS) as file:
        there = [line for line in file.read().splitlines() if re.match(r"\| `\w+` \| (counter|gauge|histogram)", line)]
    assert there == rows(), "docs/metrics.md should have these lines:\n" + "\n".join(rows())
