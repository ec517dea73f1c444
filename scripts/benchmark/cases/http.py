"""What `--http` measures: requests that a proxy looks at, and what it has upgraded.

The TCP doors of a second frontdoor, "tcp-door", are a target like the peers: an upgraded connection shall cost what a
stream of theirs does.
"""

import dataclasses
from collections.abc import Sequence

from benchmark import usage
from benchmark.cases.bulk import Bulk, down, down_in_chunks, up
from benchmark.cases.echo import SOCKETS, WARM_UP, Echo
from benchmark.cases.idle import Memory
from benchmark.cases.requests import Connect, KeepAlive
from benchmark.figure import Case, Figure, MeasureError, Scale
from benchmark.sockets import opened
from benchmark.target import Target

SIZES = {64: "64 bytes", 16384: "16 KiB"}
LARGEST = 64 << 20  # bytes of a body
SLICES = 4  # turns of each of two that are compared within one measurement


class Polite:
    """What it costs that frontdoor knows where a server's frames end, to send a Close frame between two of them.

    The same echo on an upgraded connection of a door that has `websocket_close`, and of one that has not, in turns.
    """

    name = "http.close1012"
    own = True

    def __init__(self) -> None:
        self._cpu = {
            size: Figure(f"{self.name}.{size}.cpu", f"CPU per echo of {title}, websocket_close = 1012", "µs", False)
            for size, title in SIZES.items()
        }
        self._ratio = {size: Figure(f"{self.name}.{size}.ratio", "… ÷ without it", "times", False) for size in SIZES}
        self.figures: Sequence[Figure] = [each[size] for size in SIZES for each in (self._cpu, self._ratio)]

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Round trips for `scale.seconds` on each door, with each size of message."""
        if not target.pid or not target.polite:
            raise MeasureError("it has no door with websocket_close")
        measured = {}
        with (
            opened(dataclasses.replace(target, raw=target.polite), SOCKETS) as polite,
            opened(target, SOCKETS) as plain,
        ):
            for size in SIZES:
                spent, trips = {polite: 0.0, plain: 0.0}, {polite: 0, plain: 0}
                for sockets in (polite, plain) * SLICES:
                    sockets.echo(size, scale.seconds / SLICES * WARM_UP)
                    before = usage.cpu_seconds(target.pid)
                    trips[sockets] += len(sockets.echo(size, scale.seconds / SLICES).times)
                    spent[sockets] += usage.cpu_seconds(target.pid) - before
                cost = spent[polite] / trips[polite]
                measured[self._cpu[size].key] = cost * 1e6
                measured[self._ratio[size].key] = cost / (spent[plain] / trips[plain])
        return measured


AHEAD = {"envoy": 1.0, "caddy": 1.0}
RATE = {"haproxy": 0.5, **AHEAD}
STREAM = {"tcp-door": 1.1}
"""An upgraded connection is a stream: that is what its CPU time and its memory may differ by."""

CASES: tuple[Case, ...] = (
    *[KeepAlive(connections, RATE, AHEAD, "http") for connections in (1, 50, 500)],
    Connect("http.new", {}),
    *[
        Bulk(f"http.{name}", title, transfer, {}, {}, LARGEST)
        for name, title, transfer in (
            ("down", "down, 64 MiB at a time", down),
            ("chunked", "down in chunks, 64 MiB at a time", down_in_chunks),
            ("up", "up, 64 MiB at a time", up),
        )
    ],
    Echo(64, "http.echo", SIZES[64], {}, STREAM),
    Echo(16384, "http.echo.16k", SIZES[16384], {}, STREAM),
    Polite(),
    Memory("http.idle", "http.idle", STREAM),
)
