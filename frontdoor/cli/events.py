"""``frontdoor events``: what happened, and with ``-f`` what happens."""

from __future__ import annotations

import sys

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.follow import HISTORY, read
from frontdoor.cli.output import result, result_json
from frontdoor.control.wording import line


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@control_verb
def events(call: Call, follow: bool) -> int:
    """Print the events so far: lines for people on a terminal, else one JSON object a line."""
    for_people = sys.stdout.isatty() and not call.json
    asked = {} if call.door is None else {"door": call.door}
    for event in read(call.client(), "/v1/events", asked, HISTORY, follow=follow):
        if for_people:
            result(line(event))
        else:
            result_json(event)
    return 0
