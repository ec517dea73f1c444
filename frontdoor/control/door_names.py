"""Which door a call is about."""

from __future__ import annotations

from collections.abc import Mapping

from .operator import NOT_FOUND, USAGE, Operator, Refused


def door_named(operator: Operator, name: str) -> str:
    """Return the door that `name` means: ``-`` is the only one. Raises Refused, with all their names."""
    doors = list(operator.doors)
    if name in doors:
        return name
    # One that only finishes what it has is meant by its name alone.
    doors = [door for door in doors if door not in operator.closing] or doors
    named = {"doors": doors}
    if name != "-":
        raise Refused(USAGE, f"there is no door {name!r}; there is {', '.join(doors)}", status=NOT_FOUND, extra=named)
    if len(doors) != 1:
        raise Refused(USAGE, f"there are several doors: say which with --door: {', '.join(doors)}", extra=named)
    return doors[0]


def asked_door(operator: Operator, asked: Mapping[str, str]) -> str | None:
    """Return the door that a query is about, or None for all. Raises Refused."""
    return door_named(operator, asked["door"]) if "door" in asked else None
