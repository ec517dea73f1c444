"""``frontdoor serve CONFIG``: become the keeper."""

from __future__ import annotations

import os
import sys

import click


@click.command(short_help="Start, and serve the active version.")
@click.argument("config")
def serve(config: str) -> None:
    """Start, and serve the active version, until told to stop.

    It stays in the foreground. SIGTERM and Ctrl-C stop it when its streams have ended; a second one at once.
    """
    try:
        # What the config says is checked by the door process; that there is none is said at once.
        with open(config, "rb") as file:
            file.read(1)
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise click.UsageError(f"{config}: {why}") from None
    # exec: the keeper's pid is the one that the user's shell, or systemd, knows. -P: the current folder is
    # where the app lives, and nothing in it may replace one of our modules.
    keeper = [sys.executable, "-P", "-m", "frontdoor.keeper", os.path.abspath(config)]
    os.execv(sys.executable, keeper)  # noqa: S606 - no shell is wanted
