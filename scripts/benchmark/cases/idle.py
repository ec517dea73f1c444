"""What it costs to have streams, and to have nothing to do: memory and descriptors per idle stream, and CPU time."""

import time
from collections.abc import Sequence

from benchmark import usage
from benchmark.figure import FULL, QUICK, SMOKE, Case, Figure, Scale
from benchmark.sockets import opened
from benchmark.target import Target

FEW = 10  # streams that are open when the counting begins
CALM = 0.5  # seconds without a change after which a proxy has come to rest
PATIENCE = 5  # seconds that it may take to

SPARSE = 1000  # sockets over which a few messages a second are spread
RATE = 100  # of these messages, a second
SIZE = 64  # bytes of each


class Memory:
    """What grows in all processes of the proxy from a few idle streams to thousands, per stream.

    Each stream has moved a WebSocket's upgrade and one short message, both ways, and then nothing any more. What a
    proxy does once, such as to import what its first stream needs, is done when the counting begins, and no stream's.

    It is wanted of a process that has just been started (`fresh`): one that has had as many streams before may have
    kept their memory, as allocators do, and would seem to need none for those that follow. For the same reason the
    numbers of a scale are measured upwards, in one go, with none closed in between.
    """

    own = False
    fresh = True  # whoever runs the case starts the proxy anew before

    def __init__(self, name: str, family: str, wanted: dict[str, float]) -> None:
        """The figures' keys begin with `family`. The limits are of memory."""
        self.name = name
        counts = sorted({*FULL.idle, *QUICK.idle, *SMOKE.idle})
        self._resident = {
            count: Figure(
                f"{family}.{count}.memory",
                f"memory per idle stream, {count:,} of them",
                "B",
                more_is_better=False,
                wanted=wanted,
            )
            for count in counts
        }
        self._descriptors = {
            count: Figure(
                f"{family}.{count}.descriptors",
                f"descriptors per idle stream, {count:,} of them",
                "",
                more_is_better=False,
            )
            for count in counts
        }
        self.figures: Sequence[Figure] = (*self._resident.values(), *self._descriptors.values())

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """At each number of streams in `scale.idle`. Of `direct` nothing: it has no process."""
        if not target.pid:
            return {}
        measured = {}
        with opened(target, FEW) as sockets:
            resident, descriptors = _at_rest(target.pid)
            for count in sorted(scale.idle):
                sockets.open(count)
                now_resident, now_descriptors = _at_rest(target.pid)
                measured[self._resident[count].key] = (now_resident - resident) / (count - FEW)
                measured[self._descriptors[count].key] = (now_descriptors - descriptors) / (count - FEW)
        return measured


def _at_rest(pid: int) -> tuple[int, int]:
    """Resident bytes and descriptors of the tree, as soon as they have stopped to change."""
    deadline = time.monotonic() + PATIENCE
    found = usage.resident(pid), usage.descriptors(pid)
    while time.monotonic() < deadline:
        time.sleep(CALM)
        earlier, found = found, (usage.resident(pid), usage.descriptors(pid))
        if found == earlier:
            break
    return found


class Rest:
    """CPU time of all processes of the proxy while next to nothing is to do: with no stream, and with a trickle."""

    name = "idle.cpu"
    own = False

    def __init__(self) -> None:
        titles = {"nothing": "nothing to do", "trickle": f"{RATE} messages/s over {SPARSE:,} sockets"}
        self._cpu = {
            key: Figure(
                f"{self.name}.{key}",
                f"CPU, {title}",
                "% of a core",
                more_is_better=False,
                wanted={"haproxy": 2.0},
                ceiling=3.0,
            )
            for key, title in titles.items()
        }
        self.figures: Sequence[Figure] = tuple(self._cpu.values())

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Each for `scale.seconds`. Of `direct` nothing: it has no process."""
        if not target.pid:
            return {}
        time.sleep(CALM)  # what the case before has left to be done
        before, begin = usage.cpu_seconds(target.pid), time.monotonic()
        time.sleep(scale.seconds)
        nothing = (usage.cpu_seconds(target.pid) - before) / (time.monotonic() - begin)
        with opened(target, SPARSE) as sockets:
            time.sleep(CALM)
            before = usage.cpu_seconds(target.pid)
            trips = sockets.trickle(SIZE, RATE, scale.seconds)
            trickle = (usage.cpu_seconds(target.pid) - before) / trips.seconds
        return {self._cpu["nothing"].key: nothing * 100, self._cpu["trickle"].key: trickle * 100}


CASES: tuple[Case, ...] = (Memory("idle.memory", "idle", {"haproxy": 0.4, "nginx": 0.2}), Rest())
