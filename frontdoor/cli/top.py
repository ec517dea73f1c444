"""``frontdoor top``: a live screen of what serves, what drains and what holds it; and keys to change that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.control.dial import ControlError, Refused

if TYPE_CHECKING:
    from frontdoor.control.client import Client, Lines

INSTEAD = "use: frontdoor status --watch"


@click.command()
@control_verb
def top(call: Call) -> int:
    """Show the doors live: generations, rates, events, what holds a drain. Press ? there for the keys.

    Nothing is changed before you have said y. What was begun goes on when you quit.
    """
    # Here: who only asks for help has no need of a library that draws.
    from frontdoor.cli.screen.terminal import unfit
    from frontdoor.cli.screen.watching import Watching

    if call.json:
        raise click.UsageError(f"top is a screen, not JSON; {INSTEAD} --json")
    if why := unfit(os.environ):
        raise click.UsageError(f"{why}; {INSTEAD}")
    client = call.client()
    names = [str(door["name"]) for door in client.ask("/v1/status")["doors"]]
    if call.door is not None and call.door not in names:
        raise click.UsageError(f"there is no door {call.door!r}; there is {', '.join(names)}")
    return Watching(client, _live(client), call.door or (names[0] if names else "")).run()


def _live(client: Client) -> Lines:
    from frontdoor.cli.screen.feed import CALL

    try:
        return client.stream("GET", CALL)
    except Refused as error:
        if error.status != 404:
            raise
        raise ControlError(f"the frontdoor that runs is older than top: frontdoor upgrade; or {INSTEAD}") from None
