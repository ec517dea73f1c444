"""The whole state as ``status --json`` prints it, and the open streams as ``streams --json`` does.

There may be many streams, and while something here runs no client's bytes are moved: all streams are walked in slices.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import trio

import frontdoor
from frontdoor.door.door import Door
from frontdoor.door.trial import dial_ms
from frontdoor.policy.generation import Generation
from frontdoor.processes.external import External
from frontdoor.processes.member import Member
from frontdoor.sockets import show
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream

SHOWN = 50
"""Streams that are shown in one go: with their encoding, about half a millisecond."""

SUMMED = 1000
"""Streams whose bytes are added up in one go: about as long."""


class Carried:
    """What a generation's streams have moved, and those that were open when that was asked, the oldest first."""

    def __init__(self, generation: Generation) -> None:
        self.up = generation.up_bytes
        self.down = generation.down_bytes
        self.streams: list[Stream] = []

    def add(self, stream: Stream) -> None:
        """One that was open then: it counts here also if it has ended since."""
        self.up += stream.up.moved
        self.down += stream.down.moved
        self.streams.append(stream)

    @property
    def oldest(self) -> Stream | None:
        """The oldest that is still open."""
        return next((stream for stream in self.streams if stream.up.live), None)


async def carried(relay: Relay, generations: Iterable[Generation]) -> dict[Generation, Carried]:
    """Add up what each generation's streams have moved.

    What those had moved that have ended is taken at the same instant as the list of those that are open. So a stream
    that ends meanwhile counts once, one that comes in meanwhile does not count yet, and no later answer says less.
    """
    sums = {generation: Carried(generation) for generation in generations}
    for streams in _slices(list(relay.streams), SUMMED):
        for stream in streams:
            if (mine := sums.get(stream.seat.generation)) is not None:
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
) -> dict[str, Any]:
    """The contract's status object.

    ``sums``: what :func:`carried` gave; ``vault``: what the protection says. ``pid`` is that of serve; ``since`` the
    monotonic time of its start.
    """
    return {
        "frontdoor": frontdoor.__version__,
        "pid": pid,
        "door_pid": os.getpid(),
        "uptime_s": round(time.monotonic() - since, 3),
        "vault": vault,
        "doors": [_door(door, sums, stopping=stopping) for door in doors],
    }


def streams(relay: Relay, wanted: Callable[[Stream], bool]) -> Iterator[list[dict[str, Any]]]:
    """The open streams that are wanted, the oldest first, in slices.

    They are those that were open when this was called; one that has ended when its slice is made is left out. Their
    ages are those at the call, so that they are in order; the bytes are what was moved when the slice was made.
    """
    now, there = time.monotonic(), list(relay.streams)
    return ([_stream(each, now) for each in some if each.up.live and wanted(each)] for some in _slices(there, SHOWN))


def _slices(streams: list[Stream], size: int) -> Iterator[list[Stream]]:
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
    return {
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
        "swap": swap.status() if swap is not None and swap.under_way else None,
        "canary": swap.canary.status() if swap is not None and swap.canary is not None else None,
        "streams": {"accepted": door.ledger.accepted, "open": door.ledger.open, "ended": door.ledger.ended},
        "limit": {"connections": door.gate.limits.connections, "reached": door.gate.full},
        "generations": [
            _generation(door, g, sums.get(g) or Carried(g))  # it has come in meanwhile
            for g in sorted(door.fleet.generations.values(), key=lambda g: -g.number)
        ],
    }


def _doing(door: Door, *, stopping: bool) -> str:
    if stopping or door.leaving:
        return "stopping"
    if door.switchboard.active is not None:
        return "serving"
    return "failed" if door.trouble else "starting"


def _generation(door: Door, generation: Generation, carried: Carried) -> dict[str, Any]:
    oldest = carried.oldest
    backend = door.fleet.backends.get(generation.number)
    draining, warm = door.draining.get(generation.number), door.warm.get(generation.number)
    shown: dict[str, Any] = {
        "id": generation.id,
        "version": generation.version,
        "generation": generation.number,
        "state": str(generation.state),
        "since": datetime.fromtimestamp(generation.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
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


def _stream(stream: Stream, now: float) -> dict[str, Any]:
    return {
        "id": stream.number,
        "door": stream.gate.name,
        "generation": stream.seat.generation.id,
        "client": show(stream.client),
        "age_s": round(now - stream.since, 3),
        "idle_s": round(max(0.0, now - stream.stamp), 3),
        "bytes": {"up": stream.up.moved, "down": stream.down.moved},
    }
