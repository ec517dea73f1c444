"""``frontdoor pause``: accept no more, and refuse nobody."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import told


@click.command()
@control_verb
def pause(call: Call) -> int:
    """Stop accepting: clients wait in the backlog, nobody is refused. What is open goes on."""
    return told(call.client().tell(call.door_path("pause"), {}), as_json=call.json)
