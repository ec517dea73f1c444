"""``frontdoor status``: what is active, draining, failed."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from frontdoor.cli.call import Call, control_verb
from frontdoor.cli.output import complain, result
from frontdoor.cli.status_text import render
from frontdoor.control.dial import ControlError

if TYPE_CHECKING:
    from frontdoor.control.client import Client

REDRAW = 0.5  # seconds between two looks

# ECMA-48: another screen and no cursor, and back; home; the rest of the line, and of the screen.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Keep it live until Ctrl-C.")
@control_verb
def status(call: Call, watch: bool) -> int:
    """Show what is active, draining, warm, failed: streams, age, oldest client, processes, restarts."""
    client = call.client()
    state = _state(client, call)
    if not watch:
        result(json.dumps(state, ensure_ascii=False, indent=2) if call.json else render(state))
    elif not call.json and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        _redraw(client, call, state)
    else:
        _print_changes(client, call, state)
    return 0


def _state(client: Client, call: Call) -> dict[str, Any]:
    state = client.ask("/v1/status")
    if call.door is not None:
        names = [str(door["name"]) for door in state["doors"]]
        if call.door not in names:
            raise click.UsageError(f"there is no door {call.door!r}; there is {', '.join(names)}")
        state["doors"] = [door for door in state["doors"] if door["name"] == call.door]
    return state


def _print_changes(client: Client, call: Call, state: dict[str, Any]) -> None:
    """Print a block (with ``--json`` a line) now and whenever something has changed."""
    shown = None
    while True:
        if _without_ages(state) != shown:
            shown = _without_ages(state)
            result(json.dumps(state, ensure_ascii=False) if call.json else render(state) + "\n")
        time.sleep(REDRAW)
        state = _state(client, call)


def _without_ages(value: Any) -> Any:
    """Return `value` without what changes by itself: every duration, all of whose names end in ``_s``."""
    if isinstance(value, dict):
        return {key: _without_ages(part) for key, part in value.items() if not key.endswith("_s")}
    if isinstance(value, list):
        return [_without_ages(part) for part in value]
    return value


def _redraw(client: Client, call: Call, state: dict[str, Any]) -> None:
    """Draw on the terminal's other screen; what was last seen stays on the first."""
    last = render(state)
    gone = None
    try:
        sys.stdout.write(_ENTER)
        while True:
            last = render(state)
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
            # A terminal that does not know its size says 0.
            rows = [row[: (columns or 80) - 1] for row in last.splitlines()[: (lines or 24) - 1]]
            sys.stdout.write(_HOME + "".join(f"{row}{_END_OF_LINE}\n" for row in rows) + _END_OF_SCREEN)
            sys.stdout.flush()
            time.sleep(REDRAW)
            state = _state(client, call)
    except ControlError as error:
        gone = error
    finally:
        sys.stdout.write(_LEAVE + last + "\n")
        sys.stdout.flush()
    if gone is not None:
        complain("that was the last: frontdoor has gone")
        raise gone
