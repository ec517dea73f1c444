"""``frontdoor upgrade``: frontdoor's own code, replaced."""

from __future__ import annotations

import click

from frontdoor.cli.call import Call, whole_verb
from frontdoor.cli.watch import upgraded


@click.command()
@whole_verb
def upgrade(call: Call) -> int:
    """Start a new door process from the code that is on disk now; it takes over every open stream.

    Nothing happens to anyone before the new one is ready and has checked the config. If it fails, the old one goes on
    as if nothing had been asked, and the reason is shown.
    """
    return upgraded(call)
