"""What all clients of one load share: the address, the promises of the door, the record, and when to stop."""

import json
import random

import h11
import trio
import wsproto.utilities
from trio_websocket import ConnectionClosed, HandshakeError

from load.expectation import Expectation
from load.record import FAILURES_KEPT, Failure, Row


class WrongError(Exception):
    """The server answered, and the answer is not right."""


# What a client may meet, and must not: each of these is one failure of one client, and the load goes on.
FAILURES: tuple[type[Exception], ...] = (
    WrongError,
    OSError,
    ValueError,
    trio.BrokenResourceError,
    trio.TooSlowError,
    ConnectionClosed,
    HandshakeError,
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
)


class Session:
    """One load's shared state."""

    def __init__(
        self, address: str, expectation: Expectation, *, pace: float, timeout: float, per_request: bool = False
    ) -> None:
        self.address = address
        self.per_request = per_request  # a request, not a connection, belongs to one generation
        self.expectation = expectation
        self.timeout = timeout  # seconds for one round: an answer that takes longer is a failure
        self.stopping = trio.Event()
        self.failures: list[Failure] = []
        self.failed = 0
        self._pace = pace
        self._began = 0.0

    def begin(self) -> None:
        """The clients are about to start: failures are timed from here."""
        self._began = trio.current_time()

    def fail(self, row: Row, reason: str) -> None:
        """Record a failure of one client."""
        row.failures += 1
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(Failure(row.client, trio.current_time() - self._began, reason))

    def answered(self, row: Row, opened: int, generation: str) -> None:
        """A new connection's first answer: count it, and hold it against what the door has promised."""
        row.connections += 1
        row.generations[generation] += 1
        self.check(row, opened, generation)

    def check(self, row: Row, opened: int, generation: str) -> None:
        """Hold an answer against what the door has promised."""
        problem = self.expectation.answered(opened, generation)
        if problem:
            self.fail(row, problem)

    async def rest(self, rng: random.Random) -> None:
        """A pause between two rounds, cut short when the load is to stop."""
        with trio.move_on_after(rng.uniform(0.5, 1.5) * self._pace):
            await self.stopping.wait()
        await trio.lowlevel.checkpoint()


def generation_of(identity: str | bytes) -> str:
    """The id, such as "v2#3", from the JSON object that the apps introduce themselves with. Raises WrongError."""
    try:
        known = json.loads(identity)
        return f"{known['version']}#{known['generation']}"
    except (ValueError, KeyError, TypeError):
        raise WrongError(f"wanted JSON with version and generation, got {identity[:60]!r}") from None


def first(error: BaseException) -> BaseException:
    """The first exception of a group, however deep: nurseries wrap what goes through them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason(error: BaseException) -> str:
    """An exception, or the first of a group of them, in one line."""
    error = first(error)
    if isinstance(error, ConnectionClosed):
        code = f"{error.reason.code} {error.reason.name}" if error.reason else "no reason"
        return f"the WebSocket was closed by the other side: {code}"
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, WrongError):
        return str(error)
    return f"{type(error).__name__}: {error}"
