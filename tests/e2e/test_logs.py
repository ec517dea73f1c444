"""`frontdoor logs`, `--json` everywhere, and the completion of a real shell."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import COMMAND, Frontdoor, environment, greeter, until
from frontdoor.cli.main import VERBS

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]


def texts(output: str) -> list[str]:
    """What was printed, of lines like "12:03:11 v1#1 4720 | hello"."""
    return [line.partition(" | ")[2] for line in output.splitlines()]


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_of_a_version_of_a_generation_and_of_one_that_has_ended(only: Only) -> None:
    door = only(backends={version: {"command": greeter("--say", f"I am {version}")} for version in ("v1", "v2")})
    client = door.connect()
    pid = client.pid
    client.say("print one\nprint \x1b[2Jtwo")
    assert [client.hear() for _ in range(2)] == ["print one", "print \x1b[2Jtwo"]
    client.close()
    for version in ("v2", "v1", "v2"):
        door.swap(version)
    door.logs("generation.stopped", generation="v1#3")

    shown = door.run("logs")
    assert (shown.returncode, shown.stderr) == (0, "")
    stopped = "stop signal with 0 streams open"
    assert sorted(texts(shown.stdout)) == sorted(
        ["I am v1", "one", r"\x1b[2Jtwo", stopped, "I am v2", stopped, "I am v1", stopped, "I am v2"]
    )
    first, *_ = shown.stdout.splitlines()
    assert re.fullmatch(rf"\d\d:\d\d:\d\d v1#1 {pid} \| I am v1", first)
    assert texts(door.run("logs", "v2").stdout) == ["I am v2", stopped, "I am v2"]
    assert texts(door.run("logs", "v1#1", "--lines", "2").stdout) == [r"\x1b[2Jtwo", stopped]
    assert texts(door.run("logs", "v2#4").stdout) == ["I am v2"]

    in_json = [json.loads(line) for line in door.run("logs", "v1#1", "--json").stdout.splitlines()]
    assert [entry["line"] for entry in in_json] == ["I am v1", "one", "\x1b[2Jtwo", stopped]
    assert {key: in_json[0][key] for key in ("door", "version", "generation", "pid")} == {
        "door": door.name,
        "version": "v1",
        "generation": "v1#1",
        "pid": pid,
    }
    unknown = door.run("logs", "v9")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("frontdoor: no generation of v9 runs")


def test_logs_follow_over_kill_9_of_the_door_process(only: Only, changing: Changing) -> None:
    door = only()
    door.connect().ask("print before")
    until(lambda: door.printed("v1#1"), "it is in the log")
    follow = door.begin("logs", "-f", "v1")
    follow.prints("before")
    door.connect().ask("print one")
    follow.prints("one")

    os.kill(changing.control.ask("/v1/status")["door_pid"], signal.SIGKILL)
    door.connect().ask("print two")
    follow.prints("two")
    changing.hang_up()
    door.swap("v2")
    door.connect().ask("print of another version")
    door.logs("generation.stopped", generation="v1#1")
    follow.prints("stop signal")
    follow.interrupt()
    ended = follow.ended()
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert texts(ended.stdout) == ["before", "one", "two", "stop signal with 0 streams open"]


# -- json -------------------------------------------------------------------------------------------------------------


def test_every_verb_answers_wrong_usage_in_json(changing: Changing) -> None:
    wrong: list[tuple[str, ...]] = [(verb, "--no-such-option") for verb in VERBS]
    wrong += [("no-such-verb",), ("swap", "no version"), ("drain", "v1"), ("status", "--door", "other")]
    commands = {words: changing.begin(*words, "--json") for words in wrong}
    for words, command in commands.items():
        ended = command.ended()
        assert ended.returncode == 2, words
        answer = json.loads(ended.stdout)
        assert answer["exit_code"] == 2
        assert ended.stderr == f"frontdoor: {answer['error']}\n", "for people, too"


def test_what_every_verb_prints_in_json_is_json(only: Only, changing: Changing) -> None:
    backends = {"v1": {"command": greeter("--say", "hello")}, "bad": {"command": greeter("--exit", "3")}}
    door = only(swap={"keep_warm": "15m"}, backends=backends)
    changes = {
        ("swap", "v2"): 0,
        ("rollback",): 0,
        ("restart", "--wait", "switched"): 0,
        ("swap", "bad"): 4,
        ("drain", "v1#3", "--now"): 1,
        ("pause",): 0,
        ("resume",): 0,
    }
    for (verb, *arguments), exit_code in changes.items():
        ended = door.run(verb, *arguments, "--json")
        *_, last = [json.loads(line) for line in ended.stdout.splitlines()]
        assert ended.returncode == last["exit_code"] == exit_code, (verb, last)
    whole = ("status",), ("streams",), ("check", "config.toml"), ("reload",), ("completion", "bash")
    commands = [changing.begin(*words, "--json") for words in (*whole, ("events",), ("logs",))]
    for command in commands:
        ended = command.ended()
        assert ended.returncode == 0
        text = ended.stdout
        assert [json.loads(part) for part in ([text] if text.startswith("{\n") else text.splitlines())]


# -- completion -------------------------------------------------------------------------------------------------------


class Terminal:
    """A shell on a terminal, with somebody who types."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.screen = ""

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until it has shown that; what comes after it is looked at next."""
        deadline = time.monotonic() + 20
        while text not in self.screen:
            ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {text!r} on the screen: {self.screen!r}"
            self.screen += os.read(self._fd, 4096).decode(errors="replace")
        self.screen = self.screen.partition(text)[2]


@contextmanager
def bash(folder: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    path = os.path.dirname(COMMAND) + ":" + os.environ["PATH"]
    env = environment(PATH=path, PS1="$ ", TERM="dumb", INPUTRC="/dev/null", HOME=folder, COLUMNS="200")
    command = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            process.kill()
            os.close(ours)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_tab_completes_versions_in_bash(serve: Serve) -> None:
    door = serve(backends={"release-9": {"stop_timeout": "1s"}, "other": {}})
    with bash(door.folder) as terminal:
        terminal.type('eval "$(frontdoor completion bash)" && echo lo""aded\n')
        terminal.shows("loaded")
        terminal.type("frontdoor swap rel\t")
        terminal.shows("frontdoor swap release-9")
        terminal.type("\n")
        terminal.shows("release-9#2 is active")
        terminal.type("frontdoor st\t\t")
        for verb in ("status", "streams", "stop"):
            terminal.shows(verb[2:])
        terminal.type("\x15frontdoor logs oth\t")
        terminal.shows("other")
        terminal.type("\x15frontdoor logs release-9#\t\n")
        terminal.shows("frontdoor logs release-9#2")
    assert door.connect().generation == "release-9#2"
