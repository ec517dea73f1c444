"""Keys: what a key means, depending on what was asked before. Nothing is changed before somebody has said ``y``.

The table :data:`TABLE` is all of it: (what is being asked, key) → a step, which makes the next question, or says what
is to be done. Pure: what there is to choose from is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import click

from frontdoor.cli.call import Duration, Version
from frontdoor.cli.screen.says import drain_says, drainable, pause_says, rollback_says, swap_says
from frontdoor.cli.text import duration

ANY, DIGIT, TEXT = "any", "digit", "text"
"""In the table, where there is none for the key itself: any key, 1 to 9, whatever is one character long."""

PASTE = "paste:"
"""In front of a text that was pasted, which comes as one key."""

LONGEST = 80
"""Characters that can be typed: more than a generation's id has."""


class Asks(StrEnum):
    """What is being asked."""

    NOTHING = "nothing"
    HELP = "help"
    VERSION = "version"
    NAME = "name"
    GENERATION = "generation"
    TIME = "time"
    SURE = "sure"


@dataclass(frozen=True)
class Action:
    """A change, as the API takes it."""

    verb: str
    """The verb of the command line, which is the last part of the call's path too."""
    door: str
    body: Mapping[str, Any]
    about: str
    """In a few words: ``swap main to v3``."""


class Quit:
    """Leave."""


class Redraw:
    """Draw all of the screen again: something else has written on it."""


Does = Action | Quit | Redraw | None


@dataclass(frozen=True)
class Prompt:
    """Which door is shown, and what is asked or said below it."""

    door: str = ""
    asks: Asks = Asks.NOTHING
    question: str = ""
    choices: tuple[str, ...] = ()
    """For the keys 1 to 9."""
    typed: str = ""
    generation: str = ""
    """Whose streams are to be closed."""
    action: Action | None = None
    """What is done after ``y``."""
    notice: str = ""
    """Said until the next key."""


@dataclass(frozen=True)
class There:
    """What there is to choose from."""

    doors: Sequence[str]
    door: Mapping[str, Any]
    """The part of the state of the door that is shown; empty: there is none."""


Step = Callable[[Prompt, str, There], tuple[Prompt, Does]]


