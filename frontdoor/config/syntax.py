"""TOML text to plain tables; where it is not TOML, the line and what is wrong, in plain English."""

from __future__ import annotations

import ast
import re
import tomllib

from frontdoor.config.problem import ConfigError, Problem, show_key

_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)\Z")
_KEY = re.compile(r"\(['\"].*\)")  # tomllib shows keys as Python's tuples

_PLAINER = {
    "invalid value": "invalid value (a string needs quotes)",
    "illegal character '\\n'": "a string does not end on its line",
    "expected '=' after a key in a key/value pair": 'expected "=" after a key',
}


def read_toml(text: str, path: str) -> dict[str, object]:
    """Read TOML into dicts and tuples. Raises ConfigError with the one problem that was found first."""
    try:
        return {key: _freeze(value) for key, value in tomllib.loads(text).items()}
    except RecursionError:
        problem = Problem("", None, "not valid TOML: arrays or tables are nested too deep")
    except ValueError as error:
        # tomllib's own error is a ValueError; a number with more digits than int() takes is one with no place.
        problem = _problem(str(error), text)
    raise ConfigError(path, [problem])


def _freeze(value: object) -> object:
    """Make tuples of arrays: the settings hold tuples, and strict types do not turn one into the other."""
    if isinstance(value, dict):
        return {key: _freeze(child) for key, child in value.items()}
    if isinstance(value, list):
        return tuple(_freeze(child) for child in value)
    return value


def _problem(error: str, text: str) -> Problem:
    place = _PLACE.search(error)
    what = _KEY.sub(_show, _PLACE.sub("", error))
    what = what[:1].lower() + what[1:]
    what = f"not valid TOML: {_PLAINER.get(what, what)}"
    if place is None:
        return Problem("", None, what)
    if place["line"] is None:
        return Problem("", text.rstrip().count("\n") + 1, f"{what} at the end of the file")
    return Problem("", int(place["line"]), f"{what} at column {place['column']}")


def _show(match: re.Match[str]) -> str:
    try:
        return f"[{show_key(ast.literal_eval(match[0]))}]"
    except (ValueError, SyntaxError, TypeError):
        return match[0]
