"""A script from its start to its end: a folder that is gone afterwards, and signals that end it in order."""

import signal
import tempfile
from collections.abc import Awaitable, Callable

import trio

from load.session import first

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


class ScriptError(Exception):
    """The script cannot go on; says why."""


async def run(name: str, script: Callable[[str], Awaitable[bool]], say: Callable[[str], None]) -> int:
    """Run `script`, which gets the folder, until it ends or a signal ends it; the exit code: 0 if it returned True."""
    code = INTERRUPTED
    with (
        tempfile.TemporaryDirectory(prefix=f"frontdoor-{name}-") as folder,
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
    ):
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await anext(signals)
                say("interrupted: stopping what was started")
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                code = 0 if await script(folder) else 1
            except* ScriptError as errors:
                say(f"FAILED: {first(errors)}")
                code = 1
            nursery.cancel_scope.cancel()
    return code
