"""The demo: frontdoor under load, v1 -> v2 -> v1, and what every client saw of it (which is: nothing).

Started by `scripts/demo`. It runs a frontdoor of its own, on a copy of config.toml in a temporary folder: a
frontdoor that already serves from this folder is not disturbed, and nothing stays behind.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import sys

import trio

from load.frontdoor import Frontdoor
from load.harness import Clients, Load
from load.report import table
from load.sabotage import relay
from load.script import ScriptError, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SWAPS = ("v2", "v1")
PORT = 8080  # the one of config.toml; another one where it is taken


def copy_config(folder: str) -> str:
    """Copy config.toml to `folder`, where its `run` folder will be too. Returns the copy's path."""
    with open(os.path.join(ROOT, "config.toml"), encoding="utf-8") as original:
        text = original.read()
    listen = f'listen = ["127.0.0.1:{PORT if is_free(PORT) else 0}"]'
    text, listens = re.subn(r"(?m)^listen\s*=\s*\[[^]]*\]", lambda _: listen, text)
    app = json.dumps(os.path.join(ROOT, "backends", "chat.py"), ensure_ascii=False)
    text, apps = re.subn(r'"backends/chat\.py"', lambda _: app, text)
    if not listens or not apps:
        raise ScriptError("config.toml is no longer the sample: the demo wants its `listen` and its backends/chat.py")
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
        except* ScriptError:
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
    options = parser.parse_args()
    sys.exit(trio.run(run, "demo", lambda folder: demo(options, folder), say))


if __name__ == "__main__":
    main()
