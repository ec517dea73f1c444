"""``frontdoor logs``: what the backends print."""

from __future__ import annotations

from typing import Any

import click

from frontdoor.cli.call import Call, Version, control_verb
from frontdoor.cli.follow import HISTORY, read
from frontdoor.cli.output import progress, result, result_json
from frontdoor.control.wording import clock, count, printable


@click.command()
@click.argument("version", type=Version(), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(0), default=HISTORY, show_default=True, help="The last so many.")
@control_verb
def logs(call: Call, version: str | None, follow: bool, lines: int) -> int:
    """Print what the backends have printed, of one VERSION or all: time, generation, pid and line."""
    client = call.client()
    asked = {name: value for name, value in (("door", call.door), ("version", version)) if value is not None}
    several = not call.json and call.door is None and len(client.ask("/v1/status")["doors"]) > 1
    for line in read(client, "/v1/logs", asked, lines, follow=follow):
        if call.json:
            result_json(line)
        elif "line" in line:
            result(_text(line, several))
        else:
            progress(f"({count(int(line['count']), 'line')} missing here: they came faster than they were read)")
    return 0


def _text(line: dict[str, Any], several: bool) -> str:
    who = [printable(str(line[key])) for key in (("door",) if several else ()) + ("generation", "pid")]
    return f"{clock(str(line['time']))} {' '.join(who)} | {printable(str(line['line']))}"
