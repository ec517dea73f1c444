from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from cli.shell import Shell
from frontdoor.cli.main import VERBS, main
from frontdoor.config.units import parse_duration


async def test_version(shell: Shell) -> None:
    assert (await shell.run("--version")).out == "frontdoor 0.1.0\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], *([verb, "--help"] for verb in VERBS)):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert (out.startswith(" ".join(["Usage: frontdoor", *arguments[:-1]])), err) == (True, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing command"),
        (["swop", "v2"], "no command 'swop'; did you mean swap?"),
        (["top"], "this is no terminal; use: frontdoor status --watch"),
        (["xyz"], "there is serve, swap, canary"),
        (["--bogus"], "--bogus"),
        (["swap"], "Missing argument 'VERSION'"),
        (["swap", "v2", "v3"], "unexpected extra argument"),
        (["swap", "v2", "--wait", "soon"], "'soon' is not one of"),
        (["swap", ".v2"], "'.v2' is not the name of a version"),
        (["swap", "v2#0"], "not the name of a version"),
        (["swap", "v" * 65], "not the name of a version"),
        (["swap", "v2\n"], "not the name of a version"),
        (["streams", "../v1"], "not the name of a version"),
        (["swap", "v2", "--canary", "5"], '--canary: "5" is no share: write it as a percentage, such as 5% or 0.5%'),
        (["swap", "v2", "--canary", "5%,"], '--canary: "" is no share'),
        (["swap", "v2", "--canary", "101%"], "a share of 101% is too large: it must be 100% or less"),
        (["swap", "v2", "--canary", "-1%"], "a share of -1% is too small: it must be 0% or more"),
        (["swap", "v2", "--canary", "0.125%"], "a share of 0.125% is too fine"),
        (["swap", "v2", "--canary", "25%,5%", "--every", "5m"], "the steps must rise: 5% does not come after 25%"),
        (["swap", "v2", "--canary", "5%,5%", "--every", "5m"], "the steps must rise"),
        (["swap", "v2", "--canary", "5%,25%"], "several steps need the time that each of them lasts"),
        (["swap", "v2", "--canary", "5%", "--every", "5m"], "a time for each step needs several of them"),
        (["swap", "v2", "--canary", "5%,25%", "--every", "0s"], "the time of each step, --every, must be more than 0s"),
        (["swap", "v2", "--canary", "5%", "--by", "cookie"], "'cookie' is not one of"),
        (["swap", "v2", "--every", "5m"], "--every is of a canary"),
        (["swap", "v2", "--by", "address"], "--by is of a canary"),
        (["swap", "v2", "--wait", "shared"], "--wait shared is for a canary"),
        (["rollback", "--wait", "shared"], "'shared' is not one of"),
        (["canary"], "Missing argument 'SHARE'"),
        (["canary", "lots"], '"lots" is no share'),
        (["canary", "100.01%"], "must be 100% or less"),
        (["pause", "--for", "0s"], "--for is longer than 0"),
        (["pause", "--for", "never"], "'never' is not a duration"),
        (["drain", "v1"], "either --now or --over"),
        (["drain", "v1", "--now", "--over", "1m"], "either --now or --over"),
        (["drain", "v1", "--over", "10"], "'10' is not a duration"),
        (["drain", "v1", "--over", "never"], "'never' is not a duration"),
        (["drain", "v1", "--over", "-1s"], "'-1s' is not a duration"),
        (["status", "--config", "nope.toml"], "nope.toml cannot be read"),
        (["serve", "nope.toml"], "nope.toml: there is no such file"),
        (["serve", "."], "cannot be read"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("frontdoor: ")
    assert says in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "swap"],
        ["swap", "--json"],
        ["drain", "v1", "--json"],
        ["status", "--config", "nope.toml", "--json"],
        ["check", "--json"],
        ["completion", "tcsh", "--json"],
        ["serve", "nope.toml", "--json"],
        ["reload", "--door", "main", "--json"],
    ],
)
def test_wrong_usage_is_json_where_json_is_asked_for(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["exit_code"] == 2
    assert err == f"frontdoor: {answer['error']}\n"


@pytest.mark.parametrize("text", ["250ms", "0.5s", "30s", "10m", "1h"])
def test_a_duration_means_what_it_means_in_the_config(text: str) -> None:
    from frontdoor.cli.call import Duration

    assert Duration().convert(text, None, None) == parse_duration(text)


MODULES = """
import sys
from frontdoor.cli.main import main
try:
    code = main({arguments!r})
except SystemExit as leave:
    code = leave.code
print(code, *sys.modules, file=sys.__stdout__)
"""


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [(["swap", "v2"], "3"), (["swap", "--help"], "0"), (["status"], "3"), (["stop", "--help"], "0"), (["--help"], "0")],
)
def test_what_takes_long_to_import_is_not_imported(shell: Shell, arguments: list[str], exit_code: str) -> None:
    shell.write_config()
    run = subprocess.run(
        [sys.executable, "-c", MODULES.format(arguments=arguments)],
        capture_output=True,
        text=True,
        cwd=shell.folder,
        check=True,
    )
    code, *modules = run.stdout.splitlines()[-1].split()
    assert code == exit_code
    heavy = {"trio", "rich", "pydantic", "starlette", "hypercorn", "structlog", "anyio", "http.client", "asyncio"}
    assert heavy.isdisjoint(modules)


@pytest.mark.alone
def test_swap_starts_fast(shell: Shell) -> None:
    # The best of some, and in terms of what this machine needs to start Python at all (20 ms where it was
    # measured): other work on the machine is not what is tested here.
    def milliseconds(command: list[str]) -> float:
        before = time.perf_counter()
        subprocess.run(command, capture_output=True, cwd=shell.folder, env=shell.env)
        return (time.perf_counter() - before) * 1000

    shell.write_config()
    bare, swap = [], []
    for _ in range(9):
        bare.append(milliseconds([sys.executable, "-c", "pass"]))
        swap.append(milliseconds(shell.command("swap", "v2")))
    assert min(swap) < 150 * max(1, min(bare) / 20)
