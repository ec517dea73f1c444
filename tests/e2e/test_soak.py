"""`scripts/soak` in short: it swaps and connects, compares, and leaves with 0. Its own figures take it some minutes."""

import json
import os
import subprocess
import sys

from e2e.harness import environment
from e2e.swarm import ROOT
from load.mix import KINDS

FEW = ["--connections", "1000", "--swaps", "13", "--warm-up", "13"]
GROWTH = ["--growth", "5"]
"""MB. What frontdoor remembers of swaps has its bound, which thirteen of them do not reach."""


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    """Run what scripts/soak runs, which would install into the very .venv that these tests run in."""
    return subprocess.run(
        [sys.executable, "-m", "load.soak", *options],
        env=environment(PYTHONPATH=os.path.join(ROOT, "scripts")),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_nothing_is_left_behind() -> None:
    ran = soak(*FEW, *GROWTH, "--json")
    print(ran.stderr)
    assert ran.returncode == 0, ran
    figures = json.loads(ran.stdout)
    assert (figures["connections"], figures["failed"]) == (1000, 0)
    assert set(figures["changes"]) == set(KINDS), "each of them was done"
    assert sum(figures["changes"].values()) == 13
    assert figures["problems"] == []
    assert f"soak: seed {figures['seed']}\n" in ran.stderr
    assert "1,000 connections, 13 changes: none failed, nothing was left behind\n" in ran.stderr


def test_what_is_too_much_is_said_and_it_leaves_with_1() -> None:
    ran = soak("--connections", "10", "--swaps", "0", "--warm-up", "0", "--growth", "-1000")
    assert ran.returncode == 1, ran
    assert "soak: FAILED: door process: " in ran.stderr
    assert "MB of memory more, -1000.00 MB are allowed\n" in ran.stderr
    assert "Traceback" not in ran.stderr
