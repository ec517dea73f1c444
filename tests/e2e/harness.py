"""A frontdoor as users run it: a folder with a config, `frontdoor serve` as a process, the other verbs beside it."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from frontdoor.control.client import Client as Control
from frontdoor.control.dial import ControlError

T = TypeVar("T")

GREETER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "greeter.py")
COMMAND = os.path.join(os.path.dirname(sys.executable), "frontdoor")

_LEADING_ELSEWHERE = ("FRONTDOOR_CONTROL", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET")

_OWN_MISTAKES = {"swap.broken", "reload.broken", "door.broken", "backend.broken", "report.broken"}
_OWN_MISTAKES |= {"control.failed", "log.dropped", "live.broken"}
"""Events that say that frontdoor itself is wrong."""


def until(look: Callable[[], T], what: str, within: float = 15.0) -> T:
    """Look again and again until there is something true to see, and return it.

    Less and less often: a look at the status takes some milliseconds, of which what is waited for has need.
    """
    began = time.monotonic()
    while True:
        seen = look()
        if seen:
            return seen
        waited = time.monotonic() - began
        if waited > within:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(min(0.04, max(0.005, waited / 10)))


# -- configs -------------------------------------------------------------------------------------------------------


def greeter(*options: str) -> list[str]:
    """The command of tests/apps/greeter.py. Isolated and without `site`, it starts twice as fast."""
    return ["{python}", "-I", "-S", GREETER, *options]


def config(**changes: Any) -> str:
    """A config in which any version is a greeter, with these tables and keys over it.

    What is drained is stopped at once: a test of a warm generation says so.
    """
    return toml(door_table(**changes))


def door_table(**changes: Any) -> dict[str, Any]:
    """The tables and keys of one door in it. One that is None is left out."""
    tables: dict[str, Any] = {
        "listen": ["127.0.0.1:0"],
        "active": "v1",
        "backends": {"*": {"command": greeter(), "stop_timeout": "5s"}},
        "ready": {"interval": "20ms", "deadline": "20s"},
        "swap": {"keep_warm": "0s"},
    }
    _lay(tables, changes)
    return tables


def toml(tables: Mapping[str, Any]) -> str:
    return "\n".join(_toml(tables, ()))


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay(below[key], value)
        elif value is None:
            below.pop(key, None)
        else:
            below[key] = value


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"[{'.'.join(json.dumps(part) for part in path)}]"
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{key} = {json.dumps(value)}"  # JSON's strings, numbers and arrays of them are TOML's too
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _toml(value, (*path, key))


# -- what is run ---------------------------------------------------------------------------------------------------


class Client:
    """One client of the public address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=20)
        self._lines = self.sock.makefile("rb")
        self._greeting: list[str] = []

    @property
    def generation(self) -> str:
        """Who greeted it, ``v1#1``: waits for the greeting."""
        return self._greeted()[0]

    @property
    def pid(self) -> int:
        """The pid of the backend that greeted it."""
        return int(self._greeted()[1])

    def _greeted(self) -> list[str]:
        if not self._greeting:
            self._greeting = self.hear().split()
            assert self._greeting, "the connection was closed before a greeting"
        return self._greeting

    def ask(self, line: str) -> str:
        """Say a line, and return the answer."""
        self._greeted()
        self.say(line)
        return self.hear()

    def say(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\n")

    def hear(self) -> str:
        """The next line; "" when the connection has ended."""
        return self._lines.readline().decode().removesuffix("\n")

    def has_ended(self) -> bool:
        """Whether the other side has closed, seen without waiting."""
        poll = select.poll()  # MSG_DONTWAIT would not do: Python waits itself on a socket that has a timeout
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(0):
            return False
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._lines.close()
        self.sock.close()


class Command:
    """A verb of the command line that runs beside the test."""

    def __init__(self, arguments: Sequence[str], folder: str) -> None:
        started = time.monotonic_ns()
        self._stdout_path, self._stderr_path = (os.path.join(folder, f"{name}-{started}") for name in ("out", "err"))
        with open(self._stdout_path, "wb") as stdout, open(self._stderr_path, "wb") as stderr:
            self._process = subprocess.Popen(
                [COMMAND, *arguments], cwd=folder, env=environment(), stdout=stdout, stderr=stderr
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> str:
        with open(self._stdout_path) as file:
            return file.read()

    @property
    def stderr(self) -> str:
        with open(self._stderr_path) as file:
            return file.read()

    def shows(self, text: str) -> None:
        """Wait until it has printed `text` on stderr."""
        until(lambda: text in self.stderr, f"{text!r} on stderr, which has {self.stderr!r}")

    def prints(self, text: str) -> None:
        """Wait until it has printed `text` on stdout."""
        until(lambda: text in self.stdout, f"{text!r} on stdout, which has {self.stdout!r}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ended(self, within: float = 20.0) -> subprocess.CompletedProcess[str]:
        code = self._process.wait(within)
        return subprocess.CompletedProcess(self._process.args, code, self.stdout, self.stderr)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _LEADING_ELSEWHERE}
    return {**kept, **more}


class Frontdoor:
    """A folder of its own, short enough for Unix sockets, with a config; and what runs there."""

    def __init__(self, text: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="fd")
        self.write(text)
        self._log = self.path("serve.log")
        self.excused: set[str] = set()
        """Events of frontdoor's own mistakes that this test provokes."""
        self._serve: subprocess.Popen[bytes] | None = None
        self._address: tuple[str, int] | None = None
        self._clients: list[Client] = []
        self._commands: list[Command] = []
        self._entries: list[dict[str, Any]] = []
        self._read = 0  # bytes of the log that are in them

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, text: str, name: str = "config.toml") -> str:
        """Write a file in the folder; its path."""
        path = self.path(name)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)  # whoever waits for it must never see half of it
        return path

    def touch(self, name: str) -> None:
        """Make the file that a greeter with --wait-for waits for."""
        self.write("", name)

    # -- serve ------------------------------------------------------------------------------------------------------

    def launch(self, *before: str, **env: str) -> Self:
        """`frontdoor serve config.toml`, without waiting for it. `before`: a command that it is run by."""
        with open(self._log, "ab") as log:
            self._serve = subprocess.Popen(
                [*before, COMMAND, "serve", "config.toml"],
                cwd=self.folder,
                env=environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._address = None
        return self

    def start(self, *before: str, **env: str) -> Self:
        """The same, and wait until it serves."""
        self.launch(*before, **env)
        until(self._serves, "serve serves")
        return self

    def _serves(self) -> bool:
        assert self._serve is not None
        assert self._serve.poll() is None, f"serve has ended with {self._serve.returncode}: {self.log_text}"
        try:
            return self.status()["active"] is not None
        except ControlError:
            return False

    @property
    def pid(self) -> int:
        """That of `serve`: the keeper's."""
        assert self._serve is not None
        return self._serve.pid

    def signal(self, number: int) -> None:
        assert self._serve is not None
        self._serve.send_signal(number)

    def ends(self, within: float = 20.0) -> int:
        """Wait for the end of `serve`; its exit code. Nothing that it started may be left."""
        assert self._serve is not None
        code = self._serve.wait(within)
        self._serve = None
        until(lambda: not self.processes(), f"all its processes end, but there is {self.processes()}", within=5)
        return code

    # -- talking to it ----------------------------------------------------------------------------------------------

    @property
    def control(self) -> Control:
        return Control(self.path("run/control.sock"))

    def status(self) -> dict[str, Any]:
        """The only door's part of the status, with what is above it."""
        whole = self.control.ask("/v1/status")
        (door,) = whole.pop("doors")
        return {**whole, **door}

    def last_ledger(self) -> dict[str, Any]:
        """How the ledger stood when frontdoor left. It has been told to."""
        ledger: dict[str, Any] = {}

        def gone() -> bool:
            try:
                ledger.update(self.status()["streams"])
            except ControlError:
                return True
            return False

        until(gone, "it leaves")
        return ledger

    def generation(self, id_: str) -> dict[str, Any]:
        """A generation of the status; empty when it is not there any more."""
        return next((found for found in self.status()["generations"] if found["id"] == id_), {})

    def process(self, id_: str) -> dict[str, Any]:
        """The first process of that generation."""
        found: dict[str, Any] = self.generation(id_)["processes"][0]
        return found

    def run(self, *arguments: str, within: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line to its end."""
        return self.begin(*arguments).ended(within)

    def begin(self, *arguments: str) -> Command:
        """Run a verb beside the test."""
        self._commands.append(Command(arguments, self.folder))
        return self._commands[-1]

    def swap(self, version: str, *options: str) -> str:
        """`frontdoor swap`, which must work; what it prints.

        Without options it is only asked for, as the command would: most tests want the swap, and no process for it.
        """
        if options:
            swapped = self.run("swap", version, *options)
            assert swapped.returncode == 0, swapped
            return swapped.stdout
        name = self.status()["name"]
        outcome = self.outcome(f"/v1/doors/{name}/swap", {"version": version, "wait": "baked"})
        assert outcome["exit_code"] == 0, outcome
        return f"{outcome['message']}\n"

    def outcome(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        """The outcome of a call that takes time."""
        with self.control.stream("POST", call, body) as lines:
            *_, outcome = lines
        return outcome

    @property
    def address(self) -> tuple[str, int]:
        if self._address is None:
            host, _, port = self.status()["listen"][0].rpartition(":")
            self._address = host, int(port)
        return self._address

    def connect(self) -> Client:
        self._clients.append(Client(self.address))
        return self._clients[-1]

    # -- what it said -----------------------------------------------------------------------------------------------

    @property
    def log_text(self) -> str:
        with open(self._log, errors="replace") as file:
            return file.read()

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log's entries of that event, with these fields."""
        return [
            entry
            for entry in self._log_entries()
            if entry["event"] == event and all(entry.get(name) == value for name, value in fields.items())
        ]

    def _log_entries(self) -> list[dict[str, Any]]:
        """All of them that are whole. What has been read is not read again: tests look often."""
        with open(self._log, "rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = whole.decode(errors="replace").split("\n")
        self._entries += [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return self._entries

    def logs(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for an entry in the log; the first one."""
        return until(lambda: self.logged(event, **fields), f"{event} {fields} in the log: {self.log_text}")[0]

    def printed(self, generation: str) -> list[str]:
        """What that generation's processes have printed, as far as it is in the log."""
        return [entry["line"] for entry in self.logged("output", generation=generation)]

    @property
    def messages(self) -> list[str]:
        """The lines of its log that are no entries: what it says as plain text."""
        return [line for line in self.log_text.splitlines() if not line.startswith("{")]

    def processes(self) -> dict[int, str]:
        """Pid → command of everything that runs with this folder as its own, commands of the test excepted."""
        found = {}
        commands = {str(command.pid) for command in self._commands}
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdecimal() and name not in commands and os.readlink(f"/proc/{name}/cwd") == self.folder:
                    with open(f"/proc/{name}/cmdline") as file:
                        found[int(name)] = file.read().replace("\0", " ")
        return found

    # -- the end ----------------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def close(self) -> None:
        """Stop it, and look whether it leaves as it should; the log is printed for whoever looks at a failed test."""
        try:
            self.hang_up()
            for command in self._commands:
                command.close()
            if self._serve is not None:
                self._serve.terminate()
                assert self.ends() == 0, self.log_text
            self._look_back()
        finally:
            self._kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _look_back(self) -> None:
        """Nothing may be in the log of what would be frontdoor's own mistake."""
        if os.path.exists(self._log):
            print(self.log_text)
            assert "Traceback" in self.excused or "Traceback" not in self.log_text
            mistakes = _OWN_MISTAKES - self.excused
            assert not [entry for entry in self._log_entries() if entry["event"] in mistakes]

    def _kill(self) -> None:
        """After a failure: nothing of it may go on beside the next test."""
        if self._serve is not None:
            self._serve.kill()
            self._serve.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
