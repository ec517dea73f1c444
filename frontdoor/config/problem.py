"""What is wrong with a config, in the user's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

Path = tuple[str | int, ...]
"""A place in the config: names of keys, and numbers of array items (from 0)."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_LONGEST_INT = 256  # bits; Python refuses to write out a number of some thousand, which 0xfff… may be
_LONGEST_SHOWN = 80  # a pasted certificate as a value must not fill the user's screen


class FaultError(ValueError):
    """Mistakes found by a check: each is a place below the checked value, and what is wrong there."""

    def __init__(self, faults: Iterable[tuple[Path, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(message for _, message in self.faults))


def once(items: tuple[str, ...]) -> tuple[str, ...]:
    """Give the items of an array. Raises FaultError for those that are there twice."""
    faults: list[tuple[Path, str]] = [
        ((index,), f"{show_value(item)} is there twice") for index, item in enumerate(items) if item in items[:index]
    ]
    if faults:
        raise FaultError(faults)
    return items


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the key as TOML writes it ("" for the file itself), its line (from 1), what is wrong."""

    key: str
    line: int | None
    message: str


class ConfigError(Exception):
    """The config is not valid. `problems` has every mistake that was found; str() is one line for each."""

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def as_json(self) -> list[dict[str, object]]:
        """Every mistake as JSON's values: ``key``, ``line``, ``message``."""
        return [asdict(problem) for problem in self.problems]

    def _line(self, problem: Problem) -> str:
        place = self.path if problem.line is None else f"{self.path}:{problem.line}"
        return ": ".join(part for part in (place, problem.key, problem.message) if part)


def show_key(path: Path) -> str:
    """Write a place as TOML writes a dotted key; array items have no name there, the array stands for them."""
    return ".".join(part if _BARE_KEY.match(part) else show_value(part) for part in path if isinstance(part, str))


def show_value(value: object) -> str:
    """Write a value as the user would write it in TOML, on one line, cut where it is long."""
    if isinstance(value, str | bool):
        shown = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, int) and value.bit_length() > _LONGEST_INT:
        shown = "a number too long to show"
    elif isinstance(value, list | tuple):
        shown = f"[{', '.join(show_value(item) for item in value)}]"
    elif isinstance(value, dict):
        pairs = ", ".join(f"{show_key((key,))} = {show_value(child)}" for key, child in value.items())
        shown = f"{{ {pairs} }}"
    else:
        shown = str(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
