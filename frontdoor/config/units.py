"""Durations and signals, as a config writes them."""

from __future__ import annotations

import difflib
import math
import re
import signal
from decimal import Decimal

from frontdoor.config.problem import show_value

NEVER = "never"
LONGEST = 10 * 365 * 86400.0
"""Ten years, in seconds. Past it a number is a slip of the keyboard, and clocks in milliseconds overflow."""

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|m|h)\Z")


def parse_duration(value: object) -> float:
    """Seconds of a duration such as "250ms", "30s", "5m" or "1h"; "never" is infinity.

    Raises ValueError, in the user's words, for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a duration is a string with a unit: write "{_as_seconds(value)}"')
    if not isinstance(value, str):
        raise ValueError(f'must be a duration, such as "5s", not {kind_of(value)}')
    if value == NEVER:
        return math.inf
    match = _DURATION.match(value)
    if match is None:
        raise ValueError(
            f"{show_value(value)} is not a duration: write a number and a unit, as "
            f'"250ms", "30s", "5m" or "1h", or "never"'
        )
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if seconds > LONGEST:
        raise ValueError(f'{show_value(value)} is longer than ten years: write "never"')
    return seconds


def show_duration(seconds: float) -> str:
    """Write a duration so that `parse_duration` gives the very same number back."""
    if math.isinf(seconds):
        return NEVER
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m", "s", "ms"):
        count = exact / _SECONDS[unit]
        if count == count.to_integral_value() and (count >= 1 or unit == "s"):
            return f"{int(count)}{unit}"
    return f"{exact:f}s"


def parse_signal(value: object) -> int:
    """Give the number of the signal called "SIGTERM" or "TERM". Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f'a signal is given by its name: write "SIGTERM", not {kind_of(value)}')
    known = {each.name: int(each) for each in signal.Signals}
    name = value if value.startswith("SIG") else f"SIG{value}"
    if name in known:
        return known[name]
    bare = [each.removeprefix("SIG") for each in known]  # with "SIG", every name is near to every other
    near = difflib.get_close_matches(name.removeprefix("SIG").upper(), bare, 1)
    ask = f'the nearest one is "SIG{near[0]}"' if near else 'write "SIGTERM" or "SIGINT"'
    raise ValueError(f"{show_value(value)} is not a signal; {ask}")


def kind_of(value: object) -> str:
    """Name the kind of a TOML value in plain English."""
    if isinstance(value, bool):
        return "true or false"
    kinds: dict[type, str] = {str: "a string", int: "a whole number", float: "a number with a fraction"}
    kinds |= {dict: "a table", list: "an array", tuple: "an array"}
    return kinds.get(type(value), "a date or a time")


def _as_seconds(value: float) -> str:
    usable = 0 < abs(value) <= LONGEST
    return show_duration(abs(value)) if usable else "5s"
