"""``frontdoor streams``: what is open, and what still holds a drain."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from frontdoor.cli.call import Call, Version, control_verb
from frontdoor.cli.output import progress, result, result_json
from frontdoor.cli.text import duration, size, table


@click.command()
@click.argument("version", type=Version(), required=False)
@control_verb
def streams(call: Call, version: str | None) -> int:
    """Show the open streams, of one VERSION or all: the oldest first."""
    asked = {"door": call.door, "version": version}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    answer = call.client().ask("/v1/streams" + (f"?{query}" if query else ""))
    if call.json:
        result_json(answer)
        return 0
    if not answer["streams"]:
        progress("no open streams")
        return 0
    several = len({stream.get("door") for stream in answer["streams"]}) > 1
    head = ["CLIENT", "GENERATION", "AGE", "IDLE", "UP", "DOWN"]
    rows = [_row(stream) for stream in answer["streams"]]
    if any("request" in stream for stream in answer["streams"]):
        head.append("REQUEST")
        for row, stream in zip(rows, answer["streams"], strict=True):
            row.append(str(stream.get("request") or "-"))
    if several:
        head.insert(0, "DOOR")
        for row, stream in zip(rows, answer["streams"], strict=True):
            row.insert(0, str(stream.get("door")))
    result("\n".join(table(head, rows, right=("AGE", "IDLE", "UP", "DOWN"))))
    return 0


def _row(stream: dict[str, Any]) -> list[str]:
    moved = stream.get("bytes", {})
    return [
        str(stream.get("client") or "-"),
        str(stream.get("generation")),
        duration(float(stream.get("age_s", 0))),
        duration(float(stream.get("idle_s", 0))),
        size(int(moved.get("up", 0))),
        size(int(moved.get("down", 0))),
    ]
