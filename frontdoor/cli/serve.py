"""``frontdoor serve CONFIG``: become the keeper."""

from __future__ import annotations

import os
import sys

import click

LOG_FORMAT = "FRONTDOOR_LOG_FORMAT"  # what the door process goes by, before the config's key


@click.command()
@click.argument("config", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Log JSON, whatever the config's log_format says.")
def serve(config: str, as_json: bool) -> None:
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
    if as_json:
        os.environ[LOG_FORMAT] = "json"
    # exec: the keeper's pid is the one that the user's shell, or systemd, knows. -P: the current folder is
    # where the app lives, and nothing in it may replace one of our modules.
    keeper = [sys.executable, "-P", "-m", "frontdoor.keeper", os.path.abspath(config)]
    os.execv(sys.executable, keeper)  # noqa: S606 - no shell is wanted
