import pytest

from benchmark.figure import SMOKE, Figure
from benchmark.report import Line, data, judged, lines, number, summary, table
from benchmark.rounds import Sample

RATE = Figure("a.rate", "requests", "req/s", True, {"haproxy": 1.0, "nginx": 0.9})
CPU = Figure("a.cpu", "CPU", "µs", False, {"haproxy": 1.1}, ceiling=20)
NOBODY = Figure("b", "what nobody could measure", "B", False, {"haproxy": 1.0})


def sample(target: str, rate: float, cpu: float | None = None, number: int = 1) -> Sample:
    return Sample(number, "a", target, {"a.rate": rate} | ({} if cpu is None else {"a.cpu": cpu}))


SAMPLES = [
    *[sample("frontdoor", rate, cpu) for rate, cpu in ((90, 10), (100, 30), (500, 11))],
    *[sample("haproxy", rate, 10) for rate in (101, 99, 100)],
    sample("nginx", 125),
    sample("direct", 1000),
    Sample(1, "a", "envoy", {}, "it broke"),
]


def test_medians_over_the_rounds() -> None:
    rate, cpu = lines([RATE, CPU, NOBODY], SAMPLES)
    assert rate.medians == {"frontdoor": 100, "haproxy": 100, "nginx": 125, "direct": 1000}
    assert cpu.medians == {"frontdoor": 11, "haproxy": 10}


def test_ratios_and_whether_they_are_as_wanted() -> None:
    rate, cpu = lines([RATE, CPU], SAMPLES)
    assert (rate.ratio("haproxy"), rate.met("haproxy")) == (1.0, True)
    assert (rate.ratio("nginx"), rate.met("nginx")) == (0.8, False)
    assert (rate.ratio("envoy"), rate.met("envoy")) == (None, None)
    assert (rate.ratio("direct"), rate.met("direct")) == (0.1, None), "nothing is wanted of it"
    assert (cpu.ratio("haproxy"), cpu.met("haproxy")) == (1.1, True)
    assert cpu.verdicts() == {"haproxy": True, "frontdoor": True}


@pytest.mark.parametrize(
    ("more_is_better", "value", "holds"), [(False, 21, False), (False, 20, True), (True, 19, False)]
)
def test_an_absolute_limit(more_is_better: bool, value: float, holds: bool) -> None:
    figure = Figure("c", "c", "ms", more_is_better, ceiling=20)
    assert Line(figure, {"frontdoor": value}).absolute() is holds
    assert Line(figure, {"haproxy": value}).absolute() is None


def test_a_peer_that_needs_nothing_has_no_ratio() -> None:
    assert Line(CPU, {"frontdoor": 1.0, "haproxy": 0.0}).met("haproxy") is None


def test_the_table() -> None:
    shown = table(lines([RATE, CPU], SAMPLES), ["frontdoor", "haproxy", "nginx", "direct"]).splitlines()
    assert shown[0] == "|  | unit | frontdoor | haproxy | nginx | direct | / haproxy | / nginx |"
    assert shown[2] == "| requests | req/s | 100 | 100 | 125 | 1,000 | 1.00 (≥ 1: yes) | 0.800 (≥ 0.9: **no**) |"
    assert shown[3] == "| CPU | µs | 11.0 (≤ 20: yes) | 10.0 |  |  | 1.10 (≤ 1.1: yes) |  |"
    assert len({row.count("|") for row in shown}) == 1


def test_the_summary_says_what_is_not_met() -> None:
    assert summary(lines([RATE, CPU], SAMPLES)) == "3 of 4 limits are met; not met: a.rate (nginx)"
    assert summary([Line(CPU, {"frontdoor": 9, "haproxy": 9})]) == "2 of 2 limits are met"
    assert "a.cpu (absolute)" in summary([Line(CPU, {"frontdoor": 99})])


def test_the_data_has_every_sample() -> None:
    found = data({"CPU": "one"}, SMOKE, lines([RATE], SAMPLES), SAMPLES)
    assert [each["error"] for each in found["samples"]].count("it broke") == 1
    assert len(found["samples"]) == len(SAMPLES)
    (figure,) = found["figures"]
    assert figure["ratios"] == {"haproxy": 1.0, "nginx": 0.8, "direct": 0.1}
    assert figure["met"] == {"haproxy": True, "nginx": False}
    assert found["scale"]["rounds"] == SMOKE.rounds


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (0, "0"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345, "12,345")],
)
def test_a_number_has_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_without_a_limit_there_is_no_verdict() -> None:
    assert judged(1.5, None, None, True) == "1.50"
    assert judged(None, 2.0, None, True) == ""
