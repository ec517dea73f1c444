"""``frontdoor report``: what happened in a swap, as text, JSON or a picture."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import progress, result, result_json
from frontdoor.cli.text import duration, table


@click.command()
@click.argument("number", type=click.IntRange(1, 999_999_999_999), required=False)
@click.option("--list", "listing", is_flag=True, help="Show a line for each swap, the newest first.")
@click.option("--svg", metavar="FILE", help='Write the report as a picture; "-" is standard output.')
@control_verb
def report(call: Call, number: int | None, listing: bool, svg: str | None) -> int:
    """Show what happened in the swap with that NUMBER, or in the last one.

    When it was ready and switched, how the drain of the old generation went, how its streams have ended, which dials
    failed, and the sums. The reports of the last 100 swaps of each door are kept.
    """
    if listing and (number is not None or svg is not None):
        raise click.UsageError("--list shows all swaps: it goes with neither a number nor --svg")
    if svg is not None and call.json:
        raise click.UsageError("--svg is a picture, and --json is not: say one of them")
    client = call.client()
    if listing:
        return _list(call, client.ask(call.door_path("reports")))
    path = call.door_path(f"reports/{number or 'last'}")
    if svg is not None:
        return _write(svg, client.read(f"{path}?format=svg"))
    if call.json:
        result_json(client.ask(path))
    else:
        result(client.read(f"{path}?format=text").decode().rstrip("\n"))
    return 0


def _list(call: Call, answer: dict[str, Any]) -> int:
    if call.json:
        result_json(answer)
        return 0
    if not answer["reports"]:
        progress("no swap yet: each one leaves a report")
        return 0
    head = ["SWAP", "WHEN", "WHAT", "FROM", "TO", "OUTCOME", "TOOK", "CUT"]
    result("\n".join(table(head, [_row(each) for each in answer["reports"]], right=("SWAP", "TOOK", "CUT"))))
    return 0


def _row(each: dict[str, Any]) -> list[str]:
    began, ended = datetime.fromisoformat(each["started"]), each["ended"]
    return [
        str(each["number"]),
        began.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        str(each["verb"]),
        str(each["from"] or "-"),
        str(each["to"]),
        str(each["outcome"]).replace("_", " "),
        "goes on" if ended is None else duration((datetime.fromisoformat(ended) - began).total_seconds()),
        str(each["cut"] or "-"),
    ]


def _write(path: str, data: bytes) -> int:
    """Write the picture. Raises :exc:`click.UsageError` if that cannot be done."""
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    progress(f"written: {os.path.abspath(path)}")
    return 0
