"""WebSocket echo: round trips on 100 sockets, each with one message on the way at any time."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from benchmark import usage
from benchmark.figure import Case, Figure, Scale
from benchmark.sockets import opened
from benchmark.target import Target

SOCKETS = 100
NONE: Mapping[str, float] = MappingProxyType({})
WARM_UP = 0.1  # of the measured time; it goes before


class Echo:
    """Messages of one size, there and back. `title` is that size for people."""

    own = False

    def __init__(
        self, size: int, name: str, title: str, rate: Mapping[str, float], cpu: Mapping[str, float] = NONE
    ) -> None:
        """The limits are of the rate, and of the proxy's CPU time."""
        self._size = size
        self.name = name
        self._rate = Figure(
            f"{self.name}.rate",
            f"WebSocket echo of {title}, {SOCKETS} sockets",
            "round trips/s",
            more_is_better=True,
            wanted=rate,
        )
        self._cpu = Figure(f"{self.name}.cpu", f"CPU per echo of {title}", "µs", more_is_better=False, wanted=cpu)
        self._p99 = Figure(f"{self.name}.p99", f"p99 of the echo of {title}", "µs", more_is_better=False)
        self.figures: Sequence[Figure] = (self._rate, self._cpu, self._p99)

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Round trips for `scale.seconds`."""
        with opened(target, SOCKETS) as sockets:
            sockets.echo(self._size, scale.seconds * WARM_UP)
            before = usage.cpu_seconds(target.pid) if target.pid else 0
            trips = sockets.echo(self._size, scale.seconds)
            spent = usage.cpu_seconds(target.pid) - before if target.pid else 0
        measured = {self._rate.key: trips.rate, self._p99.key: trips.quantile(0.99)}
        if target.pid:
            measured[self._cpu.key] = spent / len(trips.times) * 1e6
        return measured


RATE = {"haproxy": 1.0, "nginx": 0.95}
CASES: tuple[Case, ...] = (Echo(64, "echo.64", "64 bytes", RATE), Echo(16384, "echo.16k", "16 KiB", RATE))
