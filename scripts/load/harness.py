"""The load: many clients at once, and what they must never see."""

import contextlib
import dataclasses
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from load.expectation import Expectation
from load.record import Result, Row
from load.requests import Ask, http_client, slow, stream, upload, whoami
from load.session import Session
from load.websockets import websocket_client

Client = Callable[[Session, Row, random.Random], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Clients:
    """How many of each kind. `slow`, `stream` and `upload` need backends/web.py, the others run on both samples."""

    websockets: int = 20
    staying: int | None = None  # so many of them stay open for the whole load, the others come and go; None: half
    lifetimes: tuple[int, int] = (3, 30)  # rounds, between which those that come and go live
    new: int = 4  # HTTP, each request on a connection of its own
    keep_alive: int = 4  # HTTP, several requests on one connection, which must stay on one generation
    slow: int = 0
    stream: int = 0
    upload: int = 0


class Load:
    """Clients on `address`, for as long as `running()` is entered.

    Tell it what happens at the door: `switching()` before a swap, `switched("v2#2")` after it has returned. Every
    connection that is opened after that must be answered by v2#2, and at no time may a connection be refused, cut,
    or carry a wrong byte. The same seed makes the same clients send the same things.

        load = Load("127.0.0.1:8080", Clients(websockets=200), first="v1#1")
        async with load.running():
            await load.progress()
            load.switching()
            ...  # frontdoor swap v2
            load.switched("v2#2")
            await load.progress()
        assert load.result().ok, load.result().failures
    """

    def __init__(
        self,
        address: str,
        clients: Clients | None = None,
        *,
        first: str | None = None,
        pace: float = 0.05,
        timeout: float = 30,
        seed: int = 1,
        per_request: bool = False,
    ) -> None:
        """Make it; nothing connects before `running()`.

        first: what is active at the start ("v1#1", or "v1"); None: do not check before the first swap.
        pace: mean pause between two rounds of a client, in seconds.
        timeout: seconds for one round, and for all clients to end; longer is a failure.
        per_request: the door speaks HTTP: who must answer is decided for each request, on whatever connection it comes.
        """
        self._expectation = Expectation(first)
        self._session = Session(address, self._expectation, pace=pace, timeout=timeout, per_request=per_request)
        self._seed = seed
        self._clients = list(_clients(clients or Clients()))
        self._rows = [row for row, _ in self._clients]
        self._unfinished: set[str] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the clients; on leaving, let each end what it has begun, and close in its own good time."""
        async with trio.open_nursery() as nursery:
            self._session.begin()
            for row, client in self._clients:
                nursery.start_soon(self._run, row, client)
            yield
            self._session.stopping.set()
            nursery.cancel_scope.deadline = trio.current_time() + self._session.timeout
        for row in self._rows:
            if row.client in self._unfinished:
                self._session.fail(row, f"could not end within {self._session.timeout:g} s")

    async def _run(self, row: Row, client: Client) -> None:
        self._unfinished.add(row.client)
        await client(self._session, row, random.Random(f"{self._seed} {row.client}"))
        self._unfinished.discard(row.client)

    def switching(self) -> None:
        """A swap begins."""
        self._expectation.switching()

    def switched(self, generation: str) -> None:
        """The swap has returned, and this generation is active: an id ("v2#2") or a version ("v2").

        After a swap that failed, call it with what is still active.
        """
        problem = self._expectation.switched(generation)
        if problem:
            self._session.fail(self._rows[0], problem)

    async def progress(self, rounds: int = 1) -> None:
        """Wait until every client has tried so many more rounds (a failure is one), each with the load's timeout.

        Raises trio.TooSlowError where even failing takes longer.
        """
        wanted = [row.rounds + row.failures + rounds for row in self._rows]
        with trio.fail_after((self._session.timeout + 1) * rounds):
            while any(  # noqa: ASYNC110
                row.rounds + row.failures < least for row, least in zip(self._rows, wanted, strict=True)
            ):
                await trio.sleep(0.02)

    def result(self) -> Result:
        """What has happened so far; final once `running()` is left."""
        return Result(tuple(self._rows), tuple(self._session.failures), self._session.failed)


def _clients(clients: Clients) -> list[tuple[Row, Client]]:
    made: list[tuple[Row, Client]] = []

    def add(count: int, kind: str, client: Client, label: str = "") -> None:
        made.extend((Row(f"{label or kind}-{number}", kind), client) for number in range(1, count + 1))

    def http(count: int, kind: str, ask: Ask, longest: int) -> None:
        add(count, kind, functools.partial(http_client, ask=ask, longest=longest))

    staying = clients.websockets - clients.websockets // 2 if clients.staying is None else clients.staying
    add(staying, "websocket", functools.partial(websocket_client, lifetimes=None), "ws-stays")
    add(
        clients.websockets - staying,
        "websocket",
        functools.partial(websocket_client, lifetimes=clients.lifetimes),
        "ws-moves",
    )
    http(clients.new, "new", whoami, 1)
    http(clients.keep_alive, "keep-alive", whoami, 20)
    http(clients.slow, "slow", slow, 1)
    http(clients.stream, "stream", stream, 3)
    http(clients.upload, "upload", upload, 3)
    return made
