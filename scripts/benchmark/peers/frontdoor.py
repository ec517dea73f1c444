"""What is measured: frontdoor, as `pip install` puts it there, with a door for each backend.

As a target of its own, "tcp-door", its TCP doors stand beside its HTTP doors.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import frontdoor
from benchmark.peers import Place, Protocols
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
protocol = "{protocol}"
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
# At the end of a door's: the directions that a server sends in are read, to know where its frames end.
POLITE = """
[doors.polite.http]
websocket_close = 1012
"""
# What belongs to a service that the bench may be started from must not lead to that service's folder.
FOREIGN = ("PYTHONPATH", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "FRONTDOOR_CONTROL")


class Frontdoor:
    """Of the very environment that the bench runs in."""

    def __init__(self, mode: Protocols = "tcp", name: str = "frontdoor") -> None:
        self.name = name
        self._mode = mode

    def missing(self) -> str:
        """Nothing: scripts/venv has seen to it."""
        return ""

    def version(self) -> str:
        """Such as 0.1.0. It is said once, of whatever doors there are."""
        return frontdoor.__version__ if self.name == "frontdoor" else ""

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With the doors http and raw, and as a proxy of HTTP with a third one: polite, in front of raw, too.

        Every version's name is known, and each is the same backend: it can swap. With more doors than one each keeps a
        part of the descriptors for the others.
        """
        sockets = {"raw": place.raw.socket}
        if not place.only_raw:
            sockets["http"] = place.web.socket
            if self._mode == "http":
                sockets["polite"] = place.raw.socket
        ports = dict(zip(sockets, free_ports(len(sockets)), strict=True))
        run = os.path.join(place.folder, "frontdoor")
        path = os.path.join(place.folder, "frontdoor.toml")
        with open(path, "w") as file:
            file.write(CONFIG.format(run=json.dumps(run)))
            for name, socket in sockets.items():
                door = DOOR.format(name=name, port=ports[name], protocol=self._mode, socket=json.dumps(socket))
                file.write(door + (POLITE if name == "polite" else ""))
        env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        log = os.path.join(place.folder, "frontdoor.log")
        with running([COMMAND, "serve", path], log, ports.values(), env) as pid:
            control = os.path.join(run, "control.sock")
            http = ports.get("http", ports["raw"])
            yield Target(self.name, http, ports["raw"], pid, control, config=path, polite=ports.get("polite"))
