"""``frontdoor restart``: a new generation of what serves."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.watch import swapped, wait_option


@click.command()
@wait_option
@control_verb
def restart(call: Call, wait: str) -> int:
    """Swap to the active version: start a new generation of it, and drain the one that serves now.

    Ctrl-C before the switch aborts it; after the switch it only stops watching.
    """
    return swapped(call, "restart", {"wait": wait})
