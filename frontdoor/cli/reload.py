"""``frontdoor reload``: the config, read again."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, whole_verb
from frontdoor.cli.watch import reloaded


@click.command()
@whole_verb
def reload(call: Call) -> int:
    """Read the config again, check all of it, then apply all of it or nothing.

    A changed `active` is a swap to it. A config that is not valid changes nothing, and every problem is named.
    """
    return reloaded(call)
