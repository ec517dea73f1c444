"""The whole state as ``status --json`` prints it, and the open streams as ``streams --json`` does."""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import frontdoor
from frontdoor.door.door import Door
from frontdoor.policy.generation import Generation
from frontdoor.processes.external import External
from frontdoor.processes.member import Member
from frontdoor.sockets import show
from frontdoor.traffic.stream import Stream


def status(doors: Iterable[Door], pid: int, since: float, *, stopping: bool) -> dict[str, Any]:
    """The contract's status object. ``pid`` is that of serve; ``since`` the monotonic time of its start."""
    return {
        "frontdoor": frontdoor.__version__,
        "pid": pid,
        "door_pid": os.getpid(),
        "uptime_s": round(time.monotonic() - since, 3),
        "doors": [_door(door, stopping=stopping) for door in doors],
    }


def streams(door: Door, generation: Generation | None = None) -> list[dict[str, Any]]:
    """The open streams of a door, the oldest first."""
    now = time.monotonic()
    chosen = door.world.relay.streams if generation is None else door.world.relay.of(generation)
    return [_stream(stream, now) for stream in chosen if stream.gate is door.gate]


def address(door: Door) -> list[str]:
    """Where the door listens, with the ports that the kernel picked."""
    shown = []
    for sock in door.gate.listeners:
        name = sock.getsockname()
        shown.append(f"unix:{name}" if isinstance(name, str) else show(name))
    return shown


def _door(door: Door, *, stopping: bool) -> dict[str, Any]:
    active, previous = door.switchboard.active, door.history.previous
    swap = door.swap
    return {
        "name": door.name,
        "listen": address(door),
        "protocol": door.settings.protocol,
        "active": active.id if active else None,
        "previous": previous.id if previous else None,
        "versions": door.settings.versions(),
        "state": _doing(door, stopping=stopping),
        "trouble": door.trouble or None,
        "paused": door.paused,
        "swap": swap.status() if swap is not None and swap.under_way else None,
        "streams": {"accepted": door.ledger.accepted, "open": door.ledger.open, "ended": door.ledger.ended},
        "limit": {"connections": door.gate.limits.connections, "reached": door.gate.full},
        "generations": [_generation(door, g) for g in sorted(door.fleet.generations.values(), key=lambda g: -g.number)],
    }


def _doing(door: Door, *, stopping: bool) -> str:
    if stopping or door.leaving:
        return "stopping"
    if door.switchboard.active is not None:
        return "serving"
    return "failed" if door.trouble else "starting"


def _generation(door: Door, generation: Generation) -> dict[str, Any]:
    live = door.world.relay.of(generation)
    now = time.monotonic()
    backend = door.fleet.backends.get(generation.number)
    draining, warm = door.draining.get(generation.number), door.warm.get(generation.number)
    shown: dict[str, Any] = {
        "id": generation.id,
        "version": generation.version,
        "generation": generation.number,
        "state": str(generation.state),
        "since": datetime.fromtimestamp(generation.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "streams": {"open": generation.open, "total": generation.total},
        "bytes": {
            "up": generation.up_bytes + sum(stream.up.moved for stream in live),
            "down": generation.down_bytes + sum(stream.down.moved for stream in live),
        },
        "oldest": {"client": show(live[0].client), "age_s": round(now - live[0].since, 3)} if live else None,
        "processes": [_process(door, process) for process in backend.processes] if backend else [],
    }
    if generation.problem:
        shown["reason"] = generation.problem
    if draining is not None:
        shown["drain"] = draining.status()
    if warm is not None:
        shown["warm_for_s"] = None if warm.left is None else round(warm.left, 1)
    return shown


def _process(door: Door, process: Member) -> dict[str, Any]:
    settings = door.world.settings.frontdoor
    path = process.seat.address
    if path.startswith(settings.runtime_dir):
        path = settings.runtime_dir_shown + path.removeprefix(settings.runtime_dir)
    shown: dict[str, Any] = {"external": True} if isinstance(process, External) else {}
    return shown | {
        "pid": process.pid or None,
        "state": str(process.life),
        "restarts": process.restarts,
        "socket": path,
    }


def _stream(stream: Stream, now: float) -> dict[str, Any]:
    return {
        "id": stream.number,
        "door": stream.gate.name,
        "generation": stream.seat.generation.id,
        "client": show(stream.client),
        "age_s": round(now - stream.since, 3),
        "idle_s": round(now - stream.stamp, 3),
        "bytes": {"up": stream.up.moved, "down": stream.down.moved},
    }
