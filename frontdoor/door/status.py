"""The whole state as ``status --json`` prints it, and the open streams as ``streams --json`` does.

There may be many streams, and while something here runs no client's bytes are moved: all streams are walked in slices.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import trio

import frontdoor
from frontdoor.door.broken_answers import first_line
from frontdoor.door.door import Door
from frontdoor.door.streams import lives, moved
from frontdoor.door.trial import dial_ms
from frontdoor.exchanges.exchange import Exchange
from frontdoor.policy.generation import Generation
from frontdoor.processes.external import External
from frontdoor.processes.member import Member
from frontdoor.sockets import show
from frontdoor.traffic.gate import Maintenance
from frontdoor.traffic.stream import Stream

SHOWN = 50
"""Streams that are shown in one go: with their encoding, about half a millisecond."""

SUMMED = 1000
"""Streams whose bytes are added up in one go: about as long."""

NOTHING_LOST: Mapping[str, int] = {"dropped": 0, "requests_dropped": 0}
"""Of the log, and of the doors' access logs."""


class Carried:
    """What a generation's streams have moved, and those that were open when that was asked, the oldest first."""

    def __init__(self, generation: Generation) -> None:
        self.up = generation.up_bytes
        self.down = generation.down_bytes
        self.streams: list[Stream | Exchange] = []

    def add(self, stream: Stream | Exchange) -> None:
        """One that was open then: it counts here also if it has ended since."""
        up, down = moved(stream)
        self.up += up
        self.down += down
        self.streams.append(stream)

    @property
    def oldest(self) -> Stream | Exchange | None:
        """The oldest that is still open."""
        return next((stream for stream in self.streams if lives(stream)), None)


@dataclass(frozen=True, slots=True)
class Look:
    """How all stands at one moment."""

    status: dict[str, Any]
    """The contract's status object."""
    sums: Mapping[Generation, Carried]
    """What it was made from: the streams of each generation."""


async def carried(there: Iterable[Stream | Exchange], generations: Iterable[Generation]) -> dict[Generation, Carried]:
    """Add up what each generation's streams have moved.

    ``there``: all that are open, the oldest first.

    What those had moved that have ended is taken at the same instant as the list of those that are open. So a stream
    that ends meanwhile counts once, one that comes in meanwhile does not count yet, and no later answer says less.
    """
    sums = {generation: Carried(generation) for generation in generations}
    for streams in _slices(list(there), SUMMED):
        for stream in streams:
            if stream.seat is not None and (mine := sums.get(stream.seat.generation)) is not None:
                mine.add(stream)
        if len(streams) == SUMMED:  # else it was the last: nobody need come in between then
            await trio.lowlevel.checkpoint()
    return sums


def status(
    doors: Iterable[Door],
    sums: Mapping[Generation, Carried],
    vault: Mapping[str, object],
    pid: int,
    since: float,
    *,
    stopping: bool,
    earlier: Sequence[Mapping[str, object]] = (),
    log: Mapping[str, int] = NOTHING_LOST,
    admin: str | None = None,
) -> dict[str, Any]:
    """The contract's status object.

    ``sums``: what :func:`carried` gave; ``vault``: what the protection says. ``pid`` is that of serve; ``since`` the
    monotonic time of its start. ``earlier``: door processes that finish requests which they had begun. ``log``:
    how many of its lines were lost. ``admin``: where the control API is offered over TCP, if it is.
    """
    return {
        "frontdoor": frontdoor.__version__,
        "pid": pid,
        "door_pid": os.getpid(),
        "uptime_s": round(time.monotonic() - since, 3),
        "vault": vault,
        "earlier": list(earlier),
        "log": log,
        "admin": admin,
        "doors": [_door(door, sums, stopping=stopping) for door in doors],
    }


def streams(
    there: Iterable[Stream | Exchange], wanted: Callable[[Stream | Exchange], bool]
) -> Iterator[list[dict[str, Any]]]:
    """Those that are wanted of all open streams, the oldest first, in slices.

    They are those that were open when this was called; one that has ended when its slice is made is left out. Their
    ages are those at the call, so that they are in order; the bytes are what was moved when the slice was made.
    """
    now, known = time.monotonic(), list(there)
    return ([shown(each, now) for each in some if lives(each) and wanted(each)] for some in _slices(known, SHOWN))


