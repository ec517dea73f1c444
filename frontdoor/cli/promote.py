"""``frontdoor promote``: the canary becomes the active version."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.watch import swapped, wait_option


@click.command()
@wait_option
@control_verb
def promote(call: Call, wait: str) -> int:
    """Give the canary all new connections: its swap goes on with the switch, and the probation if there is one.

    The exit code is that of the swap. Ctrl-C only stops watching.
    """
    return swapped(call, "promote", {"wait": wait}, begins=False)
