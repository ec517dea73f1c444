"""Latency around a switch, and how long one takes.

Frontdoor alone: it is one that these cases start, with versions that start fast.
"""

import contextlib
import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from benchmark.control import Order
from benchmark.figure import Case, Figure, MeasureError, Scale
from benchmark.loop import Loop, clock
from benchmark.served import Served, served, tiny
from benchmark.target import Target
from benchmark.visits import Visit, Visits, p99

AROUND = 0.25  # seconds before and after a switch that are around it
STEADY = 0.5  # seconds after these that are between two switches
APART = 1.0  # seconds from one switch to the next swap, at the least
RATE = 500  # requests a second, as many on kept connections as on new ones
PROBES = 1000  # new connections a second, to see who answers them
SETTLE = 0.5  # seconds after the start that do not count
SHAM = 0.05  # seconds that what is no switch takes: about as long as a new start until it is ready
LATE = 20.0  # seconds after which a swap has failed
COMMANDS = 7  # `frontdoor swap` so many times, at the most: each takes a third of a second
SWAP = "/v1/doors/main/swap"


class Moment(NamedTuple):
    """When new connections began to go elsewhere, and how many seconds after it was asked for."""

    at: float
    took: float


class Around:
    """The p99 of requests in the half second around a switch, against that between switches.

    An open loop: a request begins when it is due, whatever became of those before it, and its latency counts from
    there. Every other one is on a new connection. The p99 is that of each half second, and the figure is the median of
    these: one hiccup of the machine does not make it. Two things that are no switch are looked at in the same way, and
    say how much of it is the machine's: nothing at all, and the start of a process like a new version's beside it all.

    What a switch takes inside frontdoor is from asking the control API to the word that it has switched.
    """

    name = "switch"
    own = True
    figures: Sequence[Figure] = (
        Figure("switch.steady.p99", "p99 between switches", "µs", more_is_better=False),
        Figure("switch.nothing.p99", "p99 around no switch ÷ steady", "times", more_is_better=False),
        Figure("switch.start.p99", "p99 around the start of a process beside ÷ steady", "times", more_is_better=False),
        Figure("switch.cold.p99", "p99 around a switch to a new start ÷ steady", "times", False, ceiling=1.3),
        Figure("switch.warm.p99", "p99 around a switch to a warm version ÷ steady", "times", False, ceiling=1.3),
        Figure("switch.cold.inside", "switch to a new start, inside frontdoor", "ms", more_is_better=False),
        Figure("switch.warm.inside", "switch to a warm version, inside frontdoor", "ms", False, ceiling=10.0),
    )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Switch again and again under requests."""
        with served() as door, contextlib.closing(Loop()) as loop:
            visits = Visits(loop, door.port, RATE)
            loop.run(SETTLE)
            moments = _switches(loop, door, max(1, round(scale.seconds)))
            visits.stop()
        return _latencies(visits.done, moments) | {
            f"switch.{what}.inside": statistics.median(moment.took for moment in moments[what]) * 1e3
            for what in ("cold", "warm")
        }


def _latencies(visits: list[Visit], moments: dict[str, list[Moment]]) -> dict[str, float]:
    """The p99 in the time after a switch's, and that in its own in relation to it. Medians over the switches."""

    def within(begin: float, end: float) -> float:
        return p99([visit.latency for visit in visits if begin <= visit.due < end])

    steady = statistics.median(
        within(moment.at + AROUND, moment.at + AROUND + STEADY) for some in moments.values() for moment in some
    )
    return {"switch.steady.p99": steady * 1e6} | {
        f"switch.{what}.p99": statistics.median(within(moment.at - AROUND, moment.at + AROUND) for moment in some)
        / steady
        for what, some in moments.items()
    }


