"""What exactly a change will do, said before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frontdoor.cli.text import duration

Door = Mapping[str, Any]


def swap_says(door: Door, version: str) -> str:
    """Return what a swap to `version` will do."""
    _, numbered, _ = version.partition("#")
    release = version.partition("#")[0] if numbered else version
    stay = _stay(door)
    under_way = door.get("swap")
    busy = f" A swap to {under_way.get('to')} is under way: this one will be refused." if under_way else ""
    return (
        f"Swap {door.get('name')} to {release}: a new generation of {release} is started; when it is ready, "
        f"{_comers(door)} go to it{stay}.{busy}"
    )


def rollback_says(door: Door) -> str | None:
    """Return what a rollback will do; None: there is nothing to go back to."""
    active, previous, swap = door.get("active"), door.get("previous"), door.get("swap")
    if swap and swap.get("bake_left_s") is None:
        return (
            f"End swap {swap.get('number')} of {door.get('name')}: {swap.get('to')} is stopped, "
            f"{swap.get('from') or active or 'nothing'} gets all {_comers(door)}."
        )
    if swap:
        return (
            f"End the probation of {swap.get('to')}: {_comers(door)} go back to {swap.get('from')} at once"
            f"{_stay(door)}."
        )
    if not previous:
        return None
    here = f"Roll {door.get('name')} back"
    if _runs(door, str(previous)):
        return f"{here} to {previous}: it still runs, so {_comers(door)} go to it at once{_stay(door)}."
    release = str(previous).partition("#")[0]
    return (
        f"{here} to {release}: {previous} has stopped, so a new generation is started; when it is ready, "
        f"{_comers(door)} go to it{_stay(door)}."
    )


def pause_says(door: Door) -> str:
    """Return what a pause will do, or its end."""
    name = door.get("name")
    if door.get("paused"):
        return f"Resume {name}: clients are let in again; those who have waited come first."
    waits = "requests on open connections wait, for a while" if door.get("protocol") == "http" else "open streams go on"
    return f"Pause {name}: nobody is let in; new clients wait and are not refused, {waits}."


def drain_says(door: Door, generation: str, over: float) -> str:
    """Return what closing that generation's streams will do; `over` so many seconds, 0 is now."""
    there = int(_generation(door, generation).get("streams", {}).get("open", 0))
    which = f"{_streams(there)} of {generation}"
    if over:
        return f"Close {which} evenly over {duration(over)}: these clients lose their connection."
    return f"Close {which} now: these clients lose their connection."


def drainable(door: Door) -> list[str]:
    """Return the generations that drain, the newest first."""
    return [str(each.get("id")) for each in door.get("generations", []) if each.get("state") == "draining"]


def _comers(door: Door) -> str:
    return "new requests" if door.get("protocol") == "http" else "new connections"


def _stay(door: Door) -> str:
    """What becomes of the streams of the active generation."""
    active = door.get("active")
    there = int(_generation(door, str(active)).get("streams", {}).get("open", 0)) if active else 0
    return f"; {_streams(there)} of {active} finish{'es' if there == 1 else ''} there" if there else ""


def _streams(there: int) -> str:
    return "the open stream" if there == 1 else f"the {there} open streams"


def _runs(door: Door, id_: str) -> bool:
    return _generation(door, id_).get("state") in ("draining", "warm")


def _generation(door: Door, id_: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((each for each in door.get("generations", []) if each.get("id") == id_), {})
    return found
