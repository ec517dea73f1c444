"""A frontdoor that a case runs for itself: its versions are `backends/tiny.py`, which start fast."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmark import control
from benchmark.backends.tiny import __file__ as TINY  # noqa: N812 - a path, and a constant
from benchmark.peers.frontdoor import COMMAND, FOREIGN
from benchmark.process import StartError, free_ports, running

START = 30.0  # seconds in which it must serve

# Old streams may stay for as long as the case wants, and a version that was left is kept for a switch back. The ready
# check is made often: the time between two would be most of what a swap takes.
CONFIG = """
listen = ["127.0.0.1:{port}"]
active = "v1"
[frontdoor]
log_format = "json"
[backends."*"]
command = ["{{python}}", "-I", "-S", {tiny}]
[ready]
interval = "10ms"
[swap]
keep_warm = "1h"
[drain]
timeout = "never"
shutdown_timeout = "1s"
"""


@dataclass(frozen=True)
class Served:
    """One that runs, with the versions v1, v2, … of which v1 was active first."""

    folder: str
    port: int  # where clients come
    pid: int  # the root of its process tree
    env: dict[str, str]  # for what is started beside it

    @property
    def control(self) -> str:
        """Its control socket."""
        return os.path.join(self.folder, "run", "control.sock")

    def socket_of(self, generation: int) -> str:
        """Where the only process of that generation listens."""
        return os.path.join(self.folder, "run", f"g{generation}", "0.sock")

    def command(self, *words: str) -> list[str]:
        """`frontdoor WORDS`, for this one."""
        return [COMMAND, *words, "--control", self.control]


@contextlib.contextmanager
def served() -> Iterator[Served]:
    """Run one in a temporary folder. Raises StartError."""
    env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    with tempfile.TemporaryDirectory(prefix="frontdoor-bench-", ignore_cleanup_errors=True) as folder:
        (port,) = free_ports(1)
        path = os.path.join(folder, "config.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(port=port, tiny=json.dumps(TINY, ensure_ascii=False)))
        with running([COMMAND, "serve", path], os.path.join(folder, "log"), [port], env) as pid:
            one = Served(folder, port, pid, env)
            _wait(one)
            yield one


def tiny(path: str) -> list[str]:
    """The command of a process like a version's, for one that is not frontdoor's."""
    return ["env", f"FRONTDOOR_SOCKET={path}", sys.executable, "-I", "-S", TINY]


def _wait(one: Served) -> None:
    """Wait until v1 is ready: the port is open before."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if control.ask(one.control, "/v1/status")["doors"][0]["active"]:
                return
        time.sleep(0.02)
    raise StartError(f"frontdoor did not serve within {START:g} s")
