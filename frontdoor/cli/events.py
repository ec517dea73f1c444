"""``frontdoor events``: what happened, and with ``-f`` what happens."""

from __future__ import annotations

import sys
from typing import Any

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import progress, result, result_json
from frontdoor.control.wording import line

HISTORY = 1000  # as many as are kept


@click.command(short_help="Print what happened; -f follows.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@control_verb
def events(call: Call, follow: bool) -> int:
    """Print the events so far: lines for people on a terminal, else one JSON object a line."""
    client = call.client()
    for_people = sys.stdout.isatty() and not call.json
    with client.stream("GET", f"/v1/events?history={HISTORY}&follow={int(follow)}") as lines:
        for event in lines:
            if _wanted(call, event):
                if for_people:
                    result(line(event))
                else:
                    result_json(event)
    if follow:
        progress("frontdoor has stopped, or is being restarted: no more events come over this connection")
    return 0


def _wanted(call: Call, event: dict[str, Any]) -> bool:
    # What is of no door (a reload, an upgrade) is of every door.
    return call.door is None or event.get("door", call.door) == call.door
