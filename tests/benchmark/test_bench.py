"""`scripts/bench --smoke`: it measures everything, with two of the peers. Nobody looks at what comes of it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.cases import CASES, HTTP_CASES
from benchmark.figure import Case
from e2e.harness import environment
from e2e.swarm import ROOT


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    """Run what scripts/bench runs, which would install into the very .venv that these tests run in."""
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *options],
        env=environment(PYTHONPATH=os.path.join(ROOT, "scripts")),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.long
@pytest.mark.skipif(not all(map(shutil.which, ("haproxy", "nginx", "wrk"))), reason="apt-get install haproxy nginx wrk")
def test_it_works(tmp_path: Path) -> None:
    ran = bench("--smoke", "--peers", "haproxy,nginx", "--out", str(tmp_path))
    print(ran.stderr)
    assert ran.returncode == 0, ran
    assert "Traceback" not in ran.stderr
    assert sorted(os.listdir(tmp_path)) == ["chart.svg", "results.json", "table.md"]
    with open(os.path.join(tmp_path, "table.md")) as file:
        assert file.read() == ran.stdout
    with open(os.path.join(tmp_path, "results.json")) as file:
        results = json.load(file)
    targets = {"frontdoor", "haproxy", "nginx"}
    measured = {(sample["case"], sample["target"]) for sample in results["samples"]}
    assert measured == {(case.name, name) for case in CASES for name in targets if name == "frontdoor" or not case.own}
    for sample in results["samples"]:
        assert sample["values"], sample
    assert all("frontdoor" in figure["medians"] for figure in results["figures"])


@pytest.mark.skipif(not all(map(shutil.which, ("haproxy", "nginx", "wrk"))), reason="apt-get install haproxy nginx wrk")
def test_it_works_with_requests(tmp_path: Path) -> None:
    ran = bench("--http", "--smoke", "--only", "http.50", "--peers", "haproxy", "--out", str(tmp_path))
    print(ran.stderr, ran.stdout)
    assert ran.returncode == 0, ran
    with open(os.path.join(tmp_path, "results.json")) as file:
        results = json.load(file)
    assert {(sample["case"], sample["target"]) for sample in results["samples"]} == {
        ("http.50", "frontdoor"),
        ("http.50", "haproxy"),
    }
    assert all(sample["values"]["http.50.cpu"] > 0 for sample in results["samples"])


@pytest.mark.parametrize(("options", "cases"), [([], CASES), (["--http"], HTTP_CASES)])
def test_it_lists_what_it_would_measure(options: list[str], cases: Sequence[Case]) -> None:
    listed = bench("--list", *options)
    assert listed.returncode == 0, listed
    assert [line.split()[0] for line in listed.stdout.splitlines() if line[0] != " "] == [case.name for case in cases]


@pytest.mark.parametrize(
    "options",
    [["--peers", "apache"], ["--rounds", "0"], ["--only", "nothing"], ["--only", "http.50"], ["--peers", "caddy"]],
)
def test_what_it_does_not_know_is_said(options: list[str]) -> None:
    refused = bench(*options)
    assert refused.returncode == 2
    assert "usage: scripts/bench" in refused.stderr
    assert "Traceback" not in refused.stderr
