"""What is measured: frontdoor, as `pip install` puts it there, with a door for each backend."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import frontdoor
from benchmark.peers import Place
from benchmark.process import free_ports, running
from benchmark.target import Target

COMMAND = os.path.join(os.path.dirname(sys.executable), "frontdoor")
CONFIG = """
[frontdoor]
runtime_dir = {run}
"""
DOOR = """
[doors.{name}]
listen = ["127.0.0.1:{port}"]
active = "v1"
[doors.{name}.backends."*"]
socket = {socket}
[doors.{name}.ready]
check = "connect"
[doors.{name}.drain]
timeout = "never"
shutdown_timeout = "1s"
[doors.{name}.swap]
max_generations = 1000
[doors.{name}.limits]
half_close_timeout = "never"
"""
# What belongs to a service that the bench may be started from must not lead to that service's folder.
FOREIGN = ("PYTHONPATH", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "FRONTDOOR_CONTROL")


class Frontdoor:
    """Of the very environment that the bench runs in."""

    name = "frontdoor"

    def missing(self) -> str:
        """Nothing: scripts/venv has seen to it."""
        return ""

    def version(self) -> str:
        """Such as 0.1.0."""
        return frontdoor.__version__

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With two doors, http and raw. Every version's name is known, and each is the same backend: it can swap.

        With two of them each keeps a part of the descriptors for the other.
        """
        http, raw = free_ports(2)
        run = os.path.join(place.folder, "frontdoor")
        path = os.path.join(place.folder, "frontdoor.toml")
        with open(path, "w") as file:
            file.write(CONFIG.format(run=json.dumps(run)))
            if not place.only_raw:
                file.write(DOOR.format(name="http", port=http, socket=json.dumps(place.web.socket)))
            file.write(DOOR.format(name="raw", port=raw, socket=json.dumps(place.raw.socket)))
        env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        log = os.path.join(place.folder, "frontdoor.log")
        with running([COMMAND, "serve", path], log, [raw] if place.only_raw else [http, raw], env) as pid:
            yield Target(self.name, http, raw, pid, control=os.path.join(run, "control.sock"), config=path)
