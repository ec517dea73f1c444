from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
import trio

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket, open_listener
from frontdoor.cli.main import VERBS


async def complete(shell: Shell, *words: str) -> list[str]:
    """What a shell is told when Tab is pressed at the end of `words`."""
    env = {"_FRONTDOOR_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    result = await shell.run(**env)
    assert (result.exit_code, result.err) == (0, "")
    return [line.removeprefix("plain,") for line in result.out.splitlines() if line]


async def test_a_version_is_one_that_the_running_frontdoor_knows(shell: Shell, door: FakeDoor) -> None:
    door.state["doors"][0]["generations"].append({"id": "v0#0", "state": "stopped"})
    assert await complete(shell, "frontdoor", "swap", "") == ["v1", "v2", "v3", "v2#2", "v1#1"]
    assert await complete(shell, "frontdoor", "drain", "--now", "v1") == ["v1", "v1#1"]
    # Not asked of anybody: shares, and the verbs themselves.
    assert await complete(shell, "frontdoor", "canary", "5") == ["5%", "50%"]
    assert await complete(shell, "frontdoor", "re") == ["restart", "reload", "report", "resume"]
    assert await complete(shell, "frontdoor", "maintenance", "o") == ["on", "off"]
    assert await complete(shell, "frontdoor", "swop", "v") == []


async def test_doors_and_their_versions(shell: Shell) -> None:
    shell.write_config()
    door = FakeDoor(("main", "api"))
    door.state["doors"][1] |= {"versions": ["2026.1"], "generations": []}
    async with control_socket(door, shell.socket):
        assert await complete(shell, "frontdoor", "swap", "--door", "") == ["main", "api"]
        assert await complete(shell, "frontdoor", "swap", "--door", "api", "") == ["2026.1"]
        assert "v1" in await complete(shell, "frontdoor", "swap", "--control", "run/control.sock", "")


async def test_nothing_runs_or_nothing_answers(shell: Shell) -> None:
    assert await complete(shell, "frontdoor", "swap", "") == []
    assert await complete(shell, "frontdoor", "swap", "--config", "nope.toml", "") == []
    shell.write_config()
    with open_listener(shell.socket):  # and nobody accepts
        before = time.monotonic()
        assert await complete(shell, "frontdoor", "swap", "") == []
        assert time.monotonic() - before < 5


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
async def test_each_shell_has_its_script(shell: Shell, name: str) -> None:
    result = await shell.run("completion", name)
    assert (result.exit_code, result.err) == (0, "")
    assert f"_FRONTDOOR_COMPLETE={name}_complete" in result.out
    if interpreter := shutil.which(name):
        await trio.run_process([interpreter, "-n"], stdin=result.out.encode())  # it has no error that a parser sees


async def test_bash_itself(shell: Shell, door: FakeDoor) -> None:
    script = """
    eval "$(frontdoor completion bash)"
    COMP_WORDS=(frontdoor swap v2); COMP_CWORD=2
    _frontdoor_completion frontdoor
    echo "${COMPREPLY[@]}"
    """
    env = {**shell.env, "PATH": os.path.dirname(sys.executable) + ":" + os.environ["PATH"]}
    bash = shutil.which("bash")
    assert bash is not None
    done = await trio.run_process([bash, "-c", script], capture_stdout=True, cwd=shell.folder, env=env)
    assert done.stdout.decode() == "v2 v2#2\n"


def test_no_verb_is_imported_to_complete_one(shell: Shell) -> None:
    code = """
import sys
from frontdoor.cli.main import main
try:
    main([])
except SystemExit:
    print(*sys.modules)
"""
    words = {"_FRONTDOOR_COMPLETE": "zsh_complete", "COMP_WORDS": "frontdoor ", "COMP_CWORD": "1"}
    run = subprocess.run([sys.executable, "-c", code], env={**shell.env, **words}, capture_output=True, text=True)
    assert "Move new connections" in run.stdout
    modules = set(run.stdout.splitlines()[-1].split())
    assert modules.isdisjoint({f"frontdoor.cli.{verb}" for verb in VERBS} | {"http.client", "trio", "pydantic"})