def _switches(loop: Loop, door: Served, rounds: int) -> dict[str, list[Moment]]:
    """Do each thing in turn, `rounds` times. Version 1 is active."""
    moments: dict[str, list[Moment]] = {what: [] for what in _THINGS}
    for number in range(1, rounds + 1):
        for what, do in _THINGS.items():
            loop.run(APART)
            moments[what].append(do(loop, door, number))
    loop.run(APART)
    return moments


def _nothing(loop: Loop, door: Served, number: int) -> Moment:
    return Moment(clock(), 0.0)


def _start(loop: Loop, door: Served, number: int) -> Moment:
    """Start a process like a new version's, of which frontdoor knows nothing."""
    begun = clock()
    command = tiny(f"{door.folder}/beside{number}")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    loop.run(SHAM)
    process.kill()
    process.wait()
    return Moment(begun + SHAM, SHAM)


def _cold(loop: Loop, door: Served, number: int) -> Moment:
    """On to a version that is started for it."""
    return swap(loop, door, f"v{number + 1}", reuse=False)


def _warm(loop: Loop, door: Served, number: int) -> Moment:
    """Back to the version before: it still runs."""
    return swap(loop, door, f"v{number}", reuse=True)


_THINGS: dict[str, Callable[[Loop, Served, int], Moment]] = {
    "nothing": _nothing,
    "start": _start,
    "cold": _cold,
    "warm": _warm,
}


def swap(loop: Loop, door: Served, version: str, *, reuse: bool) -> Moment:
    """Swap, and wait for the outcome. Raises MeasureError if it is none."""
    order = Order(loop, door.control, SWAP, {"version": version, "reuse": reuse})
    if not loop.run(LATE, lambda: order.ended):
        raise MeasureError(f"a swap had no outcome within {LATE:g} s")
    switched = order.seen["swap.switched"]
    return Moment(switched, switched - order.asked)


class Command:
    """`frontdoor swap --reuse` to a warm version, from the start of that process.

    Nothing else goes on but a new connection each millisecond, to see who answers it. What lies between is mostly the
    command's own start; frontdoor's part of it is by the times of its events, which are whole milliseconds.
    """

    name = "swap-command"
    own = True
    figures: Sequence[Figure] = (
        Figure("swap.command", "frontdoor swap to a warm version, until it answers", "ms", more_is_better=False),
        Figure("swap.command.inside", "of that, from swap.started to swap.switched", "ms", False, ceiling=10.0),
    )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Swap between two versions that run. Medians."""
        took: list[float] = []
        inside: list[float] = []
        with served() as door, contextlib.closing(Loop()) as loop:
            swap(loop, door, "v2", reuse=False)
            for number in range(min(COMMANDS, max(2, round(3 * scale.seconds)))):
                until, between = _command(loop, door, f"v{number % 2 + 1}")
                took.append(until)
                inside.append(between)
        return {
            "swap.command": statistics.median(took) * 1e3,
            "swap.command.inside": statistics.median(inside) * 1e3,
        }


def _command(loop: Loop, door: Served, version: str) -> tuple[float, float]:
    """Seconds until a new connection was answered by that version, and those between two of the swap's events."""
    visits = Visits(loop, door.port, PROBES, kept=False)
    loop.run(AROUND)
    begun = clock()
    command = door.command("swap", version, "--reuse", "--json")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=door.env) as process:
        answered = loop.run(LATE, lambda: bool(visits.done) and visits.done[-1].who.startswith(f"{version}#"))
        said, _ = process.communicate()
    visits.stop()
    if not answered or process.returncode:
        raise MeasureError(f"frontdoor swap {version} ended with exit code {process.returncode}: {said.decode()}")
    first = next(visit for visit in visits.done if visit.who.startswith(f"{version}#"))
    times = {line["event"]: datetime.fromisoformat(line["time"]) for line in map(json.loads, said.splitlines())}
    return first.answered - begun, (times["swap.switched"] - times["swap.started"]).total_seconds()


CASES: tuple[Case, ...] = (Around(), Command())
