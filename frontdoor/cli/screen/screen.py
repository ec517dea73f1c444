"""The screen: what is known, and a size in, lines out. Never wider, never taller than that size.

Every word that comes from outside goes through :func:`~frontdoor.control.wording.printable`, and is cut by the columns
that it takes on a terminal, not by its characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from frontdoor.cli.screen.actions import Deed
from frontdoor.cli.screen.blocks import Block, share
from frontdoor.cli.screen.flow import generations, holds, number_text, rates
from frontdoor.cli.screen.keys import Asks, Prompt
from frontdoor.cli.screen.marks import BLOCKS, Marks, cell, wrap
from frontdoor.cli.screen.model import Model, Past
from frontdoor.cli.status_text import canary_lines, remarks, special
from frontdoor.cli.text import duration
from frontdoor.control.wording import count, line, printable

_EVENTS = 40  # that are drawn: more than a screen has rows for
_DEEDS = 3  # whose progress is drawn

_BAD = ("failed", "aborted", "vetoed", "refused", "rolled_back", "exited", "reached", "full", "dropped")
_GOOD = ("switched", "settled", "ready", "resumed", "reloaded")

_KEYS = "s swap  r rollback  d drain  p {pause}  {tab}? help  q quit"
_FEW_KEYS = "s r d p  ?  q quit"

_HELP = (
    "s  swap to another version: choose it, or type its name",
    "r  roll back; ends a swap or a canary that is under way",
    "d  close the streams of a generation that drains",
    "p  pause: clients wait; once more: let them in again",
    "tab, arrows, 1 to 9  another door",
    "ctrl-l  draw all again     ctrl-z  leave for a while: fg",
    "q  quit; what is under way goes on",
    "Nothing is changed before you have said y.",
    "Any key ends this help.",
)


@dataclass(frozen=True)
class Look:
    """What is drawn besides what is known of frontdoor."""

    prompt: Prompt = field(default_factory=Prompt)
    deeds: Sequence[Deed] = ()
    news: str = ""
    """What is wrong with the connection; empty: nothing."""
    marks: Marks = BLOCKS
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def draw(model: Model, look: Look, width: int, height: int) -> list[Text]:
    """Return exactly `height` lines, none of them wider than `width` columns."""
    if width < 1 or height < 1:
        return []
    below = _below(model, look, width, height)
    body = share(_blocks(model, look, width, height), height - len(below))
    if look.prompt.asks is Asks.HELP:
        body = [Text(row) for text in _HELP for row in wrap(text, width)][: height - len(below)]
    blank = [Text()] * (height - len(below) - len(body))
    lines = [*body, *blank, *below]
    for text in lines:
        text.truncate(width)
    return lines


def _blocks(model: Model, look: Look, width: int, height: int) -> list[Block]:
    if not model.state:
        return [Block([Text(look.news or "waiting for the first state", "yellow")], 0)]
    name = look.prompt.door
    door, past = model.door(name), model.past(name)
    roomy = height >= 10
    bars = generations(door, past, width, look.marks, titled=roomy)
    held = ((model.held(name, str(each.get("id"))), each) for each in door.get("generations", []))
    return [
        Block([_head(model)], 5),
        Block([Text(row, "bold red") for row in wrap(look.news, width)] if look.news else [], 0),
        Block(_doors(model, look, width), 6, (1, 3, 6), keep=_index(model.names, name)),
        Block([_summary(door, name)], 2),
        Block([Text(row, "yellow") for text in _special(door, look.now) for row in wrap(text, width)], 4, (1, 4)),
        Block(rates(past, width, look.marks), 7, (1, 2)),
        Block(bars, 3, (2 + roomy, 4, 6)),
        Block([Text(row) for text in _remarks(door, past) for row in wrap(text, width)], 8, (1, 2, 4)),
        Block(_deeds(look, width), 1, (1, 3)),
        *(Block(holds(streams, each, width), 10, (3, 5, 8)) for streams, each in held),
        Block(_events(model, name), 9, (2, 4, 6)),
    ]


def _head(model: Model) -> Text:
    state = model.state
    text = Text(no_wrap=True)
    text.append(printable(f"frontdoor {state.get('frontdoor', '?')}"), "bold")
    text.append(f"  up {duration(float(state.get('uptime_s', 0)))}", "dim")
    if model.lag_ms is not None:
        text.append(f"  loop {model.lag_ms:.1f} ms late", "bold yellow" if model.lag_ms >= 50 else "dim")
    if model.dropped:
        text.append(f"  {count(model.dropped, 'log line')} lost", "yellow")
    if state.get("vault", {}).get("full"):
        text.append("  the vault is full", "yellow")
    if requests := sum(int(each.get("requests", 0)) for each in state.get("earlier", [])):
        text.append(f"  {count(requests, 'request')} at the door process before", "yellow")
    return text


def _doors(model: Model, look: Look, width: int) -> list[Text]:
    """One line for each of several doors."""
    if len(model.names) < 2:
        return []
    longest = min(max(len(name) for name in model.names), max(6, width // 4))
    lines = []
    for number, door in enumerate(model.state.get("doors", []), 1):
        name = str(door.get("name"))
        chosen = name == look.prompt.door
        open_, rate = int(door.get("streams", {}).get("open", 0)), model.past(name).rates()
        text = Text(no_wrap=True)
        text.append(f"{look.marks.chosen if chosen else ' '}{number if number < 10 else ' '} ")
        text.append(cell(name, longest, marks=look.marks), "bold" if chosen else "")
        text.append(f" {open_:>6} open {number_text(rate.new) if rate else '-':>6}/s  ")
        text.append(printable(str(door.get("active") or "nothing is active")))
        text.append(_condition(door), "yellow")
        lines.append(text)
    return lines


def _condition(door: Mapping[str, Any]) -> str:
    """What is not as on other days, in a few words."""
    words = [str(door["state"])] if door.get("state") in ("starting", "stopping", "failed") else []
    words += ["paused"] if door.get("paused") else []
    words += ["in maintenance"] if door.get("maintenance") else []
    words += [f"swap to {door['swap'].get('to')}"] if door.get("swap") else []
    return printable("".join(f", {word}" for word in words))


def _summary(door: Mapping[str, Any], name: str) -> Text:
    if not door:
        return Text(printable(f"there is no door {name} any more"), "yellow", no_wrap=True)
    streams = door.get("streams", {})
    text = Text(no_wrap=True)
    text.append(printable(name), "bold")
    text.append(printable(f": {door.get('active') or 'nothing'} is active"))
    text.append(_condition(door), "bold yellow")
    text.append(f"  {streams.get('open', 0)} open, {streams.get('accepted', 0)} accepted")
    if (connections := door.get("connections")) is not None:
        text.append(f", {count(int(connections.get('open', 0)), 'connection')}")
    text.append(printable("  on " + ", ".join(map(str, door.get("listen", [])))), "dim")
    return text


def _special(door: Mapping[str, Any], now: datetime) -> list[str]:
    """What is not as on other days, in whole sentences."""
    lines = special(door, now)
    if canary := door.get("canary"):
        lines += canary_lines(canary, "requests" if door.get("protocol") == "http" else "connections")
    return lines


def _remarks(door: Mapping[str, Any], past: Past) -> list[str]:
    """What is to be said of the generations; of a drain also when it has ended if all goes on as it does."""
    lines = []
    for each in door.get("generations", []):
        said, deadline = remarks(each), (each.get("drain") or {}).get("deadline_s")
        left = past.empty_in(str(each.get("id"))) if each.get("state") == "draining" else None
        if left is not None and said and (deadline is None or left < float(deadline)):
            said[-1] += f"; at this pace empty in about {duration(left)}"
        lines += said
    return lines


def _events(model: Model, name: str) -> list[Text]:
    events = model.events_of(name)[:_EVENTS]
    if not events:
        return []
    lines = [Text("EVENTS", "bold")]
    for event in events:
        shown = line({key: value for key, value in event.items() if key != "door"}).partition("\n")[0]
        what = str(event.get("event")).rpartition(".")[2]
        lines.append(Text(shown, "red" if what in _BAD else "green" if what in _GOOD else "", no_wrap=True))
    return lines


def _deeds(look: Look, width: int) -> list[Text]:
    """What was asked for here, and how it goes: the newest first."""
    lines = []
    for deed in list(reversed(look.deeds))[:_DEEDS]:
        code = deed.exit_code
        style = "bold cyan" if code is None else "bold green" if code == 0 else "bold red"
        said = deed.message or (deed.said[-1] if deed.said else "")
        title = f"{deed.action.about}: {deed.outcome}" + (f": {said}" if said else "")
        lines += [Text(row, style) for part in title.splitlines() for row in wrap(part, width)]
        lines += [Text(printable(f"    {text}"), "dim", no_wrap=True) for text in deed.output[-3:]]
        if code is None:
            lines += [Text(printable(f"  {text}"), "dim", no_wrap=True) for text in list(deed.said)[-4:-1]]
    return lines


def _below(model: Model, look: Look, width: int, height: int) -> list[Text]:
    """The last lines: what is asked, what is said, and the keys."""
    prompt, room = look.prompt, max(1, height - 1)
    if prompt.asks is Asks.NOTHING or prompt.asks is Asks.HELP:
        notice = [Text(row, "bold yellow") for row in wrap(prompt.notice, width)] if prompt.notice else []
        return [*notice, _keys(model, look, width)][-room:]
    answer = {
        Asks.SURE: "y: do it; any other key: do not",
        Asks.NAME: "Enter; Esc: do not",
        Asks.TIME: "Enter; Esc: do not",
    }.get(prompt.asks, "any other key: do not")
    typed = f" {prompt.typed}_" if prompt.asks in (Asks.NAME, Asks.TIME) else ""
    question, last = wrap(prompt.question + typed, width), wrap(answer, width)
    if prompt.notice:
        question = wrap(prompt.notice, width) + question
    if prompt.action is not None and len(question) + len(last) > room:
        question = wrap(prompt.action.about, width)
    lines = [Text(row, "bold yellow") for row in question] + [Text(row, "bold reverse") for row in last]
    return lines if len(lines) <= room else lines[:room]


def _keys(model: Model, look: Look, width: int) -> Text:
    several = len(model.names) > 1
    paused = model.door(look.prompt.door).get("paused")
    keys = _KEYS.format(pause="resume" if paused else "pause", tab="tab door  " if several else "")
    return Text(keys if len(keys) <= width else _FEW_KEYS, "reverse", no_wrap=True)


def _index(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None
