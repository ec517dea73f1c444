"""A small HTTP/1.1 client connection (h11 over a trio stream): one request after the other, nothing hidden.

No pool and no retry: a client that helps itself would hide what the load is looking for.
"""

import dataclasses

import h11
import trio

from load.address import connect
from load.session import WrongError


@dataclasses.dataclass(frozen=True)
class Answer:
    """A whole answer: status, headers (names in lower case), body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def generation(self) -> str:
        """Who gave it ("v2#3"). Raises WrongError where the app does not say."""
        try:
            return self.headers["x-served-by"]
        except KeyError:
            raise WrongError("an answer without X-Served-By: is this one of the sample apps?") from None


class HttpConnection:
    """One connection. Every way in which the other side may cut it short raises."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, address: str) -> "HttpConnection":
        """Connect. Raises OSError."""
        return cls(await connect(address))

    async def request(self, method: str, target: str, body: bytes = b"", *, last: bool = False) -> Answer:
        """Send one request and read its answer; `last` asks the server to close behind it, and checks that.

        Raises WrongError, trio.BrokenResourceError or h11.RemoteProtocolError where the answer is cut short.
        """
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        headers = [("Host", "load"), ("Content-Length", str(len(body)))]
        if last:
            headers.append(("Connection", "close"))
        head = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        answer: list[Answer] = []
        async with trio.open_nursery() as nursery:
            # Reading while sending: a server may answer before it has taken all of an upload.
            nursery.start_soon(self._send, head, body)
            answer.append(await self._answer())
        behind = self._http.trailing_data[0]
        if last:
            behind += await self._stream.receive_some(65_536)
        if behind:
            raise WrongError(f"{len(behind)} bytes came behind the answer: {behind[:60]!r}")
        if not last and self._http.their_state in (h11.MUST_CLOSE, h11.CLOSED):
            raise WrongError("the server wants to close a connection that was to be kept")
        return answer[0]

    async def _send(self, head: bytes, body: bytes) -> None:
        await self._stream.send_all(head)
        for start in range(0, len(body), 65_536):
            await self._stream.send_all(self._http.send(h11.Data(data=body[start : start + 65_536])) or b"")
        self._http.send(h11.EndOfMessage())

    async def _answer(self) -> Answer:
        status, headers, body = 0, {}, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._stream.receive_some(65_536)
                if not data and not status:
                    raise WrongError("closed before it was answered")
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, headers, bytes(body))
            elif isinstance(event, h11.ConnectionClosed):
                raise WrongError("closed before it was answered")

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()
