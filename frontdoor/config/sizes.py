"""Sizes, as a config writes them: "64KiB"."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from frontdoor.config.problem import show_value
from frontdoor.config.units import NEVER, kind_of

LARGEST = 1 << 50
"""A pebibyte. Past it a number is a slip of the keyboard."""

_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,18})([A-Za-z]+)\Z")
_FORMS = '"512B", "64KiB", "10MiB" or "1GiB"'


def parse_size(value: object) -> int:
    """Bytes of a size such as "64KiB". Raises ValueError, in the user's words, for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'a size is a string with a unit: write "{show_size(min(abs(value), LARGEST))}"')
    if not isinstance(value, str):
        raise ValueError(f'must be a size, such as "64KiB", not {kind_of(value)}')
    match = _SIZE.match(value)
    unit = match[2] if match else ""
    if match is None or unit not in _BYTES:
        # A thousand or 1024 of them: here it is said, and not guessed.
        near = next((each for each in _BYTES if unit and each[0] == unit[0].upper()), None)
        ask = f'write "{match[1]}{near}"' if match and near else f"write a whole number and a unit, as {_FORMS}"
        raise ValueError(f"{show_value(value)} is not a size: {ask}")
    size = int(match[1]) * _BYTES[unit]
    if size > LARGEST:
        raise ValueError(f"{show_value(value)} is larger than {show_size(LARGEST)}")
    return size


def parse_limit(value: object) -> float:
    """Give the bytes of a size that may be "never", for none: infinity. Raises ValueError for anything else."""
    return math.inf if value == NEVER else parse_size(value)


def show_size(size: int) -> str:
    """Write a size so that `parse_size` gives the very same number back."""
    unit = max(
        (unit for unit, of in _BYTES.items() if size % of == 0 and size >= of), key=_BYTES.__getitem__, default="B"
    )
    return f"{size // _BYTES[unit]}{unit}"


def between(least: int, most: int) -> Callable[[int], int]:
    """Give a check that raises ValueError for a size that is not within these."""

    def check(size: int) -> int:
        if not least <= size <= most:
            raise ValueError(f"must be between {show_size(least)} and {show_size(most)}, not {show_size(size)}")
        return size

    return check
