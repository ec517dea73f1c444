"""``frontdoor canary SHARE``: how many of the new connections the canary gets from now on."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import told
from frontdoor.cli.share import ALL, Share
from frontdoor.cli.watch import swapped


@click.command()
@click.argument("share", type=Share())
@control_verb
def canary(call: Call, share: str) -> int:
    """Give the canary that SHARE of the new connections, such as 25%. It goes up no further by itself.

    A canary is begun with frontdoor swap VERSION --canary 5%, and ended with frontdoor promote or frontdoor rollback.
    100% is promote.
    """
    if share == ALL:
        return swapped(call, "promote", {"wait": "baked"}, begins=False)
    return told(call.client().tell(call.door_path("canary"), {"share": share}), as_json=call.json)
