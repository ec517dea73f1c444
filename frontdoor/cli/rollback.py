"""``frontdoor rollback``: back to what served before."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.watch import swapped, wait_option


@click.command()
@wait_option
@control_verb
def rollback(call: Call, wait: str) -> int:
    """Go back to the previous generation: instant while it is draining or warm, else a swap to its version.

    It also ends a swap that is under way. Ctrl-C before the switch aborts it; after the switch it only stops
    watching.
    """
    return swapped(call, "rollback", {"wait": wait})
