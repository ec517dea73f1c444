"""A frontdoor with several doors, and each of them as if it were the only one."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Any

from e2e.harness import Client, Command, Frontdoor, config, door_table, toml, until
from frontdoor.control.dial import ControlError


def config_of(doors: Mapping[str, Mapping[str, Any]], **tables: Any) -> str:
    """A config with these doors: name → what is different in it from any other. `tables`: beside the doors."""
    return toml({**tables, "doors": {name: door_table(**changes) for name, changes in doors.items()}})


def tcp(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_refused(address: str) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(tcp(address), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class UnixClient(Client):
    """One client of a public Unix socket."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self._lines = self.sock.makefile("rb")
        self._greeting: list[str] = []


class Several(Frontdoor):
    """A frontdoor with several doors."""

    def _serves(self) -> bool:
        assert self._serve is not None
        assert self._serve.poll() is None, f"serve has ended with {self._serve.returncode}: {self.log_text}"
        try:
            return all(door["state"] != "starting" for door in self.doors)
        except ControlError:
            return False

    @property
    def doors(self) -> list[dict[str, Any]]:
        """Their parts of the status."""
        found: list[dict[str, Any]] = self.control.ask("/v1/status")["doors"]
        return found

    def door(self, name: str) -> "OneDoor":
        return OneDoor(self, name)

    def connect_to(self, address: str) -> Client:
        """A client of that address, in the status' words: "127.0.0.1:8080", "unix:public"."""
        client = UnixClient(self.path(address[5:])) if address.startswith("unix:") else Client(tcp(address))
        self._clients.append(client)
        return client

    def reload(self) -> dict[str, Any]:
        """What `frontdoor reload` asks for; the outcome."""
        return self.outcome("/v1/reload", {})

    def kill_door_process(self) -> None:
        """kill -9; returns when another one serves."""
        killed: int = self.control.ask("/v1/status")["door_pid"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in self.processes(), "it is dead")
        until(self._serves, "another one serves")


class Changing(Several):
    """A frontdoor that is given a new door for each test: a reload is quicker than a start."""

    def __init__(self, **main: Any) -> None:
        """``main``: what is different in the door that stays."""
        super().__init__(config(**main))
        self._main = main
        self._count = 0

    def only(self, **changes: Any) -> "OneDoor":
        """A new door of greeters with these changes; that of the test before it is removed."""
        until(lambda: not any(door["swap"] for door in self.doors), "nothing of the test before is under way")
        self._count += 1
        door = self.door(f"door{self._count}")
        self.change(door, **changes)
        outcome = self.reload()
        assert outcome["exit_code"] == 0, outcome
        return door

    def change(self, door: "OneDoor", **changes: Any) -> None:
        """Write a config in which that door is a door of greeters with these changes."""
        self.write(config(**self._main, doors={door.name: door_table(**changes)}))


class OneDoor:
    """What tests ask of a frontdoor, asked of one of its doors."""

    def __init__(self, frontdoor: Several, name: str) -> None:
        self.frontdoor = frontdoor
        self.name = name
        self._address = ""

    def status(self) -> dict[str, Any]:
        """The door's part of the status."""
        found: dict[str, Any] = self._status()
        assert found, f"there is no door {self.name}"
        return found

    def _status(self) -> dict[str, Any]:
        doors = self.frontdoor.control.ask("/v1/status")["doors"]
        return next((door for door in doors if door["name"] == self.name), {})

    @property
    def is_there(self) -> bool:
        return bool(self._status())

    def serves(self) -> bool:
        """Whether a generation is active; False as long as nobody can say."""
        try:
            return self._status().get("active") is not None
        except ControlError:
            return False

    def generation(self, id_: str) -> dict[str, Any]:
        """A generation of the status; empty when it is not there any more."""
        return next((found for found in self.status()["generations"] if found["id"] == id_), {})

    def state(self, id_: str) -> str:
        """The generation's state; empty when it is not there any more."""
        return str(self.generation(id_).get("state", ""))

    def becomes(self, id_: str, state: str) -> dict[str, Any]:
        """Wait until a generation has come into that state."""
        until(lambda: self.state(id_) == state, f"{id_} is {state}")
        return self.generation(id_)

    def pid(self, id_: str) -> int:
        """Of the first process of that generation."""
        return int(self.generation(id_)["processes"][0]["pid"])

    def run(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line to its end."""
        return self.begin(verb, *arguments).ended()

    def begin(self, verb: str, *arguments: str) -> Command:
        """Run a verb beside the test."""
        return self.frontdoor.begin(verb, "--door", self.name, *arguments)

    def swap(self, version: str, *, wait: str = "baked", reuse: bool = False) -> str:
        """What `frontdoor swap` asks for, which must work; the message."""
        outcome = self.frontdoor.outcome(
            f"/v1/doors/{self.name}/swap", {"version": version, "wait": wait, "reuse": reuse}
        )
        assert outcome["exit_code"] == 0, outcome
        return str(outcome["message"])

    def rollback(self) -> str:
        """What `frontdoor rollback` asks for, which must work; the message."""
        outcome = self.frontdoor.outcome(f"/v1/doors/{self.name}/rollback", {})
        assert outcome["exit_code"] == 0, outcome
        return str(outcome["message"])

    @property
    def address(self) -> str:
        """The first one that it listens on, as the status shows it."""
        if not self._address:
            self._address = self.status()["listen"][0]
        return self._address

    def connect(self, address: str = "") -> Client:
        """A client of that address of the door, or of the first one that it has."""
        return self.frontdoor.connect_to(address or self.address)

    def touch(self, name: str) -> None:
        self.frontdoor.touch(name)

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log's entries of that event of this door, with these fields."""
        return self.frontdoor.logged(event, door=self.name, **fields)

    def logs(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for an entry in the log; the first one."""
        return self.frontdoor.logs(event, door=self.name, **fields)

    @property
    def started(self) -> list[str]:
        """The generations that were started, each as often as a process of it was."""
        return [entry["generation"] for entry in self.logged("backend.starting")]

    def printed(self, generation: str) -> list[str]:
        """What that generation's processes have printed, as far as it is in the log."""
        return [entry["line"] for entry in self.logged("output", generation=generation)]
