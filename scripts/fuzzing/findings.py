"""Findings: inputs for which something does not hold that must."""

import os
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from types import TracebackType

SLOW = 1.0
"""Seconds of CPU: an input that takes so long is a finding, for it would hold up everybody else."""

Check = Callable[[bytes], None]
"""Raises if something does not hold for an input."""


class TooSlow(Exception):  # noqa: N818 - it says what it is
    """The input takes a second."""


def attempt(check: Check, data: bytes) -> Exception | None:
    """What is wrong with it; None: nothing."""
    began = time.thread_time()
    try:
        check(data)
    except Exception as error:
        return error
    took = time.thread_time() - began
    return TooSlow(f"{took:.1f} s") if took > SLOW else None


class Findings:
    """A folder of them: of each kind the shortest, with how to see it again beside it."""

    def __init__(self, folder: str, target: str, said: Callable[[str], None]) -> None:
        """``said``: gets the path of each kind's first."""
        self._folder = folder
        self._target = target
        self._said = said
        self._shortest: dict[str, int] = {}

    def keep(self, data: bytes, error: Exception) -> None:
        """Write it down, unless a shorter one of its kind is there."""
        kind = kind_of(error)
        known = self._shortest.get(kind)
        if known is not None and known <= len(data):
            return
        self._shortest[kind] = len(data)
        os.makedirs(self._folder, exist_ok=True)
        path = os.path.join(self._folder, f"{self._target}-{sha256(kind.encode()).hexdigest()[:8]}")
        with open(path, "wb") as file:
            file.write(data)
        with open(path + ".txt", "w", encoding="utf-8") as file:
            file.write(f"{again(self._target, path)}\n\n{data!r}\n\n{''.join(traceback.format_exception(error))}")
        if known is None:
            self._said(path)


def again(target: str, path: str) -> str:
    """The command line that tries one input."""
    return f"scripts/fuzz --target {target} --file {path}"


def kind_of(error: Exception) -> str:
    """Two errors of the same kind come from the same line of an oracle."""
    return f"{type(error).__name__} {_place(error.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    places = [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
    return " ".join(places[-2:])
