"""The state as text: what ``frontdoor status`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from frontdoor.cli.text import duration, size, table
from frontdoor.control.wording import count, printable

_RIGHT = ("OPEN", "TOTAL", "UP", "DOWN")


def render(state: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return the whole of `state`, which is what ``GET /v1/status`` answers."""
    up = duration(float(state.get("uptime_s", 0)))
    lines = [f"frontdoor {state.get('frontdoor', '?')}, pid {state.get('pid', '?')}, up {up}"]
    vault = state.get("vault", {})
    if vault.get("full"):
        lines.append(f"the vault is full: {count(vault.get('streams', 0), 'stream')} live through a crash, no more")
    for door in state.get("doors", []):
        lines += ["", *_door(door, now or datetime.now(UTC))]
    return "\n".join(lines)


def _door(door: Mapping[str, Any], now: datetime) -> list[str]:
    listen = ", ".join(map(str, door.get("listen", []))) or "no address any more"
    active = door.get("active") or "nothing"
    state = f", {door['state']}" if door.get("state") in ("starting", "stopping", "failed") else ""
    paused = ", paused" if door.get("paused") else ""
    lines = [printable(f"door {door.get('name')} on {listen}: {active} is active{state}{paused}")]
    if trouble := door.get("trouble"):
        lines += [f"  {printable(line)}" for line in str(trouble).splitlines()]
    if swap := door.get("swap"):
        lines.append(f"  {_swap(swap)}")
    if previous := door.get("previous"):
        lines.append(f"  {_previous(str(previous), door.get('generations', []))}")
    streams = door.get("streams", {})
    ended = ", ".join(f"{number} {reason}" for reason, number in streams.get("ended", {}).items() if number)
    summary = f"  streams: {streams.get('accepted', 0)} accepted, {streams.get('open', 0)} open"
    lines.append(summary + (printable(f"; ended: {ended}") if ended else ""))
    rows = [_generation(generation, now) for generation in door.get("generations", [])]
    if rows:
        head = ["GENERATION", "STATE", "SINCE", "OPEN", "TOTAL", "UP", "DOWN", "OLDEST CLIENT", "PROCESSES"]
        lines += ["  " + line for line in table(head, rows, right=_RIGHT)]
    for generation in door.get("generations", []):
        if generation.get("reason"):
            lines.append(f"  {_failure(generation)}")
        if generation.get("drain"):
            lines.append(f"  {_drain(generation)}")
        elif generation.get("state") == "warm":
            lines.append(f"  {_warm(generation)}")
    return lines


def _swap(swap: Mapping[str, Any]) -> str:
    ends = " → ".join(str(swap[end]) for end in ("from", "to") if swap.get(end))
    phase = f", {swap['phase']}" if swap.get("phase") else ""
    since = f" for {duration(float(swap['elapsed_s']))}" if "elapsed_s" in swap else ""
    return printable(f"swap {swap.get('number', '?')} under way: {ends}{phase}{since}")


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
