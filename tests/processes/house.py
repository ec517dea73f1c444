"""A real keeper with nobody at the door: the test has the other end of the wire, and starts backends through it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from frontdoor.config import HealthSettings, parse
from frontdoor.keeper import wire
from frontdoor.keeper.link import ChildReport, Link
from frontdoor.policy.generation import Generation
from frontdoor.processes.backend import Backend

PATIENCE = 10.0
"""Seconds after which a test gives up."""

APP = os.path.join(os.path.dirname(__file__), "app.py")

KEEPER = """
import os, socket, sys
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.keeper import Keeper

class Alone(Keeper):
    def _lost(self, door):
        self._custody.children.kill_all()
        os._exit(0)

alone = Alone("")
alone.succession.door = DoorProcess(os.getppid(), socket.socket(fileno=int(sys.argv[1])))
alone.succession.door.running = False  # it is nobody that could be killed
alone.run()
"""

CONFIG = """
listen = ["127.0.0.1:0"]
active = "v1"

[backends."*"]
{backend}

[ready]
interval = "5ms"
{ready}

[frontdoor]
runtime_dir = "{folder}"
"""


class House:
    """Backends, and what is said about them."""

    def __init__(self, link: Link, keeper: int, folder: str, nursery: trio.Nursery) -> None:
        self.link = link
        self.keeper = keeper
        self.folder = folder
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.backends: list[Backend] = []
        self.health: HealthSettings | None = None
        """Of all backends, as after the last reload."""
        self._nursery = nursery
        link.on_exit = self._on_exit

    def _on_exit(self, report: ChildReport) -> None:
        for backend in self.backends:
            backend.on_report(report)

    def backend(self, *acts: str, command: list[str] | None = None, backend: str = "", ready: str = "") -> Backend:
        """A backend that acts so; without acts and command somebody else's.

        ``backend`` and ``ready`` are lines of the config's tables.
        """
        argv = command or [sys.executable, "-IS", APP, "{socket}", *(act.replace("{", "{{") for act in acts)]
        if command or acts:
            backend = f"command = {json.dumps(argv)}\n{backend}"
        text = CONFIG.format(backend=backend, ready=ready, folder=self.folder)
        settings = parse(text, f"{self.folder}/config.toml").doors["main"]
        it = Backend(
            Generation("v1", len(self.backends) + 1, 0.0),
            settings.backend("v1"),
            settings.ready,
            door="main",
            home=self.folder,
            runtime_dir=self.folder,
            health=lambda: self.health,
            link=self.link,
            publish=lambda event, **fields: self.events.append((event, fields)),
            told=lambda line: None,
        )
        self.backends.append(it)
        return it

    def start(self, *acts: str, **settings: Any) -> Backend:
        """The same, and it runs."""
        it = self.backend(*acts, **settings)
        self.run(it)
        return it

    def run(self, backend: Backend) -> None:
        self._nursery.start_soon(backend.run)

    def of(self, event: str) -> list[dict[str, Any]]:
        """All events of that name."""
        return [fields for name, fields in self.events if name == event]

    async def said(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for that event; what it says."""
        await until(lambda: len(self.of(event)) >= count)
        return self.of(event)[count - 1]

    async def line(self, backend: Backend, number: int = 0) -> str:
        """Wait for a line of its output."""
        await until(lambda: len(backend.ring) > number)
        return backend.ring.last(len(backend.ring))[number]

    async def ready(self, backend: Backend) -> None:
        """Wait until it is ready."""
        with trio.fail_after(PATIENCE):
            await backend.ready()

    async def failed(self, backend: Backend) -> str:
        """Wait until it has failed; why."""
        with trio.fail_after(PATIENCE):
            return await backend.failed()

    async def ended(self, backend: Backend) -> None:
        """Wait until nothing of it is left."""
        with trio.fail_after(PATIENCE):
            await backend.finished.wait()

    def file(self, path: str, text: str = "") -> None:
        """Write a file into the runtime folder."""
        os.makedirs(os.path.dirname(f"{self.folder}/{path}"), exist_ok=True)
        with open(f"{self.folder}/{path}", "w") as file:
            file.write(text)

    def has(self, path: str) -> bool:
        """Whether there is something of that name in the runtime folder."""
        return os.path.lexists(f"{self.folder}/{path}")

    def fifo(self) -> str:
        """A place where a backend waits for a line."""
        path = f"{self.folder}/fifo{len(os.listdir(self.folder))}"
        os.mkfifo(path)
        return path


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.sleep(0.002)


async def write_line(fifo: str) -> None:
    """Let whoever reads the fifo go on: wait for him, and write a line."""
    fd = -1
    with trio.fail_after(PATIENCE):
        while fd < 0:
            try:
                fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                await trio.sleep(0.002)  # ENXIO: nobody reads yet
    os.write(fd, b"go on\n")
    os.close(fd)


def start_keeper(end: socket.socket) -> subprocess.Popen[bytes]:
    """A keeper at that end of the wire."""
    with end:
        return subprocess.Popen([sys.executable, "-c", KEEPER, str(end.fileno())], pass_fds=[end.fileno()])


@asynccontextmanager
async def linked_keeper() -> AsyncIterator[tuple[Link, int, str, trio.Nursery]]:
    """A keeper for the time of a test: the link to it, its pid, a folder, and the link's nursery."""
    ours, theirs = wire.pair()
    with tempfile.TemporaryDirectory(prefix="fd-") as folder, ours:
        keeper = start_keeper(theirs)
        link = Link(ours)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await link.hello()
            yield link, keeper.pid, folder, nursery
            nursery.cancel_scope.cancel()
        ours.close()
        keeper.wait(PATIENCE)


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A house with a keeper of its own."""
    async with linked_keeper() as (link, keeper, folder, nursery):
        yield House(link, keeper, folder, nursery)
