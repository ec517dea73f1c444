"""The config that a door process begins with: what was applied last, and at a first start what the file says."""

from dataclasses import dataclass
from typing import Any

from frontdoor.config import ConfigError, Settings, load, parse
from frontdoor.control.operator import USAGE
from frontdoor.door.refusal import CannotStart


@dataclass(frozen=True, slots=True)
class Applied:
    """The config."""

    settings: Settings
    instead: str = ""
    """It is the file's in the place of what was applied last: why that cannot be taken."""


def look_at(path: str) -> None:
    """Raise CannotStart if the file is not valid: the next reload, or start, would fail."""
    try:
        load(path)
    except ConfigError as error:
        raise CannotStart(str(error), USAGE) from None


def choose(kept: tuple[Any, object] | None, path: str, *, successor: bool) -> Applied:
    """The config; ``kept``: what the keeper has of the one that was applied last.

    After a crash the file is better than nothing; a ``successor`` leaves the other one where it is. Raises CannotStart.
    """
    why = ""
    if kept is not None and not isinstance(kept[0], str):
        why = "the keeper has something else as the config"
    elif kept is not None:
        try:
            return Applied(parse(kept[0], path))
        except ConfigError as error:
            why = str(error)  # this code is newer than the one that has applied it
    if why and successor:
        raise CannotStart(why, USAGE)
    try:
        return Applied(load(path), why)
    except ConfigError as error:
        raise CannotStart(why or str(error), USAGE) from None
