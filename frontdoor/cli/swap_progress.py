"""What a swap's events mean to the person who waits for it, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frontdoor.control.wording import count, describe, printable


def sentence(line: Mapping[str, Any]) -> str:
    """Return a line for `line`, or "" for what the result says anyway."""
    event = line.get("event")
    who = printable(str(line.get("generation") or line.get("version") or "it"))
    match event:
        case "swap.started" if "to" in line and line.get("from"):
            return f"swap {line.get('swap')}: {_name(line, 'from')} → {_name(line, 'to')}"
        case "backend.starting":
            return f"{who} starting" + (f" (pid {line['pid']})" if "pid" in line else "")
        case "backend.ready":
            after = line.get("after_s")
            return f"{who} ready" + (f" after {after:.1f} s" if isinstance(after, int | float) else "")
        case "swap.switched":
            return f"switched: new connections go to {_name(line, 'to') if 'to' in line else who}"
        case "drain.started":
            streams = line.get("streams")
            return f"{who} draining" + (f" with {count(streams, 'stream')}" if isinstance(streams, int) else "")
        case "drain.finished":
            closed = line.get("closed")
            return f"{who} drained" + (f", {count(closed, 'stream')} closed" if closed else "")
        case "generation.stopped":
            return f"{who} stopped"
        case "swap.failed" | "swap.aborted" | "swap.settled" | "result":
            return ""
        case "events.dropped":
            return f"({line.get('count')} earlier events are no longer kept)"
    return f"{printable(str(event))}: {describe({k: v for k, v in line.items() if k != 'swap'})}"


def _name(line: Mapping[str, Any], key: str) -> str:
    return printable(str(line[key]))
