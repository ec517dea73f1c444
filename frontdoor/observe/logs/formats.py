"""How an entry of the log looks: for people, or for machines. What comes of it is text, and where it goes is no matter.

Standard library only, as all that the log needs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from frontdoor.control.wording import clock, describe

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# Events that ask for attention; all others are "info".
_EVENT_LEVELS = {
    "config.refused": "error",
    "swap.failed": "error",
    "swap.stays": "error",
    "upgrade.failed": "error",
    "backend.exited": "warning",
    "backend.restarting": "warning",
    "drain.notify_failed": "warning",
    "drain.waits": "warning",
    "swap.vetoed": "warning",
    "swap.aborted": "warning",
    "swap.rolled_back": "warning",
    "hook.failed": "warning",
    "limit.reached": "warning",
    "vault.full": "warning",
}

_OF_OTHERS = ("output", "hook.output")
"""What programs have printed: not what happened, and most of a log."""

_DIM, _BOLD, _YELLOW, _RED = "2", "1", "33", "1;31"
_COLOURS = {"warning": _YELLOW, "error": _RED, "debug": _DIM}

Render = Callable[[Mapping[str, Any]], str]
"""An entry as one line; a message's excerpt may make it several."""


def level_of(event: Mapping[str, Any]) -> str:
    """Give the level of an event of the bus."""
    name = str(event["event"])
    if event.get("asked_for") or (name == "swap.rolled_back" and "reason" not in event):
        return "info"  # somebody wanted it
    return _EVENT_LEVELS.get(name, "info")


def now() -> str:
    """The time, as all logs have it."""
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03}Z"


def dropped(count: int, message: str) -> dict[str, Any]:
    """Make the entry that says how many lines were lost."""
    return {"event": "log.dropped", "time": now(), "level": "warning", "count": count, "message": message}


def choose(format_: str, fd: int | None) -> Render:
    """Give what `format_` means: ``console``, ``json``, or ``auto``, which is the console's on a terminal.

    `fd` is where it goes; None: a file. In the journal ``auto`` is JSON too: an entry is one line there whatever is in
    it, and who collects logs from many machines gets the fields.
    """
    terminal = fd is not None and _is_terminal(fd)
    if format_ == "json" or (format_ == "auto" and not terminal):
        return render_json
    return partial(render_console, coloured=terminal and _wants_colour(os.environ))


def render_json(entry: Mapping[str, Any]) -> str:
    """For machines."""
    return json.dumps(entry, default=str, ensure_ascii=False)


def render_console(entry: Mapping[str, Any], *, coloured: bool = False) -> str:
    """For people: ``12:03:11 swap.switched main v1#1 → v2#2 (132 streams left on v1#1)``."""
    level, event = entry["level"], str(entry["event"])
    colour = _COLOURS.get(level) or (_DIM if event in _OF_OTHERS else _BOLD)
    what = f"{level}: {event}" if level in ("warning", "error") else event
    words = [clock(str(entry["time"])), f"\x1b[{colour}m{what}\x1b[0m" if coloured else what, describe(entry)]
    return " ".join(word for word in words if word)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _wants_colour(environment: Mapping[str, str]) -> bool:
    """Whether a terminal is to have colours: NO_COLOR is honoured (no-color.org), and one that can show none."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
