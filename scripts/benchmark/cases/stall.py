"""The longest pause of the relay while frontdoor does something else.

Frontdoor alone: it is one that this case starts. The pause is seen as the longest round trip of a client that sends a
message each millisecond, on one stream.
"""

import contextlib
import socket
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmark.control import Chain, Follower, Order, Repeated
from benchmark.figure import Case, Figure, Scale
from benchmark.loop import Loop, clock
from benchmark.served import Served, served
from benchmark.target import Target

STREAMS = 1000  # open, and silent
PERIOD = 0.001  # seconds between two messages
MESSAGE = b"a message of 64 bytes, which comes back just as it was sent off\n"
WINDOWS = 5  # repetitions, of whose longest round trips the median is taken
WINDOW = 0.3  # seconds of one, at least
SETTLE = 0.2  # seconds after a disturbance has begun, or ended, that do not count
CEILING = 20.0  # ms
FOLLOWERS = 32
LINES = b"GET /lines/1000 HTTP/1.1\r\nHost: bench\r\n\r\n"
DOOR = "/v1/doors/main"


@dataclass
class Trips:
    """Round trips in one window: the longest in seconds."""

    through: float = 0.0  # through the door
    direct: float = 0.0  # to the same backend, without the door
    beyond: float = 0.0  # of a message through the door, beyond that of the one that was sent directly with it


class Echo:
    """A client with two streams to one backend: through the door, and directly. On both it sends at the same time.

    What the machine does to the client, and to the backend, it does to both: so it can be told from what the door does.
    """

    def __init__(self, loop: Loop, port: int, path: str) -> None:
        self.longest = Trips()
        self._loop = loop
        self._through = socket.create_connection(("127.0.0.1", port))
        self._through.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._direct = socket.socket(socket.AF_UNIX)
        self._direct.connect(path)
        self._sent: dict[socket.socket, float] = {}
        self._took: dict[socket.socket, float] = {}
        self._closed = False
        for sock in (self._through, self._direct):
            sock.setblocking(False)
            loop.watch(sock.fileno(), lambda sock=sock: self._came(sock))  # type: ignore[misc]  # a lambda's default
        loop.at(clock(), self._send)

    def window(self, seconds: float) -> Trips:
        """The longest round trips within so many seconds, and the end of those that are under way then."""
        self.longest = Trips()
        self._loop.run(seconds)
        self._loop.run(seconds + 10, lambda: not self._sent)
        return self.longest

    def close(self) -> None:
        """Hang up."""
        self._closed = True
        for sock in (self._through, self._direct):
            self._loop.forget(sock.fileno())
            sock.close()

    def _send(self, due: float) -> None:
        if self._closed:
            return
        if not self._sent:
            for sock in (self._through, self._direct):
                self._sent[sock] = clock()
                sock.send(MESSAGE)
        self._loop.at(max(due + PERIOD, clock()), self._send)

    def _came(self, sock: socket.socket) -> None:
        sock.recv(len(MESSAGE))
        self._took[sock] = clock() - self._sent[sock]
        if len(self._took) < 2:
            return
        through, direct, longest = self._took[self._through], self._took[self._direct], self.longest
        longest.through, longest.direct = max(longest.through, through), max(longest.direct, direct)
        longest.beyond = max(longest.beyond, through - direct)
        self._sent.clear()
        self._took.clear()


# -- what goes on meanwhile: each from entering to leaving its context ------------------------------------------------


@contextlib.contextmanager
def _nothing(loop: Loop, door: Served) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _swap(loop: Loop, door: Served) -> Iterator[None]:
    """To a new start of v2, and back to v1, which has all the streams: so all of them drain each time."""
    turns = 0

    def begin() -> Order:
        nonlocal turns
        turns += 1
        body = {"version": "v2", "reuse": False} if turns % 2 else {"version": "v1", "reuse": True}
        return Order(loop, door.control, f"{DOOR}/swap", body)

    chain = Chain(loop, 0.1, begin)
    yield
    chain.stop()


def _asked(path: str) -> "Disturbance":
    @contextlib.contextmanager
    def asked(loop: Loop, door: Served) -> Iterator[None]:
        with contextlib.closing(Repeated(loop, door.control, path)):
            yield

    return asked


