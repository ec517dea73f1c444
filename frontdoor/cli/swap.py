"""``frontdoor swap VERSION``: start it, show it, and exit with its outcome."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, Version, control_verb
from frontdoor.cli.watch import swapped, wait_option


@click.command()
@click.argument("version", type=Version())
@wait_option
@click.option("--reuse", is_flag=True, help="Take a generation of VERSION that still runs: instant.")
@control_verb
def swap(call: Call, version: str, wait: str, reuse: bool) -> int:
    """Move new connections to VERSION; those that are open finish where they are.

    Starts a new generation of VERSION, waits until it is ready, switches, and drains the old one in the
    background. Ctrl-C before the switch aborts it; after the switch it only stops watching.
    """
    return swapped(call, "swap", {"version": version, "wait": wait, "reuse": reuse})