def _slices(streams: list[Stream | Exchange], size: int) -> Iterator[list[Stream | Exchange]]:
    return (streams[start : start + size] for start in range(0, len(streams), size))


def address(door: Door) -> list[str]:
    """Where the door listens, with the ports that the kernel picked."""
    shown = []
    for sock in door.gate.listeners:
        name = sock.getsockname()
        shown.append(f"unix:{name}" if isinstance(name, str) else show(name))
    return shown


def _door(door: Door, sums: Mapping[Generation, Carried], *, stopping: bool) -> dict[str, Any]:
    active, previous = door.switchboard.active, door.history.previous
    swap = door.swap
    shown: dict[str, Any] = {
        "name": door.name,
        "listen": address(door),
        "protocol": door.settings.protocol,
        "active": active.id if active else None,
        "previous": previous.id if previous else None,
        "versions": door.settings.versions(),
        "state": _doing(door, stopping=stopping),
        "trouble": door.trouble or None,
        "paused": door.pausing.paused,
        "paused_for_s": None if door.pausing.left is None else round(door.pausing.left, 1),
        "maintenance": _maintenance(door.maintaining.now),
        "swap": swap.status() if swap is not None and swap.under_way else None,
        "canary": swap.canary.status() if swap is not None and swap.canary is not None else None,
        "streams": {"accepted": door.ledger.accepted, "open": door.ledger.open, "ended": door.ledger.ended},
        "limit": {"connections": door.gate.limits.connections, "reached": door.gate.full},
        "generations": [
            _generation(door, g, sums.get(g) or Carried(g))  # it has come in meanwhile
            for g in sorted(door.fleet.generations.values(), key=lambda g: -g.number)
        ],
    }
    if door.settings.protocol == "http":
        shown["connections"] = {"open": door.ledger.open + door.gate.idle, "idle": door.gate.idle}
    return shown


def _doing(door: Door, *, stopping: bool) -> str:
    if stopping or door.leaving:
        return "stopping"
    if door.switchboard.active is not None:
        return "serving"
    return "failed" if door.trouble else "starting"


def _maintenance(now: Maintenance | None) -> dict[str, Any] | None:
    if now is None:
        return None
    return {"message": now.message, "since": _moment(now.since), "retry_after": now.retry_after}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _generation(door: Door, generation: Generation, carried: Carried) -> dict[str, Any]:
    oldest = carried.oldest
    backend = door.fleet.backends.get(generation.number)
    draining, warm = door.draining.get(generation.number), door.warm.get(generation.number)
    shown: dict[str, Any] = {
        "id": generation.id,
        "version": generation.version,
        "generation": generation.number,
        "state": str(generation.state),
        "since": _moment(generation.since),
        "streams": {"open": generation.open, "total": generation.total},
        "bytes": {"up": carried.up, "down": carried.down},
        "failures": {
            "dials": generation.conduct.failed_dials,
            "early_closes": generation.conduct.early_closes,
            "crashes": generation.conduct.crashes,
        },
        "dial_ms": dial_ms(generation.conduct),
        "oldest": {"client": show(oldest.client), "age_s": round(time.monotonic() - oldest.since, 3)}
        if oldest
        else None,
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


def shown(stream: Stream | Exchange, now: float) -> dict[str, Any]:
    """One stream. A request has the id that the backend, too, knows it by. ``now``: of the monotonic clock."""
    up, down = moved(stream)
    entry: dict[str, Any] = {
        "id": stream.request_id.decode("latin-1") if isinstance(stream, Exchange) else stream.number,
        "door": stream.gate.name,
        "generation": stream.seat.generation.id if stream.seat is not None else None,
        "client": show(stream.client),
        "age_s": round(max(0.0, now - stream.since), 3),
        "idle_s": round(max(0.0, now - stream.stamp), 3),
        "bytes": {"up": up, "down": down},
    }
    return entry | {"request": first_line(stream)} if isinstance(stream, Exchange) else entry
