"""``frontdoor resume``: accept again, after a pause."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import told


@click.command()
@control_verb
def resume(call: Call) -> int:
    """Accept again: those who waited in the backlog come first."""
    return told(call.client().tell(call.door_path("resume"), {}), as_json=call.json)
