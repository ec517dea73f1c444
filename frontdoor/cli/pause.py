"""``frontdoor pause``: accept no more, and refuse nobody."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, Duration, control_verb
from frontdoor.cli.output import told


@click.command()
@click.option("--for", "seconds", type=Duration(), metavar="30s", help="Resume by itself after that time.")
@control_verb
def pause(call: Call, seconds: float | None) -> int:
    """Stop accepting: clients wait in the backlog, nobody is refused. What is open goes on.

    A second pause replaces the time of the first.
    """
    if seconds == 0:
        raise click.UsageError("--for is longer than 0: a pause of no time is none")
    body = {} if seconds is None else {"for": seconds}
    return told(call.client().tell(call.door_path("pause"), body), as_json=call.json)
