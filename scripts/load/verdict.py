"""The verdict on a soak: what frontdoor holds, has counted and has said that it should not."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from load.gauge import MB, Gauge, leaks
from load.record import FAILURES_KEPT

HUNDRED_THOUSAND = 100_000
BAD_WORDS = "a bad release"  # what the version that cannot start prints
MISTAKES = {"swap.broken", "backend.broken", "control.failed", "note.failed", "restore.failed", "log.dropped"}
"""Events that say that frontdoor itself is wrong."""
ENDS = {"client_closed", "backend_closed", "client_reset"}
"""How streams end in a soak: any other reason is a failure, though its client may not have noticed."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What frontdoor held at rest."""

    keeper: Gauge
    door: Gauge
    files: int
    """In the runtime folder, and below."""


def grown(before: Reading, after: Reading) -> list[str]:
    """What there is more of, memory apart."""
    found = leaks("keeper", before.keeper, after.keeper) + leaks("door process", before.door, after.door)
    if after.files > before.files:
        found.append(f"files in the runtime folder: {before.files} before, {after.files} after")
    return found


def fattened(before: Reading, after: Reading, connections: int, allowed: float) -> list[str]:
    """Which process has grown by more than `allowed` MB per 100,000 connections, or for all where there are fewer."""
    limit = allowed * MB * max(1, connections / HUNDRED_THOUSAND)
    gained = {
        "keeper": after.keeper.resident - before.keeper.resident,
        "door process": after.door.resident - before.door.resident,
    }
    return [
        f"{name}: {gain / MB:.2f} MB of memory more, {limit / MB:.2f} MB are allowed"
        for name, gain in gained.items()
        if gain > limit
    ]


def unaccounted(before: Mapping[str, Any], after: Mapping[str, Any], connections: int) -> list[str]:
    """What the ledger does not say as it should: as many streams as connections, each with a reason of ours."""
    was, now = before["streams"], after["streams"]
    found = []
    if now["accepted"] - was["accepted"] != connections:
        found.append(f"the ledger: {now['accepted'] - was['accepted']} accepted, and there were {connections} clients")
    if now["accepted"] != now["open"] + sum(now["ended"].values()):
        found.append(f"the ledger does not add up: {now}")
    found += [f"the ledger: {count} ended by {why}" for why, count in now["ended"].items() if why not in ENDS and count]
    if before["door_pid"] != after["door_pid"]:
        found.append("the door process has died, and was started again")
    return found


def complaints(log: str) -> list[str]:
    """What frontdoor, or a backend, has printed that nobody wants to read."""
    found = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            event = entry["event"]
        except (ValueError, TypeError, KeyError):
            event = entry = None
        if event is None or event in MISTAKES or (event == "output" and entry["line"] != BAD_WORDS):
            found.append(f"in the log: {line}")
    return found[:FAILURES_KEPT]
