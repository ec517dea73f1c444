"""The log of a real frontdoor: nobody waits for whoever reads it, and what is lost is counted, wherever it goes."""

import contextlib
import errno
import json
import os
import shutil
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Self

import pytest

from e2e.doors import Several, tcp
from e2e.harness import COMMAND, Client, Frontdoor, config, environment, until
from frontdoor.control.dial import Refused
from nobody import open_to_all

LOUD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "loud.py")

Prepare = Callable[..., Frontdoor]


class Speaker:
    """The only client of a door whose backend prints what it is asked to."""

    def __init__(self, frontdoor: Several) -> None:
        self._client = Client(tcp(frontdoor.door("loud").address))
        self.said = 0

    def begin(self, lines: int, *, rate: int = 0, length: int = 40) -> None:
        self._client.say(f"{lines} {rate} {length}")
        self.said += lines

    def ends(self) -> float:
        """Wait until all is printed; how long that took, in seconds."""
        return float(self._client.hear())

    def says(self, lines: int, **how: int) -> float:
        self.begin(lines, **how)
        return self.ends()

    def close(self) -> None:
        self._client.close()


class Loud(Several):
    """It has two doors: one of greeters, and one whose backend prints what it is asked to."""

    def __init__(self, **tables: Any) -> None:
        super().__init__(self.with_(**tables))

    def with_(self, **tables: Any) -> str:
        """Its config, with these tables."""
        loud = {
            "listen": ["127.0.0.1:0"],
            "active": "v1",
            "backends": {"*": {"command": ["{python}", "-I", "-S", LOUD]}},
            "ready": {"interval": "20ms"},
        }
        return config(doors={"loud": loud}, **tables)

    @property
    def dropped(self) -> int:
        """How many lines of the log were lost, as it says itself."""
        lost: int = self.control.ask("/v1/status")["log"]["dropped"]
        return lost


class Piped(Loud):
    """Its stderr is a pipe, which is read when the test reads it."""

    def __init__(self) -> None:
        super().__init__(frontdoor={"protect_after": "100ms"})
        self._reader = -1
        self._buffer = b""

    def launch(self, *before: str, **env: str) -> Self:
        self._reader, writer = os.pipe()
        self._serve = subprocess.Popen(
            [*before, COMMAND, "serve", "config.toml"],
            cwd=self.folder,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writer,
        )
        os.close(writer)
        return self

    @property
    def log_text(self) -> str:
        return "(its stderr is a pipe)"

    def read(self) -> list[dict[str, Any]]:
        """The next entries of the log; waits for something. Raises EOFError when nothing more comes."""
        data = os.read(self._reader, 1 << 20)
        if not data:
            raise EOFError
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def leave(self) -> None:
        """Whoever reads its stderr goes away."""
        os.close(self._reader)
        self._reader = -1

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._reader >= 0:
                self.leave()


class Reading:
    """Reads the log in a thread of its own, until all that was said is accounted for."""

    def __init__(self, frontdoor: Piped) -> None:
        self.entries: list[dict[str, Any]] = []
        self._frontdoor = frontdoor
        self._there = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                some = self._frontdoor.read()
                with self._there:
                    self.entries += some
                    self._there.notify_all()

    def close(self) -> None:
        """Frontdoor has ended, and so has its log."""
        self._thread.join(10)
        assert not self._thread.is_alive()

    def numbers(self) -> list[int]:
        """Of the lines that the loud backend has printed."""
        return [int(entry["line"].split()[0]) for entry in self.entries if entry["event"] == "output"]

    def lost(self) -> int:
        """How many lines are missing, as the log says."""
        return sum(entry["count"] for entry in self.entries if entry["event"] == "log.dropped")

    def until(self, lines: int) -> None:
        """Wait until so many are there, or are said to be lost."""
        with self._there:
            assert self._there.wait_for(lambda: len(self.numbers()) + self.lost() >= lines, 30), self.entries[-3:]


def round_trips(client: Client, until_: Callable[[], bool]) -> list[float]:
    """How long each took, in milliseconds, one after the other; two milliseconds between them."""
    took = []
    while not until_():
        began = time.perf_counter()
        assert client.ask("hello") == "hello"
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.002)
    return took


