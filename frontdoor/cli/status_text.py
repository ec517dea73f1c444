"""The state as text: what ``frontdoor status`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from frontdoor.cli.text import duration, size, table
from frontdoor.control.wording import count, printable

_RIGHT = ("OPEN", "TOTAL", "UP", "DOWN")
_SIDE = ["CANARY", "SHARE", "STREAMS", "FAILED DIALS", "EARLY CLOSES", "CRASHES", "MEAN DIAL", "SLOWEST DIAL"]

SLOW_MS = 250
"""Milliseconds from which on a dial is worth a word: ``policy.conduct.SLOW``, which makes a drain wait."""


def render(state: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return the whole of `state`, which is what ``GET /v1/status`` answers."""
    up = duration(float(state.get("uptime_s", 0)))
    lines = [f"frontdoor {state.get('frontdoor', '?')}, pid {state.get('pid', '?')}, up {up}"]
    if admin := state.get("admin"):
        lines.append(f"dashboard: http://{admin}/")
    vault = state.get("vault", {})
    if vault.get("full"):
        lines.append(f"the vault is full: {count(vault.get('streams', 0), 'stream')} live through a crash, no more")
    lines += [
        f"the door process before (pid {each['pid']}) finishes {count(each['requests'], 'request')}"
        for each in state.get("earlier", [])
    ]
    if lost := sum(map(int, state.get("log", {}).values())):
        lines.append(f"the log has lost {count(lost, 'line')}: what it is written to is too slow, full or broken")
    for door in state.get("doors", []):
        lines += ["", *_door(door, now or datetime.now(UTC))]
    return "\n".join(lines)


def _door(door: Mapping[str, Any], now: datetime) -> list[str]:
    listen = ", ".join(map(str, door.get("listen", []))) or "no address any more"
    active = door.get("active") or "nothing"
    state = f", {door['state']}" if door.get("state") in ("starting", "stopping", "failed") else ""
    lines = [printable(f"door {door.get('name')} on {listen}: {active} is active{state}{_paused(door)}")]
    lines += [f"  {line}" for line in special(door, now)]
    if canary := door.get("canary"):
        what = "requests" if door.get("protocol") == "http" else "connections"
        lines += [f"  {line}" for line in canary_lines(canary, what)]
    if previous := door.get("previous"):
        lines.append(f"  {_previous(str(previous), door.get('generations', []))}")
    streams = door.get("streams", {})
    ended = ", ".join(f"{number} {reason}" for reason, number in streams.get("ended", {}).items() if number)
    summary = f"  streams: {streams.get('accepted', 0)} accepted, {streams.get('open', 0)} open"
    if (connections := door.get("connections")) is not None:  # an http door: each request is a stream
        summary += f"; {count(int(connections['open']), 'connection')} open, {connections['idle']} of them idle"
    lines.append(summary + (printable(f"; ended: {ended}") if ended else ""))
    rows = [_generation(generation, now) for generation in door.get("generations", [])]
    if rows:
        head = ["GENERATION", "STATE", "SINCE", "OPEN", "TOTAL", "UP", "DOWN", "OLDEST CLIENT", "PROCESSES"]
        lines += ["  " + line for line in table(head, rows, right=_RIGHT)]
    for generation in door.get("generations", []):
        lines += [f"  {line}" for line in remarks(generation)]
    return lines