def press(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    """Return what is asked after `key`, and what is to be done now.

    `key` is a character, or the name that :mod:`frontdoor.cli.screen.input` gives a key that is none. What is pasted is
    taken where something is typed, and nowhere else: a word is no command.
    """
    if key.startswith(PASTE):
        typed = key.removeprefix(PASTE).strip() if prompt.asks in (Asks.NAME, Asks.TIME) else ""
        return replace(prompt, typed=(prompt.typed + typed)[:LONGEST]), None
    kinds = [key, *([DIGIT] if key in "123456789" else []), *([TEXT] if len(key) == 1 else []), ANY]
    step = next((TABLE[prompt.asks, kind] for kind in kinds if (prompt.asks, kind) in TABLE), _nothing)
    return step(replace(prompt, notice=""), key, there)


def at_rest(prompt: Prompt, notice: str = "") -> Prompt:
    """Return it with nothing asked."""
    return Prompt(door=prompt.door, notice=notice)


def _nothing(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return prompt, None


def _never_mind(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    changed = "" if prompt.asks is Asks.HELP else "nothing was changed"
    return at_rest(prompt, changed), None


def _quit(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return prompt, Quit()


def _redraw(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return prompt, Redraw()


def _help(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return replace(prompt, asks=Asks.HELP), None


def _other_door(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if not there.doors:
        return prompt, None
    at = there.doors.index(prompt.door) if prompt.door in there.doors else 0
    by = -1 if key in ("up", "left", "backtab") else 1
    return replace(prompt, door=there.doors[(at + by) % len(there.doors)]), None


def _that_door(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return (replace(prompt, door=there.doors[int(key) - 1]) if int(key) <= len(there.doors) else prompt), None


def _swap(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if not there.door:
        return at_rest(prompt, "there is no door to change"), None
    versions = tuple(map(str, there.door.get("versions", [])))[:9]
    if not versions:
        return _name(prompt, key, there)
    active = str(there.door.get("active") or "").partition("#")[0]
    shown = "  ".join(
        f"{number} {name}{' (active)' if name == active else ''}" for number, name in enumerate(versions, 1)
    )
    question = f"swap {prompt.door} to:  {shown}  t type a name"
    return replace(prompt, asks=Asks.VERSION, choices=versions, question=question), None


def _version(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if int(key) > len(prompt.choices):
        return prompt, None
    return _sure_of_swap(prompt, prompt.choices[int(key) - 1], there)


def _name(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return replace(prompt, asks=Asks.NAME, typed="", question=f"swap {prompt.door} to:"), None


def _named(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if not prompt.typed:
        return _never_mind(prompt, key, there)
    try:
        version = Version().convert(prompt.typed, None, None)
    except click.UsageError as error:
        return replace(prompt, notice=error.message), None
    return _sure_of_swap(prompt, version, there)


def _sure_of_swap(prompt: Prompt, version: str, there: There) -> tuple[Prompt, Does]:
    action = Action("swap", prompt.door, {"version": version, "wait": "baked"}, f"swap {prompt.door} to {version}")
    return _sure(prompt, action, swap_says(there.door, version)), None


def _rollback(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    says = rollback_says(there.door)
    if says is None:
        return at_rest(prompt, "there is nothing to go back to: nothing else has served before"), None
    return _sure(prompt, Action("rollback", prompt.door, {"wait": "baked"}, f"rollback of {prompt.door}"), says), None


def _pause(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if not there.door:
        return at_rest(prompt, "there is no door to change"), None
    verb = "resume" if there.door.get("paused") else "pause"
    return _sure(prompt, Action(verb, prompt.door, {}, f"{verb} {prompt.door}"), pause_says(there.door)), None


def _drain(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    draining = tuple(drainable(there.door))[:9]
    if not draining:
        return at_rest(prompt, "nothing drains: no earlier generation has open streams"), None
    if len(draining) == 1:
        return _time_of(prompt, draining[0])
    shown = "  ".join(f"{number} {id_}" for number, id_ in enumerate(draining, 1))
    question = f"close the streams of:  {shown}"
    return replace(prompt, asks=Asks.GENERATION, choices=draining, question=question), None


def _generation(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if int(key) > len(prompt.choices):
        return prompt, None
    return _time_of(prompt, prompt.choices[int(key) - 1])


def _time_of(prompt: Prompt, generation: str) -> tuple[Prompt, Does]:
    question = f"close the streams of {generation}: n now, or evenly over a time, such as 10m:"
    return replace(prompt, asks=Asks.TIME, generation=generation, typed="", question=question), None


def _now(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return _type(prompt, key, there) if prompt.typed else _sure_of_drain(prompt, 0.0, there)


def _over(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    if not prompt.typed:
        return _never_mind(prompt, key, there)
    try:
        return _sure_of_drain(prompt, Duration().convert(prompt.typed, None, None), there)
    except click.UsageError as error:
        return replace(prompt, notice=error.message), None


def _sure_of_drain(prompt: Prompt, over: float, there: There) -> tuple[Prompt, Does]:
    generation = prompt.generation
    how = f"over {duration(over)}" if over else "now"
    action = Action("drain", prompt.door, {"version": generation, "over": over}, f"drain {generation} {how}")
    return _sure(prompt, action, drain_says(there.door, generation, over)), None


def _sure(prompt: Prompt, action: Action, says: str) -> Prompt:
    return replace(at_rest(prompt), asks=Asks.SURE, action=action, question=says)


def _do(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return at_rest(prompt), prompt.action


def _type(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return replace(prompt, typed=(prompt.typed + key)[:LONGEST]), None


def _untype(prompt: Prompt, key: str, there: There) -> tuple[Prompt, Does]:
    return replace(prompt, typed=prompt.typed[:-1]), None


TABLE: Mapping[tuple[Asks, str], Step] = {
    (Asks.NOTHING, "s"): _swap,
    (Asks.NOTHING, "r"): _rollback,
    (Asks.NOTHING, "d"): _drain,
    (Asks.NOTHING, "p"): _pause,
    (Asks.NOTHING, "q"): _quit,
    (Asks.NOTHING, "?"): _help,
    (Asks.NOTHING, "h"): _help,
    (Asks.NOTHING, "ctrl-l"): _redraw,
    (Asks.NOTHING, "tab"): _other_door,
    (Asks.NOTHING, "backtab"): _other_door,
    (Asks.NOTHING, "up"): _other_door,
    (Asks.NOTHING, "down"): _other_door,
    (Asks.NOTHING, "left"): _other_door,
    (Asks.NOTHING, "right"): _other_door,
    (Asks.NOTHING, DIGIT): _that_door,
    (Asks.HELP, "q"): _quit,
    (Asks.HELP, ANY): _never_mind,
    (Asks.VERSION, DIGIT): _version,
    (Asks.VERSION, "t"): _name,
    (Asks.VERSION, ANY): _never_mind,
    (Asks.NAME, "enter"): _named,
    (Asks.NAME, "backspace"): _untype,
    (Asks.NAME, "escape"): _never_mind,
    (Asks.NAME, TEXT): _type,
    (Asks.GENERATION, DIGIT): _generation,
    (Asks.GENERATION, ANY): _never_mind,
    (Asks.TIME, "n"): _now,
    (Asks.TIME, "enter"): _over,
    (Asks.TIME, "backspace"): _untype,
    (Asks.TIME, "escape"): _never_mind,
    (Asks.TIME, TEXT): _type,
    (Asks.SURE, "y"): _do,
    (Asks.SURE, "Y"): _do,
    (Asks.SURE, ANY): _never_mind,
}
