"""``frontdoor drain VERSION``: do not wait for a draining generation's streams any longer."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, Duration, Version, control_verb
from frontdoor.cli.output import told


@click.command()
@click.argument("version", type=Version())
@click.option("--now", is_flag=True, help="Close them at once.")
@click.option("--over", type=Duration(), metavar="10m", help="Close them evenly over that time.")
@control_verb
def drain(call: Call, version: str, now: bool, over: float | None) -> int:
    """Close the streams of a draining generation: --now, or evenly --over some time."""
    if now == (over is not None):
        raise click.UsageError("say either --now or --over a time, such as --over 10m")
    seconds = over or 0.0
    return told(call.client().tell(call.door_path("drain"), {"version": version, "over": seconds}), as_json=call.json)
