"""A frontdoor that a script runs for itself: `frontdoor serve` on a config of its own, and other verbs beside it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

import trio

from load.script import ScriptError

FRONTDOOR = os.path.join(os.path.dirname(sys.executable), "frontdoor")


class Frontdoor:
    """The frontdoor that a script runs, by its command line."""

    def __init__(self, config: str, log: str) -> None:
        self._config = config
        self.control = os.path.join(os.path.dirname(config), "run", "control.sock")
        self._log = log
        # What belongs to a service that the script may be started from must not lead to that service's folder.
        foreign = ("PYTHONPATH", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "FRONTDOOR_CONTROL")
        self._env = {key: value for key, value in os.environ.items() if key not in foreign}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run `frontdoor serve`; on leaving, stop it, whatever has happened. Raises ScriptError if it cannot serve."""
        with self._new_log() as log:
            process = await trio.lowlevel.open_process(
                [FRONTDOOR, "serve", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,  # a Ctrl-C is for the script: it stops frontdoor when its clients are gone
            )
        try:
            await self._ready(process)
            yield
        finally:
            with trio.CancelScope(shield=True):
                await stop(process)

    def _new_log(self) -> BinaryIO:
        return open(self._log, "wb")

    async def _ready(self, process: trio.Process) -> None:
        control = trio.Path(self.control)
        with trio.move_on_after(60):
            while process.poll() is None:
                await trio.sleep(0.1)
                if not await control.exists():
                    continue  # asking costs a process: not before there is somebody to ask
                status = await self._run("status", "--json")
                if status.returncode == 0 and json.loads(status.stdout)["doors"][0]["active"]:
                    return
        raise ScriptError("frontdoor did not start")

    async def door(self) -> tuple[str, str]:
        """The address that the door listens on, and the id of its active generation."""
        status = await self._run("status", "--json")
        if status.returncode != 0:
            raise ScriptError(f"no status: {status.stderr.decode().strip()}")
        door = json.loads(status.stdout)["doors"][0]
        return door["listen"][0], door["active"]

    async def swap(self, version: str) -> None:
        """`frontdoor swap VERSION`, its progress shown. Raises ScriptError if it fails."""
        swap = await self._run("swap", version, show=True)
        if swap.returncode != 0:
            raise ScriptError(f"frontdoor swap {version} failed with exit code {swap.returncode}")

    async def upgrade(self) -> None:
        """`frontdoor upgrade`. Raises ScriptError if it fails."""
        upgrade = await self._run("upgrade", show=False)
        if upgrade.returncode != 0:
            raise ScriptError(f"frontdoor upgrade failed: {upgrade.stderr.decode().strip()}")

    async def _run(self, verb: str, *more: str, show: bool = False) -> subprocess.CompletedProcess[bytes]:
        command = [FRONTDOOR, verb, *more, "--config", self._config]
        return await trio.run_process(command, capture_stdout=True, capture_stderr=not show, check=False, env=self._env)

    def last_words(self) -> str:
        """The end of what `frontdoor serve` has printed."""
        return "".join(self.log_text().splitlines(keepends=True)[-20:])

    def log_text(self) -> str:
        """All that it has printed."""
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read()


async def stop(process: trio.Process) -> None:
    """End `frontdoor serve`: politely, then by the second signal that means "at once", then by force."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with trio.move_on_after(5):
            await process.wait()