def for_(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


# -- a stderr that nobody reads -------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_thousand_lines_a_second_into_a_blocked_pipe_stall_nothing_and_each_that_is_lost_is_counted() -> None:
    with closing(Piped()) as frontdoor:
        frontdoor.start()
        while not any(entry["event"] == "door.started" and entry["door"] == "loud" for entry in frontdoor.read()):
            pass
        client = Client(tcp(frontdoor.door("main").address))
        with closing(Speaker(frontdoor)) as loud, closing(client):
            quiet = round_trips(client, for_(1.5))
            # Nobody reads from here on. 4 MB a second: the pipe and the queue are full after one of them.
            loud.begin(3000, rate=1000, length=4000)
            blocked = round_trips(client, for_(3.2))
            took = loud.ends()
            lost = frontdoor.dropped
            status = frontdoor.run("status")
            reading = Reading(frontdoor)
            reading.until(3000)
            # And with somebody who reads.
            loud.begin(1500, rate=1000, length=4000)
            read = round_trips(client, for_(1.7))
            loud.ends()
            reading.until(4500)
        for name, times in (("no lines", quiet), ("1,000/s, nobody reads", blocked), ("1,000/s, read", read)):
            print(f"round trips, {name}: {len(times)}, median {statistics.median(times):.2f} ms, {max(times):.1f} max")
        numbers = reading.numbers()
        print(f"3,000 lines in {took:.2f} s: {lost} lost, {reading.lost()} said to be lost, {len(numbers) - 1500} read")
        assert took < 3.5, "the backend was never held up"
        assert f"\nthe log has lost {lost} lines: what it is written to is too slow, full or broken\n" in status.stdout
        assert lost > 1000
        assert lost == reading.lost() == frontdoor.dropped
        assert numbers == sorted(set(numbers))
        assert len(numbers) + lost == 4500
        assert numbers[-1500:] == [*range(3000, 4500)]
        assert max(blocked) < 5 * max(quiet) + 50
        assert statistics.median(blocked) < 3 * statistics.median(quiet) + 1
    reading.close()


def test_a_reader_who_has_gone_costs_lines_and_nothing_else() -> None:
    with closing(Piped()) as frontdoor:
        frontdoor.start()
        frontdoor.leave()
        with closing(Speaker(frontdoor)) as loud, closing(Client(tcp(frontdoor.door("main").address))) as client:
            before = frontdoor.dropped
            loud.says(500)
            until(lambda: frontdoor.dropped >= before + 500, "each is counted")
            assert frontdoor.door("main").swap("v2").startswith("v2#2 is active")
            assert client.ask("still there?") == "still there?"
            until(lambda: frontdoor.control.ask("/v1/status")["vault"]["streams"] == 2, "its streams are protected")
            killed = frontdoor.control.ask("/v1/status")["door_pid"]
            frontdoor.kill_door_process()  # which the keeper would say there
            assert client.ask("and now?") == "and now?"
            assert frontdoor.control.ask("/v1/status")["door_pid"] != killed


# -- a file ---------------------------------------------------------------------------------------------------------


class Filed(Loud):
    """Its log is a file in a folder of its own."""

    def __init__(self) -> None:
        super().__init__(frontdoor={"log_file": "log/frontdoor.log"})
        os.mkdir(self.path("log"))

    def log(self, name: str = "frontdoor.log") -> list[dict[str, Any]]:
        path = self.path(f"log/{name}")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def says(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until that is in the file; the first entry."""
        return until(
            lambda: [
                entry
                for entry in self.log()
                if entry["event"] == event and all(entry.get(name) == value for name, value in fields.items())
            ],
            f"{event} {fields} in the file: {self.log()[-3:]}",
        )[0]

    def sent_to(self, log_file: str) -> dict[str, Any]:
        """A reload that changes where the log goes; the outcome."""
        self.write(self.with_(frontdoor={"log_file": log_file}))
        return self.reload()


@pytest.fixture(scope="module")
def filed() -> Iterator[Filed]:
    """One that the tests of this part share."""
    with closing(Filed()) as frontdoor:
        yield frontdoor.start()


@pytest.fixture
def loud(filed: Filed) -> Iterator[Speaker]:
    with closing(Speaker(filed)) as speaker:
        yield speaker


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [int(entry["line"].split()[0]) for entry in entries if entry["event"] == "output"]


def test_all_is_in_the_file_and_nothing_on_stderr(filed: Filed) -> None:
    started = filed.says("door.started", door="main")
    assert (started["level"], started["generation"]) == ("info", "v1#1")
    assert os.stat(filed.path("log/frontdoor.log")).st_mode & 0o777 == 0o640
    assert filed.log_text == ""


def test_logrotate_in_the_middle_of_it_loses_no_line(filed: Filed, loud: Speaker) -> None:
    """``rename``, then ``postrotate`` with SIGUSR1, while lines come as fast as they can."""
    os.truncate(filed.path("log/frontdoor.log"), 0)
    loud.begin(5000)
    for number in range(5):
        os.rename(filed.path("log/frontdoor.log"), filed.path(f"log/old.{number}"))
        filed.signal(signal.SIGUSR1)
        until(lambda: os.path.exists(filed.path("log/frontdoor.log")), "there is a new one")
    loud.ends()
    until(lambda: numbers(filed.log())[-1:] == [4999] or 4999 in numbers(filed.log("old.4")), "the last line")
    files = [*(f"old.{number}" for number in range(5)), "frontdoor.log"]
    lines = [filed.log(name) for name in files]
    print(f"lines in each file: {[len(some) for some in lines]}")
    assert [number for some in lines for number in numbers(some)] == [*range(5000)]
    for some in lines[1:]:
        assert (some[0]["event"], some[0]["file"]) == ("log.reopened", filed.path("log/frontdoor.log"))
    assert filed.dropped == 0


def test_after_a_crash_and_after_an_upgrade_it_goes_on_in_the_same_file(filed: Filed) -> None:
    before = filed.log()
    filed.kill_door_process()
    assert filed.says("door_process.died")["reason"] == "signal 9"
    filed.says("door.restored", door="main")
    assert filed.run("upgrade").returncode == 0
    finished = filed.says("upgrade.finished")
    assert finished["pid"] == filed.control.ask("/v1/status")["door_pid"]
    assert filed.log()[: len(before)] == before
    # What the keeper says is on stderr.
    assert filed.messages == [
        "frontdoor: the door process ended (signal 9) and is started again; listeners and backends are kept"
    ]
    os.rename(filed.path("log/frontdoor.log"), filed.path("log/before"))
    filed.signal(signal.SIGUSR1)
    filed.says("log.reopened")


def test_a_full_disk_costs_lines_is_said_on_stderr_and_a_reload_ends_it(filed: Filed, loud: Speaker) -> None:
    before = filed.dropped
    assert filed.sent_to("/dev/full")["changed"] == ["frontdoor.log_file"]
    failed = filed.logs("log.failed", file="/dev/full")
    assert (failed["level"], failed["reason"]) == (
        "error",
        f"it cannot be written to: {os.strerror(errno.ENOSPC)}; log lines are lost until it can, and counted",
    )
    loud.says(300)
    until(lambda: filed.dropped >= before + 300, "each is counted")
    assert filed.door("main").swap("v3").startswith("v3#")
    assert len(filed.logged("log.failed")) == 1, "it is said once"
    assert filed.sent_to("log/frontdoor.log")["exit_code"] == 0
    filed.says("config.reloaded", changed=["frontdoor.log_file"])


def test_a_folder_that_was_removed_costs_lines_until_it_is_there_again(filed: Filed, loud: Speaker) -> None:
    before = filed.dropped
    shutil.rmtree(filed.path("log"))
    loud.says(200)
    assert "No such file or directory" in filed.logs("log.failed", file=filed.path("log/frontdoor.log"))["reason"]
    until(lambda: filed.dropped == before + 200, "each is counted")
    os.mkdir(filed.path("log"))
    filed.signal(signal.SIGUSR1)
    assert filed.says("log.dropped")["count"] == filed.dropped - before
    assert filed.dropped == before + 200


@pytest.mark.parametrize(
    ("log_file", "why"),
    [
        ("nowhere/x.log", "nowhere: there is no such folder; make it, for the user that frontdoor runs as"),
        ("run/", '"run/" is a folder: write the path of a file, or "" for stderr'),
    ],
)
def test_what_cannot_be_a_file_is_refused_by_check_and_by_a_reload(filed: Filed, log_file: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        filed.sent_to(log_file)
    (problem,) = refused.value.answer["problems"]
    assert (problem["key"], problem["message"].removeprefix(f"{filed.folder}/")) == ("frontdoor.log_file", why)
    checked = filed.run("check", "config.toml")
    assert (checked.returncode, why in checked.stderr) == (2, True)
    filed.says("config.refused")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start something as another user")
def test_who_may_not_write_there_serves_and_complains(prepare: Prepare) -> None:
    """The file is opened by the door process: a folder that is root's alone is no place for its log."""
    door = prepare(frontdoor={"user": "daemon", "log_file": "log/frontdoor.log"})
    os.chmod(door.folder, 0o711)
    os.mkdir(door.path("log"), 0o755)
    door.start(*open_to_all())
    assert door.logs("log.failed")["reason"].startswith("it cannot be opened: Permission denied; ")
    assert door.connect().ask("hello") == "hello"
    until(lambda: door.status()["log"]["dropped"] > 0, "what could not be written is counted")
    shutil.chown(door.path("log"), "daemon")
    door.signal(signal.SIGUSR1)
    until(lambda: os.path.exists(door.path("log/frontdoor.log")), "the file is there")


# -- the journal ----------------------------------------------------------------------------------------------------


def test_to_the_journal_each_line_says_how_much_it_matters(prepare: Prepare) -> None:
    door = prepare()
    with open(door.path("serve.log"), "ab") as log:
        there = os.fstat(log.fileno())
    door.start(JOURNAL_STREAM=f"{there.st_dev}:{there.st_ino}")
    failed = door.run("swap", "bad-name!")
    assert failed.returncode == 2
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    until(lambda: "door.restored" in door.log_text, "another one goes on")
    door.run("upgrade")
    lines = door.log_text.splitlines()
    assert {line[0:1] + line[2:3] for line in lines} == {"<>"}, "each line has a priority"
    shown = [(line[1], json.loads(line[3:])["event"] if line[3] == "{" else line[3:]) for line in lines]
    assert ("6", "door.started") in shown
    assert (
        "4",
        "frontdoor: the door process ended (signal 9) and is started again; listeners and backends are kept",
    ) in shown
    assert ("3", "door_process.died") in shown
    assert ("6", "upgrade.finished") in shown
