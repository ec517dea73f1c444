"""A real keeper, whose door processes are puppets of the test.

The keeper starts them with ``sys.executable``, and here that is a small program: it hands its end of the wire to the
test, and waits until the test says how it ends. So a test plays the door process, message by message.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from frontdoor.keeper import wire
from keeper.watching import PATIENCE, alive, until

KEEPER = """
import signal, sys
sys.executable = sys.argv[1]
from frontdoor.keeper import __main__
sys.argv = ["frontdoor.keeper", *sys.argv[2:]]
__main__.main()
"""

PUPPET = """#!{python} -IS
import os, socket, sys
if sys.argv[3] == "frontdoor.keeper":  # it is tried, or renewed
    with open(sys.argv[0] + ".keeper") as file:
        os.execv({python!r}, [{python!r}, "-c", file.read(), sys.argv[0], *sys.argv[4:]])
wire, stage = int(sys.argv[4]), os.path.dirname(sys.argv[5]) + "/stage"  # -P -m frontdoor.door WIRE CONFIG
test = socket.socket(socket.AF_UNIX)
test.connect(stage)
socket.send_fds(test, [str(os.getpid()).encode()], [wire])
os.close(wire)
code, _, said = test.recv(4096).partition(b"\\n")
os.write(2, said)
os._exit(int(code or "99"))
"""


class Puppet:
    """A door process, and its end of the wire."""

    def __init__(self, strings: socket.socket) -> None:
        self._strings = strings
        strings.settimeout(PATIENCE)
        data, fds, _, _ = socket.recv_fds(strings, 100, 1)
        self.pid = int(data)
        self.wire = socket.socket(fileno=fds[0])
        self._numbers = itertools.count(1)
        self.last = 0
        """The number of the last request."""
        self.heard: list[wire.Message] = []
        """What came while it waited for something else."""

    def say(self, data: bytes | wire.Body, fds: Sequence[int] = ()) -> None:
        """Send a message, or bytes as they are."""
        wire.send(self.wire, data if isinstance(data, bytes) else wire.encode(data), fds)

    def hear(self) -> wire.Message:
        """The next message."""
        if self.heard:
            return self.heard.pop(0)
        assert select.select([self.wire], [], [], PATIENCE)[0], "the keeper says nothing"
        return wire.receive(self.wire)

    def hear_of(self, op: str, **fields: Any) -> wire.Body:
        """The next message of that kind, with these fields; what came before it is forgotten."""
        while True:
            body = self.hear().body
            if body.get("op") == op and all(body[name] == value for name, value in fields.items()):
                return body

    def ask(self, op: str, fds: Sequence[int] = (), **fields: Any) -> wire.Message:
        """Ask for something; the answer. What comes before it can be heard later."""
        return self.answer(self.begin(op, fds, **fields))

    def begin(self, op: str, fds: Sequence[int] = (), **fields: Any) -> int:
        """Ask for something whose answer comes later; the number of the request."""
        number = self.last = next(self._numbers)
        self.say({"op": op, "id": number, **fields}, fds)
        return number

    def answer(self, number: int) -> wire.Message:
        """The answer to that request. What comes before it can be heard later."""
        before, self.heard = self.heard, []
        while True:
            message = self.hear()
            if message.body.get("re") == number:
                self.heard[:0] = before
                return message
            before.append(message)

    def is_answered(self) -> bool:
        """Whether there is something to hear."""
        return bool(self.heard or select.select([self.wire], [], [], 0)[0])

    def greet(self) -> dict[str, list[wire.Message]]:
        """Say hello; everything that the keeper holds, by key: entries, each as a message of its own, and children."""
        return self.greeted(self.begin("hello", protocol=wire.PROTOCOL))

    def greeted(self, hello: int) -> dict[str, list[wire.Message]]:
        """The answer to that hello: see greet."""
        assert "error" not in self.answer(hello).body
        held: dict[str, list[wire.Message]] = {}
        for message in [m for m in self.heard if m.body["op"] in ("held", "child")]:
            self.heard.remove(message)
            for part in entries_of(message) if message.body["op"] == "held" else [message]:
                held.setdefault(part.body["key"], []).append(part)
        return held

    def put(self, *entries: tuple[str, Any, Sequence[int]]) -> wire.Body:
        """Have them kept, in one message; the answer without its number."""
        counted = [[key, note, len(fds)] for key, note, fds in entries]
        body = self.ask("put", [fd for _, _, fds in entries for fd in fds], entries=counted).body
        del body["re"]
        return body

    def spawn(self, key: str, *argv: str, **fields: Any) -> tuple[int, int]:
        """Start a child; its pid, and the read end of its output."""
        answer = self.ask("spawn", key=key, argv=argv, **{"env": {}, **fields})
        assert "error" not in answer.body, answer.body
        return answer.body["pid"], answer.fds[0]

    def leave(self, code: int, said: str = "") -> None:
        """End, as a process that exits; ``said``: its last words, on stderr."""
        self._strings.send(f"{code}\n{said}".encode())
        self._hang_up()

    def die(self) -> None:
        """End, as by ``kill -9``."""
        os.kill(self.pid, signal.SIGKILL)
        self._hang_up()

    def _hang_up(self) -> None:
        # Not before it is dead: the keeper would kill it for that.
        until(lambda: not alive(self.pid))
        self.wire.close()

    def close(self) -> None:
        """The test is over."""
        self.wire.close()
        self._strings.close()


def entries_of(held: wire.Message) -> list[wire.Message]:
    """What a message of the inventory brought, apart."""
    fds = iter(held.fds)
    parts = [
        wire.Message({"key": key, "note": note}, list(itertools.islice(fds, count)))
        for key, note, count in held.body["entries"]
    ]
    assert list(fds) == [], "each descriptor is somebody's"
    assert sum(len(part.fds) for part in parts) == len(held.fds)
    return parts


class Stage:
    """The keeper, and the place where its puppets come on."""

    def __init__(
        self,
        folder: str,
        *,
        stderr: int | None = None,
        shell: str = "",
        hurry: str = "",
        pass_fds: Sequence[int] = (),
        before: Sequence[str] = (),
        config: Callable[[str], str] | None = None,
    ) -> None:
        """``shell``: what a shell does first, in the same process; ``hurry``: Python that sets its times.

        ``before``: a command that it is run by; ``config``: gives a text for its config, for a folder that anybody may
        come to.
        """
        self.folder = folder
        self._errors = f"{folder}/stderr"
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(f"{folder}/stage")
        self._door.listen()
        self._door.settimeout(PATIENCE)
        self.puppets: list[Puppet] = []
        puppet = f"{folder}/puppet"
        with open(puppet, "w") as file:
            file.write(PUPPET.format(python=sys.executable))
        os.chmod(puppet, 0o755)
        self.program = f"{puppet}.keeper"
        """The file with the keeper's own code, as far as it is not in the package: what is tried, and renewed."""
        with open(self.program, "w") as file:
            file.write(hurry + KEEPER)
        command = ["sh", "-c", f'{shell} exec "$@"', "sh"] if shell else []
        self.config = f"{folder}/stage"  # no config at all, as far as nobody reads it
        if config is not None:
            self.config = f"{folder}/config.toml"
            with open(self.config, "w") as file:
                file.write(config(folder))
            os.chmod(folder, 0o711)
            os.chmod(f"{folder}/stage", 0o666)
        command = [*before, *command, sys.executable, "-c", hurry + KEEPER, puppet, self.config]
        with open(self._errors, "wb") as errors:
            said = errors if stderr is None else stderr
            self.keeper = subprocess.Popen(command, stderr=said, pass_fds=pass_fds)

    @property
    def pid(self) -> int:
        return self.keeper.pid

    @property
    def errors(self) -> str:
        """What the keeper has said on stderr."""
        with open(self._errors) as file:
            return file.read()

    def enter(self) -> Puppet:
        """The next door process that the keeper starts."""
        strings, _ = self._door.accept()
        puppet = Puppet(strings)
        self.puppets.append(puppet)
        return puppet

    def nobody_enters(self) -> bool:
        """Whether there is no new door process at the door."""
        return not select.select([self._door], [], [], 0)[0]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for the keeper's end: its exit code."""
        return self.keeper.wait(PATIENCE)

    def close(self) -> None:
        """End what is left: the keeper's children go with it."""
        self.keeper.kill()
        self.keeper.wait()
        for puppet in self.puppets:
            puppet.close()
        self._door.close()


@contextmanager
def stage(**options: Any) -> Iterator[Stage]:
    """A stage for the time of a test."""
    # Not pytest's tmp_path: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        it = Stage(folder, **options)
        try:
            yield it
        finally:
            it.close()


def read_line(fd: int) -> str:
    """One line of a child's output, which is non-blocking."""
    data = b""
    while not data.endswith(b"\n"):
        assert select.select([fd], [], [], PATIENCE)[0], f"no line, only {data!r}"
        byte = os.read(fd, 1)
        assert byte, f"the output ended with {data!r}"
        data += byte
    return data.decode().rstrip()


def read_all(fd: int) -> str:
    """A child's output to its end."""
    data = b""
    deadline = time.monotonic() + PATIENCE
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(fd, 65536)
        if not chunk:
            return data.decode()
        data += chunk
    raise AssertionError(f"the output has no end, only {data!r}")
