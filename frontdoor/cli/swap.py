"""``frontdoor swap VERSION``: start it, show it, and exit with its outcome."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, Duration, Version, control_verb
from frontdoor.cli.share import WAYS, canary_body
from frontdoor.cli.watch import MILESTONES, swapped


@click.command()
@click.argument("version", type=Version())
@click.option(
    "--wait",
    type=click.Choice(["shared", *MILESTONES]),
    help="Return when a canary has its share, after the switch, after the probation, or when the old version is "
    "drained.  [default: baked; for a canary that does not go up to 100% by itself: shared]",
)
@click.option("--reuse", is_flag=True, help="Take a generation of VERSION that still runs: instant.")
@click.option(
    "--canary",
    metavar="5%[,25%,...]",
    help="Begin with that share of the new connections. Several steps go up by themselves.",
)
@click.option("--every", type=Duration(), metavar="5m", help="How long each step of --canary lasts.")
@click.option(
    "--by",
    type=click.Choice(WAYS),
    help="What --canary shares out: each stream by itself, or all those of a client's address.  [default: stream]",
)
@control_verb
def swap(
    call: Call, version: str, wait: str | None, reuse: bool, canary: str | None, every: float | None, by: str | None
) -> int:
    """Move new connections to VERSION; those that are open finish where they are.

    Starts a new generation of VERSION, waits until it is ready, switches, and drains the old one in the
    background. Ctrl-C before the switch aborts it; after the switch it only stops watching.

    With a probation (swap.bake) it is watched after the switch, and as a canary all the time: if it does worse than
    the old version, new connections go back to that by themselves, and the exit code is 7.
    """
    body = canary_body(canary, every, by)
    if wait == "shared" and canary is None:
        raise click.UsageError("--wait shared is for a canary: say its share too, such as --canary 5%")
    return swapped(call, "swap", {"version": version, "reuse": reuse, **body, **({"wait": wait} if wait else {})})
