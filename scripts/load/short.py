"""Short connections, each of which ends in one of the ways in which connections end; every answer is checked.

They need load/quick.py behind the door. Plain sockets and not `load.http`: a hundred thousand have to be quick.
"""

import dataclasses
import random
import socket
import struct
from collections.abc import Awaitable, Callable

import trio

from load.expectation import Expectation
from load.session import WrongError

TIMEOUT = 30  # seconds for one connection
LARGEST = 300_000  # bytes that are sent there and back: more than pipes and socket buffers hold
NOISE = random.Random(0).randbytes(LARGEST)
SOURCES = 200  # addresses of the clients: a hundred thousand ports that wait in TIME_WAIT are more than one has
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7): the port is chosen by connect, so that one in TIME_WAIT can be

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time (socket(7)): close sends RST


@dataclasses.dataclass(frozen=True)
class Answer:
    """What quick.py answers."""

    generation: str
    query: str
    body: bytes


class Connection:
    """One client connection."""

    def __init__(self, sock: trio.socket.SocketType, number: int) -> None:
        self._sock = sock
        self._number = number
        self._asked = 0

    async def ask(self, *, last: bool = False, body: bytes | None = None, read: trio.Event | None = None) -> str:
        """Ask who is there, or for the body to be sent back; the generation that answers. Raises WrongError.

        `read`: nothing is read before that.
        """
        self._asked += 1
        query = f"{self._number}.{self._asked}"
        start, length = ("GET /whoami", 0) if body is None else ("POST /mirror", len(body))
        close = "Connection: close\r\n" if last else ""
        head = f"{start}?{query} HTTP/1.1\r\nHost: soak\r\nContent-Length: {length}\r\n{close}\r\n"
        await self._send(head.encode() + (body or b""))
        if read is not None:
            await read.wait()
        answer = await self._answer()
        if answer.query != query or (body is not None and answer.body != body):
            raise WrongError(f"asked {query}, and got another's answer, or one that was changed: {answer}"[:200])
        return answer.generation

    async def finish(self) -> None:
        """Nothing more will be sent: half of the connection is closed."""
        self._sock.shutdown(socket.SHUT_WR)

    async def is_closed(self) -> None:
        """Wait for the other side's end. Raises WrongError when something else comes."""
        if data := await self._sock.recv(4096):
            raise WrongError(f"{len(data)} bytes came behind the answer: {data[:60]!r}")

    def reset(self) -> None:
        """Let the close be a reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    async def _send(self, data: bytes) -> None:
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                sent += await self._sock.send(view[sent:])

    async def _answer(self) -> Answer:
        came, end = b"", -1
        while end < 0:
            came += await self._more(came)
            end = came.find(b"\r\n\r\n")
        status, *lines = came[:end].decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        if status != "HTTP/1.1 200 OK":
            raise WrongError(f"answered {status}")
        body, length = [came[end + 4 :]], int(fields["Content-Length"])
        missing = length - len(body[0])
        while missing > 0:
            body.append(await self._more(b"..."))
            missing -= len(body[-1])
        return Answer(fields["X-Served-By"], fields["X-Query"], b"".join(body))

    async def _more(self, came: bytes) -> bytes:
        data = await self._sock.recv(65_536)
        if not data:
            raise WrongError("closed in the middle of the answer" if came else "closed before it was answered")
        return data


# -- the ways in which they end ------------------------------------------------------------------------------------

Way = Callable[[Connection, random.Random], Awaitable[str | None]]
"""Uses a connection; returns the generation that has answered."""


async def _closed_by_the_client(connection: Connection, rng: random.Random) -> str:
    return await connection.ask()


async def _closed_by_the_app(connection: Connection, rng: random.Random) -> str:
    generation = await connection.ask(last=True)
    await connection.is_closed()
    return generation


async def _half_closed(connection: Connection, rng: random.Random) -> str:
    generation = await connection.ask()
    await connection.finish()
    await connection.is_closed()
    return generation


async def _reset(connection: Connection, rng: random.Random) -> str:
    generation = await connection.ask()
    connection.reset()
    return generation


async def _without_a_word(connection: Connection, rng: random.Random) -> None:
    pass


async def _with_much_to_say(connection: Connection, rng: random.Random) -> str:
    return await connection.ask(body=NOISE[-rng.randint(1, LARGEST) :])


async def _staying(connection: Connection, rng: random.Random) -> str:
    """For up to half a second: a switch may come in between, and must not be noticed."""
    generation = await connection.ask()
    await trio.sleep(rng.uniform(0, 0.5))
    if (then := await connection.ask()) != generation:
        raise WrongError(f"one connection was answered by {generation}, then by {then}")
    return generation


WAYS: dict[Way, int] = {
    _closed_by_the_client: 30,
    _closed_by_the_app: 25,
    _half_closed: 15,
    _reset: 10,
    _without_a_word: 5,
    _with_much_to_say: 5,
    _staying: 10,
}
"""And how often each, of a hundred."""


async def short_connection(address: tuple[str, int], number: int, rng: random.Random, expectation: Expectation) -> None:
    """Open one connection, use it, and end it. Raises one of load.session.FAILURES."""
    (way,) = rng.choices(list(WAYS), list(WAYS.values()))
    opened = expectation.opened()
    with trio.fail_after(TIMEOUT), await _connect(address, number) as sock:
        generation = await way(Connection(sock, number), rng)
    if generation is not None and (problem := expectation.answered(opened, generation)):
        raise WrongError(problem)


async def _connect(address: tuple[str, int], number: int) -> trio.socket.SocketType:
    sock = trio.socket.socket()
    try:
        if address[0].startswith("127."):
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            await sock.bind((f"127.1.0.{1 + number % SOURCES}", 0))
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def slow_receivers(address: tuple[str, int], count: int, stuck: Callable[[], Awaitable[None]]) -> None:
    """So many clients at once that do not read until `stuck` returns: the door has to keep a pipe for each of them."""
    read = trio.Event()

    async def receive(number: int) -> None:
        with trio.socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # The other side's buffer grows with the size of its segments, which on loopback are of 64 KiB.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
            await sock.connect(address)
            await Connection(sock, number).ask(body=NOISE, read=read)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(receive, number)
        await stuck()
        read.set()
