"""What pydantic says, in plain English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from frontdoor.config.known import unknown_key
from frontdoor.config.problem import FaultError, Path, show_key, show_value
from frontdoor.config.units import kind_of

_WRITE = {
    "listen": 'write listen = ["127.0.0.1:8080"], for one',
    "active": 'write active = "v1" to serve the version v1',
    "backends": 'write [{path}."*"] with a command below it',
}

_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def faults_of(error: ErrorDetails, table: Path) -> Iterator[tuple[Path, str]]:
    """Give the place and the wording of each mistake that one error of pydantic stands for."""
    path = table + error["loc"]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FaultError):
        for place, message in cause.faults:
            yield path + place, message
    elif isinstance(cause, ValueError):
        yield path, str(cause)
    else:
        yield path, _words(error["type"], path, error["input"], error.get("ctx", {}))


def _words(kind: str, path: Path, value: object, context: Mapping[str, Any]) -> str:
    if kind == "missing":
        return f"is missing; {_WRITE.get(str(path[-1]), 'it has no default').format(path=show_key(path))}"
    if kind == "extra_forbidden":
        return unknown_key(path, value)
    if kind in _WANTED:
        return f"{_item(path)}must be {_WANTED[kind]}, not {kind_of(value)}{_instead(kind, path, value)}"
    if kind == "literal_error":
        # pydantic writes the choices as 'a', 'b' or 'c'; a string in TOML has double quotes as a rule.
        return f"must be {context['expected'].replace(chr(39), chr(34))}, not {show_value(value)}"
    if kind == "greater_than_equal":
        return f"must be {context['ge']} or more, not {show_value(value)}"
    if kind == "less_than_equal":
        return f"must be {context['le']} or less, not {show_value(value)}"
    # A rule that somebody added to the settings and not here: its own words are better than none.
    return f"{show_value(value)}: {kind.replace('_', ' ')}"


def _item(path: Path) -> str:
    return f"item {path[-1] + 1} " if isinstance(path[-1], int) else ""


def _instead(kind: str, path: Path, value: object) -> str:
    if kind == "string_type" and not isinstance(value, dict | list | tuple):
        written = show_value(value)
        return f': write "{written}"' if not isinstance(value, str) else ""
    if kind == "tuple_type" and isinstance(value, str):
        return f": write [{show_value(value)}]"
    if kind == "int_type" and isinstance(value, str) and value.isascii() and value.isdigit():
        return f": write {value}, without quotes"
    if kind == "bool_type" and value in ("true", "false"):
        return f": write {value}, without quotes"
    if _WANTED[kind] == "a table":
        return f": write [{show_key(path)}], and its keys below it"
    return ""