@contextlib.contextmanager
def _events(loop: Loop, door: Served) -> Iterator[None]:
    """Many who follow the events, of which pause and resume make some hundred a second."""
    with contextlib.ExitStack() as stack:
        for _ in range(FOLLOWERS):
            stack.enter_context(contextlib.closing(Follower(loop, door.control, "/v1/events?history=1000")))
        turns = 0

        def begin() -> Order:
            nonlocal turns
            turns += 1
            return Order(loop, door.control, f"{DOOR}/{'pause' if turns % 2 else 'resume'}")

        chain = Chain(loop, 0.01, begin)
        yield
        chain.stop()
        if turns % 2:
            Chain(loop, 1.0, begin).stop()


@contextlib.contextmanager
def _output(loop: Loop, door: Served) -> Iterator[None]:
    """The backend prints a thousand lines a second, which go to frontdoor's log."""
    with socket.create_connection(("127.0.0.1", door.port)) as asking:
        asking.send(LINES)
        asking.recv(4096)
        yield


@contextlib.contextmanager
def _followed(loop: Loop, door: Served) -> Iterator[None]:
    """The same, with one who follows them."""
    with _output(loop, door), contextlib.closing(Follower(loop, door.control, "/v1/logs?history=1000")):
        yield


Disturbance = Callable[[Loop, Served], AbstractContextManager[None]]

_MEANWHILE: dict[str, tuple[str, Disturbance]] = {
    "nothing": ("nothing goes on (the machine's noise)", _nothing),
    "swap": ("swaps go on", _swap),
    "status": ("status is asked all the time", _asked("/v1/status")),
    "streams": ("streams is asked all the time", _asked("/v1/streams")),
    "metrics": ("the metrics are scraped all the time", _asked("/metrics")),
    "events": (f"{FOLLOWERS} follow 100 events/s", _events),
    "output": ("a backend prints 1,000 lines/s", _output),
    "logs": ("one follows these lines", _followed),
}


def _figures(what: str, meanwhile: str) -> Iterator[Figure]:
    ceiling = None if what == "nothing" else CEILING
    yield Figure(f"stall.{what}", f"longest round trip while {meanwhile}", "ms", more_is_better=False, ceiling=ceiling)
    yield Figure(f"stall.{what}.direct", "… at the same time without the door", "ms", more_is_better=False)
    yield Figure(f"stall.{what}.worst", "… the worst of all, beyond that without the door", "ms", more_is_better=False)


class Stall:
    """The longest round trip while something goes on, with a thousand silent streams.

    It is the median of some windows' longest: one hiccup of the machine does not make it. The worst of them all stands
    beside it, as what it took beyond a message that was sent at the same time without the door.
    """

    name = "stall"
    own = True
    figures: Sequence[Figure] = tuple(
        figure for what, (meanwhile, _) in _MEANWHILE.items() for figure in _figures(what, meanwhile)
    )

    def measure(self, target: Target, scale: Scale) -> dict[str, float]:
        """Each disturbance in turn."""
        measured: dict[str, float] = {}
        repetitions = WINDOWS if scale.seconds >= WINDOW else 1  # to see that it works, one is enough
        with served() as door, contextlib.ExitStack() as stack:
            loop = stack.enter_context(contextlib.closing(Loop()))
            for _ in range(min(STREAMS, max(scale.open))):
                stack.enter_context(silent(door.port))
            echo = stack.enter_context(contextlib.closing(Echo(loop, door.port, door.socket_of(1))))
            for what, (_, disturbance) in _MEANWHILE.items():
                loop.run(SETTLE)
                with disturbance(loop, door):
                    loop.run(SETTLE)
                    windows = [echo.window(max(WINDOW, scale.seconds / WINDOWS)) for _ in range(repetitions)]
                measured[f"stall.{what}"] = statistics.median(trips.through for trips in windows) * 1e3
                measured[f"stall.{what}.direct"] = statistics.median(trips.direct for trips in windows) * 1e3
                measured[f"stall.{what}.worst"] = max(trips.beyond for trips in windows) * 1e3
        return measured


def silent(port: int) -> socket.socket:
    """A stream that has its place in the backend: it was answered once."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.send(b"hello\n")
    sock.recv(64)
    return sock


CASES: tuple[Case, ...] = (Stall(),)
