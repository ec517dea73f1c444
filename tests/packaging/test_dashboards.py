"""The Grafana dashboard and the alerts ask for nothing that frontdoor does not say.

Every expression is held against a real scrape, of a frontdoor with all that a door can have: a metric or a label that
is misspelt would be an empty panel, or an alert that never comes. If there is a promtool, it reads the rules as well.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.doors import Several, config_of
from e2e.harness import until
from e2e.scraping import Scraped, scrape

PACKAGING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "packaging")

GIVEN = {"job", "instance"}
"""Labels that Prometheus itself gives to what it scrapes."""
OTHERS = {"up": set[str]()}
"""Metrics that it makes itself, with their labels."""

Labels = dict[str, set[str]]


# -- what there is -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scraped() -> Iterator[Scraped]:
    """A scrape with a sample of each family: a door of http with a canary, and one of tcp that drains."""
    doors = {"web": {"protocol": "http"}, "chat": {}}
    with closing(Several(config_of(doors))) as frontdoor:
        frontdoor.start()
        client = frontdoor.door("chat").connect()
        assert client.generation == "v1#1"
        frontdoor.door("chat").swap("v2")
        canary = {"version": "v2", "canary": "5%", "wait": "shared"}
        assert frontdoor.outcome("/v1/doors/web/swap", canary)["exit_code"] == 0
        until(lambda: frontdoor.door("web").status()["canary"], "there is a canary")
        yield scrape(frontdoor)


@pytest.fixture(scope="module")
def known(scraped: Scraped) -> Labels:
    """Each metric, and its labels."""
    found = scraped.labels()
    lacking = [family.name for family in scraped.families if not family.samples]
    assert lacking == [], "of these nobody could say which labels they have"
    return {
        **{name: labels | GIVEN for name, labels in found.items()},
        **{n: each | GIVEN for n, each in OTHERS.items()},
    }


# -- what is asked for: enough of PromQL to find names -----------------------------------------------------------------

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_LISTS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()(?:\s*\{([^}]*)\})?")
_WORDS = {"and", "or", "unless", "bool", "offset", "Inf", "NaN", "by", "without", "on", "ignoring"}


@dataclass(frozen=True)
class Asked:
    """The names in an expression."""

    metrics: dict[str, set[str]]
    """Each with the labels by which it is selected."""
    by: set[str]
    """Labels that values are put together by, or matched on."""
    kept: set[str] | None
    """Labels that the result has, where the expression says so itself (``by``)."""


def asked(expression: str) -> Asked:
    text = _RANGE.sub("", _STRING.sub('""', expression))
    by, kept, metrics = set[str](), None, dict[str, set[str]]()
    for word, inner in _LISTS.findall(text):
        names = {name.strip() for name in inner.split(",") if name.strip()}
        by |= names
        kept = names if word == "by" and kept is None else kept
    for name, inner in _SELECTOR.findall(_LISTS.sub(" ", text)):
        if name not in _WORDS:
            matched = {re.split("[=!]", each)[0].strip() for each in inner.split(",") if each.strip()}
            metrics.setdefault(name, set()).update(matched)
    return Asked(metrics, by, kept)


def complaints(expression: str, shown: set[str], known: Labels) -> list[str]:
    """What it asks for that is not there. ``shown``: labels of its result that are shown to people."""
    names = asked(expression)
    wrong = [f"no metric {name}" for name in names.metrics if name not in known]
    of_all = set[str]().union(*(known.get(name, set()) for name in names.metrics))
    for name, labels in names.metrics.items():
        wrong += [f"{name} has no label {label}" for label in sorted(labels - known.get(name, set()))]
    wrong += [f"nothing has the label {label}" for label in sorted(names.by - of_all)]
    wrong += [f"the result has no label {label}" for label in sorted(shown - (names.kept or of_all))]
    return wrong if names.metrics else ["it asks for nothing"]


@pytest.mark.parametrize(
    ("expression", "shown", "wrong"),
    [
        ("frontdoor_streams_open", {"door"}, []),
        ("frontdoor_streams_opened", set(), ["no metric frontdoor_streams_opened"]),
        ('frontdoor_streams_open{dor="main"}', set(), ["frontdoor_streams_open has no label dor"]),
        ('frontdoor_streams_open{door="a{b}, c=d"} > 3', set(), []),
        ("sum by (reason) (rate(frontdoor_streams_ended_total[5m]))", {"reason"}, []),
        ("sum by (reason) (frontdoor_streams_ended_total)", {"door"}, ["the result has no label door"]),
        ("sum without (state) (frontdoor_streams_open)", set(), ["nothing has the label state"]),
        ("up == 0 and on (job, generation) frontdoor_streams_open", set(), ["nothing has the label generation"]),
        ("histogram_quantile(0.9, rate(frontdoor_loop_lag_seconds_bucket[5m])) > Inf", {"instance"}, []),
        ("vector(1)", set(), ["it asks for nothing"]),
    ],
)
def test_what_is_wrong_is_found(expression: str, shown: set[str], wrong: list[str], known: Labels) -> None:
    assert complaints(expression, shown, known) == wrong


# -- the alerts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alert:
    name: str
    expression: str
    summary: str
    description: str
    severity: str

    @property
    def shown(self) -> set[str]:
        return set(re.findall(r"\$labels\.(\w+)", self.summary + self.description))


def alerts() -> list[Alert]:
    """The rules. There is no library for YAML here: each value is on one line, or folded (``>-``)."""
    with open(os.path.join(PACKAGING, "alerts.yml")) as file:
        parts = re.split(r"^ +- alert: (\w+)\n", file.read(), flags=re.MULTILINE)[1:]
    return [
        Alert(name, *(_value(text, key) for key in ("expr", "summary", "description", "severity")))
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def _value(text: str, key: str) -> str:
    found = re.search(rf"^( +){key}: (?:>-\n((?:\1  .*\n)+)|(.*)\n)", text, re.MULTILINE)
    assert found, f"{key} in {text}"
    return " ".join((found[2] or found[3]).split()).strip('"')


ALERTS = alerts()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_asks_for_what_there_is(alert: Alert, known: Labels) -> None:
    assert complaints(alert.expression, alert.shown, known) == []
    assert re.fullmatch(r"Frontdoor[A-Z]\w+", alert.name)
    assert alert.severity in ("page", "ticket")
    assert "$labels.instance" in alert.summary, "which machine it is about"
    assert 20 < len(alert.summary) < 150
    assert len(alert.description) > 60, "what it means, and what to do"


def test_each_trouble_has_an_alert() -> None:
    expressions = " ".join(alert.expression for alert in ALERTS)
    for metric in (
        "frontdoor_door_up",
        "frontdoor_backend_restarts_total",
        "frontdoor_swaps_total",
        "frontdoor_drain_streams",
        "process_open_fds",
        "frontdoor_streams_limit",
        "frontdoor_loop_lag_seconds_bucket",
        "frontdoor_vault_full",
        "frontdoor_log_lines_dropped_total",
        "frontdoor_dial_failures_total",
    ):
        assert metric in expressions
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_the_docs_have_each_alert() -> None:
    with open(os.path.join(PACKAGING, "..", "docs", "metrics.md")) as file:
        there = re.findall(r"^\| `(Frontdoor\w+)` \| (\w+) \|", file.read(), re.MULTILINE)
    assert there == [(alert.name, alert.severity) for alert in ALERTS]


def test_the_docs_ask_for_what_there_is(known: Labels) -> None:
    with open(os.path.join(PACKAGING, "..", "docs", "metrics.md")) as file:
        questions = file.read().partition("## Some questions")[2]
    answers = re.findall(r"^\| [^|]+ \| `([^`]+)`", questions, re.MULTILINE)
    assert len(answers) == 6
    for answer in answers:
        assert complaints(answer.replace(r"\|", "|"), set(), known) == []


def test_promtool_has_nothing_to_complain_of(scraped: Scraped) -> None:
    """Prometheus' own tool, where there is one (Debian's package prometheus); else its parser must be enough."""
    assert len(scraped.families) > 40
    promtool = shutil.which("promtool")
    if promtool is not None:
        _ends_well([promtool, "check", "metrics"], scraped.text)
        _ends_well([promtool, "check", "rules", os.path.join(PACKAGING, "alerts.yml")])


def _ends_well(command: list[str], text: str = "") -> None:
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, ""), ended


# -- the dashboard -----------------------------------------------------------------------------------------------------


def dashboard() -> dict[str, Any]:
    with open(os.path.join(PACKAGING, "grafana-dashboard.json")) as file:
        read: dict[str, Any] = json.load(file)
    return read


DASHBOARD = dashboard()
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any], known: Labels) -> None:
    for target in panel["targets"]:
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert complaints(target["expr"], shown, known) == [], target["expr"]


def test_annotations_and_variables_ask_for_what_there_is(known: Labels) -> None:
    ours = [each for each in DASHBOARD["annotations"]["list"] if "expr" in each]
    assert [each["name"] for each in ours] == ["Switches", "Swaps that did not stay"]
    for each in ours:
        shown = {*re.findall(r"\{\{(\w+)\}\}", each["titleFormat"]), *each["tagKeys"].split(",")}
        assert complaints(each["expr"], shown, known) == []
    queries = [each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    for query in queries:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found
        assert complaints(found[1], {found[2]}, known) == []
    assert len(queries) == 2


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD.get("id") is None, "Grafana gives it one"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]\w*)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == variables == {"datasource", "instance", "door"}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}", "whatever it is called there"


def test_no_panel_lies_upon_another() -> None:
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, panel["title"]
            taken.add(cell)


def test_every_metric_is_in_the_dashboard_or_an_alert(scraped: Scraped) -> None:
    """Else nobody would ever look at it."""
    everywhere = json.dumps(DASHBOARD) + " ".join(alert.expression for alert in ALERTS)
    unused = [family.name for family in scraped.families if family.name not in everywhere]
    assert set(unused) <= {
        "frontdoor_uptime_seconds",
        "frontdoor_earlier_requests",
        "frontdoor_door_maintenance",
        "frontdoor_limit_reached",
        "frontdoor_generations",
        "frontdoor_drain_closed_streams",
        "frontdoor_stream_age_seconds_gcount",
        "frontdoor_stream_age_seconds_gsum",
    }
