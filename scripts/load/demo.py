"""The demo: frontdoor under load, v1 -> v2 -> v1, and what every client saw of it (which is: nothing).

Started by `scripts/demo`. It runs a frontdoor of its own, on a copy of config.toml in a temporary folder: a
frontdoor that already serves from this folder is not disturbed, and nothing stays behind.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO

import trio

from load.harness import Clients, Load
from load.report import table
from load.sabotage import relay
from load.session import first

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FRONTDOOR = os.path.join(os.path.dirname(sys.executable), "frontdoor")
SWAPS = ("v2", "v1")
PORT = 8080  # the one of config.toml; another one where it is taken


class DemoError(Exception):
    """The demo cannot go on; says why."""


def copy_config(folder: str) -> str:
    """Copy config.toml to `folder`, where its `run` folder will be too. Returns the copy's path."""
    with open(os.path.join(ROOT, "config.toml"), encoding="utf-8") as original:
        text = original.read()
    listen = f'listen = ["127.0.0.1:{PORT if is_free(PORT) else 0}"]'
    text, listens = re.subn(r"(?m)^listen\s*=\s*\[[^]]*\]", lambda _: listen, text)
    app = json.dumps(os.path.join(ROOT, "backends", "chat.py"), ensure_ascii=False)
    text, apps = re.subn(r'"backends/chat\.py"', lambda _: app, text)
    if not listens or not apps:
        raise DemoError("config.toml is no longer the sample: the demo wants its `listen` and its backends/chat.py")
    path = os.path.join(folder, "config.toml")
    with open(path, "w", encoding="utf-8") as copy:
        copy.write(text)
    return path


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Frontdoor:
    """The frontdoor that the demo runs, by its command line."""

    def __init__(self, config: str, log: str) -> None:
        self._config = config
        self._control = trio.Path(config).parent / "run" / "control.sock"
        self._log = log
        # What belongs to a service that this demo may be started from must not lead to that service's folder.
        foreign = ("PYTHONPATH", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "FRONTDOOR_CONTROL")
        self._env = {key: value for key, value in os.environ.items() if key not in foreign}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run `frontdoor serve`; on leaving, stop it, whatever has happened. Raises DemoError if it does not start."""
        with self._new_log() as log:
            process = await trio.lowlevel.open_process(
                [FRONTDOOR, "serve", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,  # a Ctrl-C is for the demo: it stops frontdoor when its clients are gone
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
        with trio.move_on_after(60):
            while process.poll() is None:
                await trio.sleep(0.1)
                if not await self._control.exists():
                    continue  # asking costs a process: not before there is somebody to ask
                status = await self._run("status", "--json")
                if status.returncode == 0 and json.loads(status.stdout)["doors"][0]["active"]:
                    return
        raise DemoError("frontdoor did not start")

    async def door(self) -> tuple[str, str]:
        """The address that the door listens on, and the id of its active generation."""
        status = await self._run("status", "--json")
        if status.returncode != 0:
            raise DemoError(f"no status: {status.stderr.decode().strip()}")
        door = json.loads(status.stdout)["doors"][0]
        return door["listen"][0], door["active"]

    async def swap(self, version: str) -> None:
        """`frontdoor swap VERSION`, its progress shown. Raises DemoError if it fails."""
        swap = await self._run("swap", version, show=True)
        if swap.returncode != 0:
            raise DemoError(f"frontdoor swap {version} failed with exit code {swap.returncode}")

    async def _run(self, verb: str, *more: str, show: bool = False) -> subprocess.CompletedProcess[bytes]:
        command = [FRONTDOOR, verb, *more, "--config", self._config]
        return await trio.run_process(command, capture_stdout=True, capture_stderr=not show, check=False, env=self._env)

    def last_words(self) -> str:
        """The end of what `frontdoor serve` has printed."""
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])


async def stop(process: trio.Process) -> None:
    """End `frontdoor serve`: politely, then by the second signal that means "at once", then by force."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with trio.move_on_after(5):
            await process.wait()


async def demo(options: argparse.Namespace, folder: str) -> bool:
    """Serve, load, swap, report. Returns whether nothing failed."""
    frontdoor = Frontdoor(copy_config(folder), os.path.join(folder, "serve.log"))
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(frontdoor.serving())
            address, active = await frontdoor.door()
            say(f"frontdoor serves {active} on http://{address}/  (a chat: open it in a browser, and stay in it)")
            bad_door = None
            if options.sabotage:
                bad_door = await stack.enter_async_context(relay(address, cuts=True))
                address = bad_door.address
                say(f"sabotage: the clients come through {address}, which cuts every stream at each switch")
            clients = Clients(websockets=options.websockets, new=options.http, keep_alive=options.http)
            say(f"{clients.websockets} WebSockets, and {clients.new + clients.keep_alive} HTTP clients, begin")
            load = Load(address, clients, first=active)
            async with load.running():
                await load.progress()
                await trio.sleep(options.seconds)
                for version in SWAPS:
                    say(f"$ frontdoor swap {version}")
                    load.switching()
                    await frontdoor.swap(version)
                    if bad_door:
                        bad_door.switch()
                    _, active = await frontdoor.door()
                    load.switched(active)
                    await load.progress()
                    await trio.sleep(options.seconds)
        except* DemoError:
            print(frontdoor.last_words(), file=sys.stderr)
            raise
    result = load.result()
    print(f"\n{table(result)}\n")
    if result.ok:
        say(
            f"{len(SWAPS)} swaps, {result.total.connections} connections: not one was refused, cut, or answered wrongly"
        )
    else:
        say(f"FAILED: {result.failed} times a client saw what it must not see")
    return result.ok


def say(line: str) -> None:
    """One line of the story, at once."""
    print(f"demo: {line}", flush=True)


async def run(options: argparse.Namespace) -> int:
    """Run the demo until it ends or a signal ends it; the exit code."""
    code = 130
    with (
        tempfile.TemporaryDirectory(prefix="frontdoor-demo-") as folder,
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
    ):
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await anext(signals)
                say("interrupted: stopping what was started")
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                code = 0 if await demo(options, folder) else 1
            except* DemoError as errors:
                say(f"FAILED: {first(errors)}")
                code = 1
            nursery.cancel_scope.cancel()
    return code


def main() -> None:
    """Read the command line, and run the demo."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Swap v1 -> v2 -> v1 under load; 0: nothing failed."
    )
    parser.add_argument("--websockets", type=int, default=16, help="how many (default: 16)")
    parser.add_argument("--http", type=int, default=3, help="clients with new connections, and as many with kept ones")
    parser.add_argument("--seconds", type=float, default=2, help="how long each version serves (default: 2)")
    parser.add_argument(
        "--sabotage", action="store_true", help="put a bad door in between: must fail, with exit code 1"
    )
    sys.exit(trio.run(run, parser.parse_args()))


if __name__ == "__main__":
    main()
