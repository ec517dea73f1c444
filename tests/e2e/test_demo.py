"""`scripts/demo`, which shows newcomers a swap under load: it says so when something fails."""

import hashlib
import os
import subprocess
import sys

from e2e.harness import environment
from e2e.swarm import ROOT

QUICKLY = ["--seconds", "0.5", "--websockets", "6"]


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    """Run it, in fewer seconds than it takes by itself, and with fewer clients."""
    command, env = [os.path.join(ROOT, "scripts", "demo")], environment()
    if not is_installed():
        # It would install into the very .venv that these tests run in: without that, this is what it does.
        command, env = [sys.executable, "-m", "load.demo"], environment(PYTHONPATH=os.path.join(ROOT, "scripts"))
    return subprocess.run(
        [*command, *QUICKLY, *options],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def is_installed() -> bool:
    """Whether scripts/venv has nothing to do."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as project:
        current = f"{ROOT} {hashlib.sha256(project.read()).hexdigest()}  -\n"
    for extras in ("dev", "samples"):
        stamp = os.path.join(ROOT, ".venv", f"installed-{extras}")
        if os.path.exists(stamp):
            with open(stamp) as file:
                if file.read() == current:
                    return True
    return False


def test_it_swaps_there_and_back_and_leaves_with_0() -> None:
    shown = demo()
    assert shown.returncode == 0, shown
    assert "demo: $ frontdoor swap v2\n" in shown.stdout
    assert "demo: $ frontdoor swap v1\n" in shown.stdout
    table = shown.stdout.partition("client")[2]
    for generation in ("v1#1", "v2#2", "v1#3"):
        assert f"{generation}: " in table, "each has answered"
    assert "2 swaps, " in shown.stdout
    assert "not one was refused, cut, or answered wrongly" in shown.stdout
    assert "Traceback" not in shown.stderr


def test_with_a_bad_door_it_fails_and_leaves_with_1() -> None:
    shown = demo("--sabotage")
    assert shown.returncode == 1, shown
    assert "demo: FAILED: " in shown.stdout
    assert "failures, the first of them:" in shown.stdout
    assert "Traceback" not in shown.stderr
