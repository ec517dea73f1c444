"""``frontdoor maintenance on|off``: tell visitors that there is maintenance, and stop nothing."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, Duration, control_verb
from frontdoor.cli.output import told

ON, OFF = "on", "off"


@click.command()
@click.argument("what", metavar="on|off", type=click.Choice([ON, OFF]))
@click.option("--message", metavar="TEXT", help="What visitors read.")
@click.option("--retry-after", "wait", type=Duration(), metavar="120s", help="When they are told to come again.")
@control_verb
def maintenance(call: Call, what: str, message: str | None, wait: float | None) -> int:
    """Answer each request of an http door with 503, or (off) serve again. WebSockets and all else stay.

    It lasts until it is ended, over crashes, upgrades and new starts of frontdoor too. The page is error_pages' 503 if
    there is one. A second "on" replaces message and time of the first.
    """
    if what == OFF and (message is not None or wait is not None):
        raise click.UsageError("--message and --retry-after are said with on, and off needs none")
    if message == "":
        raise click.UsageError("--message is a text that is not empty")
    if wait is not None and wait != int(wait):
        raise click.UsageError("--retry-after is told to visitors in whole seconds")
    body: dict[str, object] = {"on": what == ON}
    if message is not None:
        body["message"] = message
    if wait is not None:
        body["retry_after"] = int(wait)
    return told(call.client().tell(call.door_path("maintenance"), body), as_json=call.json)
