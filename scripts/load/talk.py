"""One connection of a crowd's client: what it says, and what it reads, by length, by line, or to the end."""

import json
from types import TracebackType
from typing import Self

import trio

from load.endless import CHUNK, message
from load.session import WrongError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # one for all: nobody caches here
UPGRADE = (
    "GET /echo HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
BINARY = 0x82
"""The first byte of a whole binary message."""


class CutError(WrongError):
    """The connection has ended, and nobody had said that it should."""


class Talk:
    """A connection. Whatever breaks it is a CutError."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock
        self._came = bytearray()

    @classmethod
    async def to(cls, host: str, port: int, *, buffer: int | None = None) -> Self:
        """Connect. `buffer`: bytes that the kernel is to hold for it in each direction. Raises OSError."""
        sock = trio.socket.socket()
        if buffer is not None:  # before the connect: what was announced to the other side is not taken back
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, buffer)
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, buffer)
        try:
            await sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._sock.close()

    async def say(self, data: bytes) -> None:
        """All of it."""
        try:
            with memoryview(data) as view:
                sent = 0
                while sent < len(view):
                    sent += await self._sock.send(view[sent:])
        except OSError as error:
            raise CutError(f"cut while it was sending: {error.strerror}") from None

    def finish(self) -> None:
        """Nothing more will be said: half of the connection is closed."""
        try:
            self._sock.shutdown(trio.socket.SHUT_WR)
        except OSError as error:
            raise CutError(f"cut before it had finished: {error.strerror}") from None

    async def some(self, most: int = CHUNK) -> bytes:
        """What is there; b"" at the end."""
        if self._came:
            data = bytes(self._came[:most])
            del self._came[:most]
            return data
        try:
            return await self._sock.recv(most)
        except OSError as error:
            raise CutError(f"cut while it was reading: {error.strerror}") from None

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._came) < count:
            await self._more()
        data = bytes(self._came[:count])
        del self._came[:count]
        return data

    async def until(self, end: bytes) -> bytes:
        """All up to there, the end too."""
        while (at := self._came.find(end)) < 0:
            await self._more()
        return await self.exactly(at + len(end))

    async def _more(self) -> None:
        had = bytes(self._came)
        self._came.clear()
        data = await self.some()
        if not data:
            raise CutError("closed by the other side")
        self._came += had + data

    async def rest(self) -> bytes:
        """All that comes until the end."""
        data = b""
        while more := await self.some():
            data += more
        return data

    async def is_over(self) -> None:
        """Wait for the end. Raises WrongError when something else comes."""
        if data := await self.some():
            raise WrongError(f"{len(data)} bytes too many: {data[:60]!r}")

    # -- HTTP and WebSocket -----------------------------------------------------------------------------------------

    async def head(self, wanted: str = "200") -> dict[str, str]:
        """That of an answer: its fields."""
        start, *lines = (await self.until(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        if start.split(" ")[1:2] != [wanted]:
            raise WrongError(f"wanted {wanted}, answered {start[:60]!r}")
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    async def answer(self) -> bytes:
        """The body of one that says its length."""
        return await self.exactly(int((await self.head())["content-length"]))

    async def who(self) -> str:
        """Ask who is there: the generation."""
        await self.say(b"GET /whoami HTTP/1.1\r\nHost: crowd\r\n\r\n")
        known = json.loads(await self.answer())
        return f"{known['version']}#{known['generation']}"

    async def upgrade(self) -> None:
        """Become a WebSocket."""
        await self.say(UPGRADE)
        await self.head("101")

    async def ask(self, *texts: bytes) -> None:
        """Send these messages."""
        await self.say(b"".join(message(BINARY, text, masked=True) for text in texts))

    async def hear(self) -> tuple[int, bytes]:
        """A message of the app: its first byte and what is in it."""
        first, length = await self.exactly(2)
        if length > 125:
            length = int.from_bytes(await self.exactly(2 if length == 126 else 8), "big")
        return first, await self.exactly(length)
