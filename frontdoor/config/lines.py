"""Which line of a TOML text a key stands on.

`tomllib` throws places away, so this reads the text once more, only as far as needed to know where keys and
array items begin (TOML 1.0, https://toml.io/en/v1.0.0). It is meant for a text that `tomllib` has accepted; on
any other it stops at what it does not understand, and keeps what it has found.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

from frontdoor.config.problem import Path

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*")  # where line ends and comments count as blank
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]+")  # numbers, booleans, dates (a date may have a blank before its time)
_STRING = re.compile(
    # At most two quotes may stand before the three that end a multi-line string: they belong to the text.
    # The groups are repeated by a plain "*": Python 3.11.2 loses its place in a possessive one.
    r'"""(?:[^\\"]++|\\[\s\S]|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*"'
    r"|'[^'\n]*'"
)


class _NotUnderstoodError(Exception):
    """The text is not TOML from here on."""


class Lines:
    """The lines of the keys of one TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}  # arrays of tables, and how many they have so far
        try:
            self._read()
        except (_NotUnderstoodError, RecursionError):
            pass  # what was found until here is still right, and parents stand in for the rest

    def find(self, path: Path) -> int | None:
        """Give the line (from 1) of a key or array item, else of the nearest parent that has one."""
        while path:
            line = self._lines.get(path)
            if line is not None:
                return line
            path = path[:-1]
        return None

    def _read(self) -> None:
        table: Path = ()
        at = self._skip(_GAP, 0)
        while at < len(self._text):
            if self._text[at] == "[":
                table, at = self._header(at)
            else:
                at = self._pair(table, at)
            at = self._skip(_GAP, at)

    def _header(self, start: int) -> tuple[Path, int]:
        brackets = 2 if self._text.startswith("[[", start) else 1
        parts, at = self._key(start + brackets)
        at = self._expect("]" * brackets, at)
        path: Path = ()
        for index, part in enumerate(parts):
            path += (part,)
            self._lines.setdefault(path, self._line(start))
            if index < len(parts) - 1 and path in self._arrays:
                path += (self._arrays[path] - 1,)
        if brackets == 2:
            number = self._arrays.get(path, 0)
            self._arrays[path] = number + 1
            path += (number,)
        # A header of its own says better where a table is than `[table.child]` before it.
        self._lines[path] = self._line(start)
        return path, at

    def _pair(self, table: Path, start: int) -> int:
        parts, at = self._key(start)
        for count in range(1, len(parts) + 1):
            self._lines.setdefault(table + parts[:count], self._line(start))
        return self._value(table + parts, self._skip(_BLANK, self._expect("=", at)))

    def _key(self, at: int) -> tuple[tuple[str, ...], int]:
        parts: list[str] = []
        while True:
            at = self._skip(_BLANK, at)
            quoted = self._text[at : at + 1] in ('"', "'")
            match = (_STRING if quoted else _BARE_KEY).match(self._text, at)
            if match is None:
                raise _NotUnderstoodError
            parts.append(_unquote(match[0]) if quoted else match[0])
            at = self._skip(_BLANK, match.end())
            if not self._text.startswith(".", at):
                return tuple(parts), at
            at += 1

    def _value(self, path: Path, at: int) -> int:
        first = self._text[at : at + 1]
        if first == "[":
            return self._array(path, at + 1)
        if first == "{":
            return self._inline_table(path, at + 1)
        match = (_STRING if first in ('"', "'") else _BARE_VALUE).match(self._text, at)
        if match is None:
            raise _NotUnderstoodError
        return match.end()

    def _array(self, path: Path, at: int) -> int:
        number = 0
        while True:
            at = self._skip(_GAP, at)
            if self._text.startswith("]", at):
                return at + 1
            self._lines[(*path, number)] = self._line(at)
            at = self._skip(_GAP, self._value((*path, number), at))
            number += 1
            if self._text.startswith(",", at):
                at += 1
            elif not self._text.startswith("]", at):
                raise _NotUnderstoodError

    def _inline_table(self, path: Path, at: int) -> int:
        while True:
            # TOML 1.0 wants an inline table on one line, 1.1 does not: reading both costs nothing.
            at = self._skip(_GAP, at)
            if self._text.startswith("}", at):
                return at + 1
            at = self._skip(_GAP, self._pair(path, at))
            if self._text.startswith(",", at):
                at += 1
            elif not self._text.startswith("}", at):
                raise _NotUnderstoodError

    def _skip(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self._text, at)
        return at if match is None else match.end()

    def _expect(self, literal: str, at: int) -> int:
        if not self._text.startswith(literal, at):
            raise _NotUnderstoodError
        return at + len(literal)

    def _line(self, at: int) -> int:
        return bisect_left(self._ends, at) + 1


def _unquote(key: str) -> str:
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _NotUnderstoodError from None
