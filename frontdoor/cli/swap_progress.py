"""What a swap's events mean to the person who waits for it, a line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from frontdoor.cli.text import duration
from frontdoor.control.wording import count, describe, printable

Line = Mapping[str, Any]


def sentence(line: Line) -> str:
    """Return a line for `line`, or "" for what the result says anyway."""
    event = str(line.get("event"))
    if event in _SAID_BY_THE_RESULT:
        return ""
    say = _SENTENCES.get(event)
    if say is not None:
        return say(line)
    return f"{printable(event)}: {describe({k: v for k, v in line.items() if k != 'swap'})}"


_SAID_BY_THE_RESULT = frozenset(
    {
        "swap.failed",
        "swap.aborted",
        "swap.vetoed",
        "swap.settled",
        "config.refused",
        "upgrade.finished",
        "upgrade.failed",
        "result",
    }
)


def _started(line: Line) -> str:
    number, old, new = (_text(line, key) for key in ("swap", "from", "to"))
    note = _text(line, "note")
    ends = f"swap {number}: {old} → {new}" if old else f"swap {number} to {new}"
    canary = f", as a canary with {_text(line, 'canary')}" if _text(line, "canary") else ""
    return ends + canary + (f" ({note})" if note else "")


def _starting(line: Line) -> str:
    return f"{_who(line)} starting" + (f" (pid {line['pid']})" if "pid" in line else "")


def _ready(line: Line) -> str:
    after = _number(line, "after_s")
    return f"{_who(line)} ready" + (f" after {after:.1f} s" if after is not None else "")


def _shared(line: Line) -> str:
    rest = f", {_text(line, 'from')} the rest" if _text(line, "from") else ""
    return f"canary: {_text(line, 'to') or 'it'} gets {_text(line, 'share') or 'a share'} of new connections{rest}"


def _switched(line: Line) -> str:
    bake = _number(line, "bake_s")
    probation = f", on probation for {duration(bake)}" if bake else ""
    return f"switched: new connections go to {_text(line, 'to') or _who(line)}{probation}"


def _draining(line: Line) -> str:
    streams = line.get("streams")
    return f"{_who(line)} draining" + (f" with {count(streams, 'stream')}" if isinstance(streams, int) else "")


def _drained(line: Line) -> str:
    closed = line.get("closed")
    return f"{_who(line)} drained" + (f", {count(closed, 'stream')} closed" if closed else "")


def _rolled_back(line: Line) -> str:
    ends = "".join(f" {end} {_text(line, end)}" for end in ("from", "to") if _text(line, end))
    # What was seen is the result's to say, and so is the last output.
    return f"rolled back{ends}"


def _paused(line: Line) -> str:
    seconds = _number(line, "for_s")
    return "paused: clients wait" + (f", for {duration(seconds)}" if seconds else "")


def _warm(line: Line) -> str:
    left = _number(line, "for_s")
    return f"{_who(line)} kept warm" + (f" for {duration(left)}" if left is not None else "")


def _reloaded(line: Line) -> str:
    changed = line.get("changed")
    keys = ", ".join(map(str, changed)) if isinstance(changed, list) else ""
    return "config reloaded: " + (printable(keys) or "nothing has changed")


def _dropped(line: Line) -> str:
    return f"({line.get('count')} earlier events are no longer kept)"


_SENTENCES: dict[str, Callable[[Line], str]] = {
    "swap.started": _started,
    "backend.starting": _starting,
    "backend.ready": _ready,
    "backend.exited": lambda line: f"{_who(line)} {_text(line, 'reason') or 'exited'}",
    "backend.restarting": lambda line: f"{_who(line)} is started again",
    "swap.ready": lambda line: f"{_who(line)} waits for the before_switch hook",
    "canary.share": _shared,
    "swap.switched": _switched,
    "swap.rolled_back": _rolled_back,
    "swap.stays": lambda line: f"{_text(line, 'to') or _who(line)} stays{_why(line)}",
    "drain.started": _draining,
    "drain.finished": _drained,
    "drain.waits": lambda line: f"{_who(line)} waits before more of its streams are closed{_why(line)}",
    "drain.resumed": lambda line: f"{_who(line)} goes on to close its streams",
    "drain.notify_failed": lambda line: f"{_who(line)}{_why(line) or ' was not told that it drains'}",
    "generation.warm": _warm,
    "generation.stopped": lambda line: f"{_who(line)} stopped",
    "hook.failed": lambda line: f"hook {_text(line, 'hook')} failed{_why(line)}",
    "config.reloaded": _reloaded,
    "upgrade.started": lambda line: f"upgrade {_text(line, 'upgrade')}: a new door process is being started",
    "paused": _paused,
    "resumed": lambda line: "resumed",
    "maintenance.on": lambda line: f"maintenance: requests are answered 503: {_text(line, 'message')}",
    "maintenance.off": lambda line: f"maintenance is over{_why(line)}",
    "events.dropped": _dropped,
}


def _text(line: Line, key: str) -> str:
    value = line.get(key)
    return "" if value is None else printable(str(value))


def _who(line: Line) -> str:
    return _text(line, "generation") or _text(line, "version") or "it"


def _number(line: Line, key: str) -> float | None:
    value = line.get(key)
    return float(value) if isinstance(value, int | float) else None


def _why(line: Line) -> str:
    """Return the reason, and the last output on lines of its own, as the log shows them."""
    why = describe({key: line[key] for key in ("reason", "output") if key in line})
    return f": {why}" if line.get("reason") else why
