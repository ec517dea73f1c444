"""Durations of the config, as types of its keys: what each of them may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from frontdoor.config.backends import Duration

__all__ = ["Duration", "Limited", "Positive", "Span", "finite", "positive"]


def positive(instead: str) -> Callable[[float], float]:
    """Give a check that raises ValueError for 0; `instead` says what to write."""

    def check(seconds: float) -> float:
        if seconds <= 0:
            raise ValueError(f"must be longer than 0; {instead}")
        return seconds

    return check


def finite(seconds: float) -> float:
    """Raise ValueError for "never"."""
    if math.isinf(seconds):
        raise ValueError('cannot be "never"')
    return seconds


Positive = Annotated[Duration, AfterValidator(positive('write "never" for no limit'))]
Limited = Annotated[Duration, AfterValidator(finite), AfterValidator(positive('write "1s", for one'))]
"""Positive, and not "never"."""

Span = Annotated[Duration, AfterValidator(finite)]
"""0 or longer, and not "never"."""