def remarks(generation: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of a generation besides its row: why it failed, how it does, how far its drain is."""
    lines = [_failure(generation)] if generation.get("reason") else []
    if conduct := _conduct(generation):
        lines.append(conduct)
    if generation.get("drain"):
        lines.append(_drain(generation))
    elif generation.get("state") == "warm":
        lines.append(_warm(generation))
    return lines


def special(door: Mapping[str, Any], now: datetime) -> list[str]:
    """Return what is not so every day: maintenance, trouble, a swap."""
    lines = [_maintenance(door["maintenance"], now)] if door.get("maintenance") else []
    lines += [printable(line) for line in str(door.get("trouble") or "").splitlines()]
    return [*lines, _swap(door["swap"])] if door.get("swap") else lines


def _swap(swap: Mapping[str, Any]) -> str:
    ends = " → ".join(str(swap[end]) for end in ("from", "to") if swap.get(end))
    phase = f", {swap['phase']}" if swap.get("phase") else ""
    since = f" for {duration(float(swap['elapsed_s']))}" if "elapsed_s" in swap else ""
    left = swap.get("bake_left_s")
    probation = f", {duration(float(left))} of its probation left" if left is not None else ""
    return printable(f"swap {swap.get('number', '?')} under way: {ends}{phase}{since}{probation}")


def _paused(door: Mapping[str, Any]) -> str:
    if not door.get("paused"):
        return ""
    left = door.get("paused_for_s")
    return ", paused" + (f" for another {duration(float(left))}" if left is not None else "")


def _maintenance(maintenance: Mapping[str, Any], now: datetime) -> str:
    since = _since(maintenance.get("since"), now)
    return printable(f"in maintenance for {since}, requests are answered 503: {maintenance.get('message')}")


def canary_lines(canary: Mapping[str, Any], what: str) -> list[str]:
    """Return its share of new `what`, and both sides of it next to each other: what there was since it began."""
    share = _percent(canary.get("share"))
    shares = {str(canary.get("generation")): share, str(canary.get("base")): 100 - share}
    unit = canary.get("sticky") or canary.get("by")
    by = f" by {unit}" if unit in ("address", "cookie", "header") else ""
    line = printable(f"canary: {canary.get('generation')} gets {share:g}% of new {what}{by}{_next(canary, share)}")
    rows = [_side(side, shares) for side in canary.get("sides", [])]
    return [line, *(f"  {row}" for row in table(_SIDE, rows, right=_SIDE[1:]))] if rows else [line]


def _next(canary: Mapping[str, Any], share: float) -> str:
    left, more = canary.get("next_step_s"), [step for step in canary.get("steps", []) if _percent(step) > share]
    if left is None or not more:
        return ", until frontdoor canary, promote or rollback"
    after = f", then {', '.join(map(str, more[1:]))}" if len(more) > 1 else ""
    return f"; {more[0]} in {duration(float(left))}{after}"


def _side(side: Mapping[str, Any], shares: Mapping[str, float]) -> list[str]:
    generation, dial = str(side.get("generation")), side.get("dial_ms") or {}
    counts = [str(side.get(key, 0)) for key in ("streams", "failed_dials", "early_closes", "crashes")]
    times = [_milliseconds(dial.get(key)) for key in ("mean", "slowest")]
    return [generation, f"{shares.get(generation, 0):g}%", *counts, *times]


def _conduct(generation: Mapping[str, Any]) -> str:
    """How it has failed its streams; empty: it has not, and was never slow to take one."""
    seen, dial = generation.get("failures") or {}, generation.get("dial_ms") or {}
    dials, early, crashes = (int(seen.get(key, 0)) for key in ("dials", "early_closes", "crashes"))
    words = [f"{count(dials, 'dial')} failed"] if dials else []
    words += [f"{count(early, 'stream')} closed early"] if early else []
    words += [f"{crashes} crash{'es' if crashes > 1 else ''}"] if crashes else []
    slowest = dial.get("slowest")
    if slowest is not None and float(slowest) >= SLOW_MS:
        words.append(f"its slowest dial took {_milliseconds(slowest)}, the mean is {_milliseconds(dial.get('mean'))}")
    return printable(f"{generation.get('id')}: {', '.join(words)}") if words else ""


def _percent(share: object) -> float:
    try:
        return float(str(share).removesuffix("%"))
    except ValueError:
        return 0.0


def _milliseconds(value: object) -> str:
    """``0.05 ms``, ``12 ms``, ``3.1 s``; ``-`` where there was no dial yet."""
    if not isinstance(value, int | float):
        return "-"
    return duration(value / 1000) if value >= 1000 else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def _failure(generation: Mapping[str, Any]) -> str:
    return printable(f"{generation.get('id')} failed: {generation['reason']}")


def _previous(previous: str, generations: Sequence[Mapping[str, Any]]) -> str:
    runs = any(one.get("id") == previous and one.get("state") in ("draining", "warm") for one in generations)
    how = "still runs: a rollback is instant" if runs else "a rollback starts it again"
    return printable(f"previous: {previous} ({how})")


def _warm(generation: Mapping[str, Any]) -> str:
    left = generation.get("warm_for_s")
    until = "until there is need of its room" if left is None else f"and stops in {duration(float(left))}"
    return printable(f"{generation.get('id')} is warm, {until}")


def _drain(generation: Mapping[str, Any]) -> str:
    drain = generation["drain"]
    streams = generation.get("streams", {}).get("open", 0)
    words = [f"{generation.get('id')} drains: {count(int(streams), 'stream')} left"]
    if drain.get("closed"):
        words.append(f"{drain['closed']} closed")
    if waits := drain.get("waits"):
        words.append(f"closing waits: {waits}")
        return printable(", ".join(words))
    if (begins := drain.get("closes_from_s")) is not None:
        words.append(f"closing begins in {duration(begins)}" if begins else "closing them now")
    if (deadline := drain.get("deadline_s")) is not None:
        words.append(f"all are closed in {duration(deadline)}")
    return printable(", ".join(words))


def _generation(generation: Mapping[str, Any], now: datetime) -> list[str]:
    streams, moved = generation.get("streams", {}), generation.get("bytes", {})
    return [
        str(generation.get("id")),
        str(generation.get("state")),
        _since(generation.get("since"), now),
        str(streams.get("open", 0)),
        str(streams.get("total", 0)),
        size(int(moved.get("up", 0))),
        size(int(moved.get("down", 0))),
        _oldest(generation),
        ", ".join(_process(process) for process in generation.get("processes", [])) or "-",
    ]


def _since(since: Any, now: datetime) -> str:
    try:
        then = datetime.fromisoformat(str(since))
        return duration((now - then).total_seconds())
    except (ValueError, TypeError):
        return "-"


def _oldest(generation: Mapping[str, Any]) -> str:
    oldest = generation.get("oldest")
    if oldest is None:
        return "-"
    age = duration(float(oldest["age_s"]))
    return f"{oldest['client']} ({age})" if oldest.get("client") else age


def _process(process: Mapping[str, Any]) -> str:
    restarts = int(process.get("restarts", 0))
    text = f"{process.get('pid') or _nobody(process)} {process.get('state')}"
    return text + (f" ({count(restarts, 'restart')})" if restarts else "")


def _nobody(process: Mapping[str, Any]) -> str:
    """In place of a pid: somebody else runs it, or it is not there just now."""
    return "external" if process.get("external") else "-"
