"""How cost grows: the proxy's CPU time per request while ever more streams are open, of which ten are busy.

A request is an echo of 64 bytes. The streams are opened in steps, in one proxy process and in one go: what differs from
step to step is their number alone.
"""

from collections.abc import Sequence

from benchmark import usage
from benchmark.figure import FULL, QUICK, SMOKE, Case, Figure, Scale
from benchmark.sockets import opened
from benchmark.target import Target

BUSY = 10
SIZE = 64  # bytes of a request, and of its answer
FEW, MANY = 100, 8000  # the open streams whose costs are compared
WARM_UP = 0.25  # of the measured time; it goes before


class Growth:
    """CPU time per request at each number of open streams in a scale's `open`."""

    name = "growth"
    own = False

    def __init__(self) -> None:
        self._cpu = {
            count: Figure(
                f"growth.{count}.cpu",
                f"CPU per request, {count:,} open streams, {BUSY} busy",
                "µs",
                more_is_better=False,
            )
            for count in sorted({*FULL.open, *QUICK.open, *SMOKE.open})
        }
        self._ratio = Figure(
            "growth.ratio",
            f"CPU per request at {MANY:,} open streams ÷ at {FEW}",
            "times",
            more_is_better=False,
            ceiling=1.3,
        )
        self.figures: Sequence[Figure] = (*self._cpu.values(), self._ratio)

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Round trips for `scale.seconds` at each number of streams. Of `direct` nothing: it has no process."""
        if not target.pid:
            return {}
        measured: dict[str, float] = {}
        with opened(target, BUSY) as sockets:
            for count in sorted(scale.open):
                sockets.open(count)
                sockets.echo(SIZE, scale.seconds * WARM_UP, BUSY)
                before = usage.cpu_seconds(target.pid)
                trips = sockets.echo(SIZE, scale.seconds, BUSY)
                spent = usage.cpu_seconds(target.pid) - before
                measured[self._cpu[count].key] = spent / len(trips.times) * 1e6
        many, few = (measured.get(self._cpu[count].key) for count in (MANY, FEW))
        if many and few:
            measured[self._ratio.key] = many / few
        return measured


CASES: tuple[Case, ...] = (Growth(),)
