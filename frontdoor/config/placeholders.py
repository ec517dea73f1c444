"""`{socket}`, `{version}` and the like, in a backend's command, env and cwd."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from frontdoor.config.problem import show_value

NAMES = ("socket", "version", "generation", "python", "runtime_dir", "process")

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


def check(text: str, names: Collection[str] = NAMES) -> None:
    """Raise ValueError for a placeholder that is none of `names`, or a brace that stands alone."""
    for token in _TOKEN.findall(text):
        if token in ("{{", "}}"):
            continue
        if token in ("{", "}"):
            raise ValueError(f'{show_value(text)}: a "{token}" stands alone; write "{token}{token}" for the character')
        name = token[1:-1]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            known = ", ".join(f"{{{each}}}" for each in names)
            ask = f"the nearest known one is {{{near[0]}}}" if near else f"known are {known}"
            raise ValueError(f'{show_value(text)}: unknown placeholder {token}; {ask} (write "{{{{" for a "{{")')


def found(text: str) -> set[str]:
    """Give the names of the placeholders in a text, whether they exist or not."""
    return {token[1:-1] for token in _TOKEN.findall(text) if len(token) > 2}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in place of a text that `check` has passed. `values` has one for each name that it allowed."""

    def put(match: re.Match[str]) -> str:
        token = match[0]
        return token[0] if token in ("{{", "}}") else values[token[1:-1]]

    return _TOKEN.sub(put, text)
