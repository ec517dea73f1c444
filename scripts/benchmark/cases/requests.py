"""Small requests, by wrk: on connections that are kept, and each on a connection of its own."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark import usage
from benchmark.figure import Case, Figure, MeasureError, Scale
from benchmark.target import Target

MICRO = 1e6
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}  # of wrk's latencies, in µs
SAID = re.compile(r"^ *(50%|99%|Requests/sec:) +([\d.]+)(us|ms|s|m)?$", re.MULTILINE)
REQUESTS = re.compile(r"^ *(\d+) requests in", re.MULTILINE)
WRONG = re.compile(r"^ *(Non-2xx .*|Socket errors: .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What wrk has counted, and what the proxy has used meanwhile."""

    requests: int
    rate: float  # requests/s
    p50: float  # µs
    p99: float  # µs
    cpu: float | None  # µs of the proxy for each request; None: there is no proxy


def load(target: Target, connections: int, seconds: float, *fields: str) -> Load:
    """Ask for as long as that, each connection one request at a time. Raises MeasureError."""
    headers = [part for each in fields for part in ("-H", each)]
    command = ["wrk", "--latency", "-t1", f"-c{connections}", "-d1h", *headers, f"http://127.0.0.1:{target.http}/"]
    before = usage.cpu_seconds(target.pid) if target.pid else 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        try:
            time.sleep(seconds)
        finally:
            said = interrupted(wrk)
    spent = usage.cpu_seconds(target.pid) - before if target.pid else None
    return understood(said, spent)


def interrupted(wrk: subprocess.Popen[str]) -> str:
    """What it says when it is stopped. It counts whole seconds itself, but divides by what it has measured."""
    for _ in range(10):
        wrk.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it was not ready to be interrupted, and is asked again
            said, _ = wrk.communicate(timeout=2)
            return said
    wrk.kill()
    raise MeasureError("wrk did not end")


def understood(said: str, spent: float | None) -> Load:
    """What wrk's text means; `spent` is the proxy's CPU seconds. Raises MeasureError when there were errors."""
    numbers = {word: float(number) * UNITS.get(unit, 1.0) for word, number, unit in SAID.findall(said)}
    requests = REQUESTS.search(said)
    if requests is None or int(requests[1]) == 0 or not {"50%", "99%", "Requests/sec:"} <= numbers.keys():
        raise MeasureError(f"wrk got no answer: {said.strip()}")
    if wrong := WRONG.search(said):
        raise MeasureError(f"wrk: {wrong[1]}")
    count = int(requests[1])
    cpu = None if spent is None else spent / count * MICRO
    return Load(count, numbers["Requests/sec:"], numbers["50%"], numbers["99%"], cpu)


class KeepAlive:
    """Requests on connections that are kept open."""

    own = False

    def __init__(
        self, connections: int, rate: dict[str, float], cpu: dict[str, float], family: str = "keepalive"
    ) -> None:
        """How many at once, and the limits that are wanted: of the rate, and of the proxy's CPU time."""
        self.connections = connections
        self.name = key = f"{family}.{connections}"
        on = f"keep-alive, {connections} connection" + ("s" if connections > 1 else "")
        self.figures: Sequence[Figure] = (
            Figure(f"{key}.rate", f"requests, {on}", "req/s", True, rate),
            Figure(f"{key}.p50", f"median latency, {on}", "µs", False),
            Figure(f"{key}.p99", f"p99 latency, {on}", "µs", False),
            Figure(f"{key}.cpu", f"proxy's CPU per request, {on}", "µs", False, cpu),
        )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Rate, latencies, CPU time."""
        got = load(target, self.connections, scale.seconds)
        found = {"rate": got.rate, "p50": got.p50, "p99": got.p99}
        if got.cpu is not None:
            found["cpu"] = got.cpu
        return {f"{self.name}.{kind}": value for kind, value in found.items()}


class Connect:
    """A new connection for each request: by the time that it is answered it is closed."""

    own = False

    def __init__(self, name: str, rate: dict[str, float]) -> None:
        """The limits are of the rate."""
        self.name = name
        self.figures: Sequence[Figure] = (
            Figure(f"{name}.rate", "new connections, 50 at once", "conn/s", True, rate),
            Figure(f"{name}.cpu", "proxy's CPU per new connection", "µs", False),
        )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Rate and CPU time."""
        got = load(target, 50, scale.seconds, "Connection: close")
        found = {f"{self.name}.rate": got.rate}
        return found if got.cpu is None else found | {f"{self.name}.cpu": got.cpu}


MANY = {"haproxy": 1.0, "nginx": 0.95}
CASES: tuple[Case, ...] = (
    KeepAlive(1, {"haproxy": 0.95, "nginx": 0.9}, {}),
    KeepAlive(50, MANY, {"haproxy": 1.1, "nginx": 1.25}),
    KeepAlive(500, MANY, {}),
    Connect("connect", {"haproxy": 1.0, "nginx": 0.9}),
)
