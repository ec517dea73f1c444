"""One HTTP/1.1 connection of the chat (h11), up to the point where it becomes a WebSocket (trio-websocket)."""

import http

import h11
import trio
from trio_websocket import WebSocketRequest, wrap_server_stream

SEND_TIMEOUT = 20  # seconds: a reader that takes nothing for so long is dropped
IDLE_TIMEOUT = 75  # seconds a connection may wait for its next request
LONGEST_BODY = 65_536  # bytes of a request's body that are read and thrown away; no route here wants one
# What the page may do: its own style and script, and connections back here.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


class Request:
    """A request's head: method, path, query, and whether it asks for a WebSocket."""

    def __init__(self, head: h11.Request) -> None:
        self.head = head
        self.method = head.method.decode("ascii")
        self.path, _, self.query = head.target.decode("ascii").partition("?")
        self.websocket = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in head.headers)


class HttpConnection:
    """Requests in, answers out, one after the other on one stream. Every answer says who gave it."""

    def __init__(self, stream: trio.SocketStream, served_by: str) -> None:
        self._stream = stream
        self._served_by = served_by
        self._http = h11.Connection(h11.SERVER)
        self._request: Request | None = None

    async def request(self) -> Request | None:
        """The next request, its body thrown away; None: there is none to come.

        Raises trio.TooSlowError after IDLE_TIMEOUT seconds without one.
        """
        if self._request is not None:
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return None
            self._http.start_next_cycle()
        try:
            with trio.fail_after(IDLE_TIMEOUT):
                self._request = await self._read()
        except h11.RemoteProtocolError as error:
            self._request = None
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self.answer(error.error_status_hint, "text/plain", f"{error}\n".encode(), close=True)
        return self._request

    async def _read(self) -> Request | None:
        request, body = None, 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(65_536))
            elif isinstance(event, h11.Request):
                request = Request(event)
            elif isinstance(event, h11.Data):
                body += len(event.data)
                if body > LONGEST_BODY:
                    raise h11.RemoteProtocolError("no route here takes a body", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:
                return None

    async def answer(self, status: int, kind: str, body: bytes, *, close: bool = False) -> None:
        """Answer the request just read. Raises trio.TooSlowError where the client does not take it."""
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Served-By", self._served_by),
        ]
        if close:
            headers.append(("Connection", "close"))
        answer = (
            self._http.send(h11.Response(status_code=status, headers=headers, reason=http.HTTPStatus(status).phrase))
            or b""
        )
        if self._request is None or self._request.method != "HEAD":
            answer += self._http.send(h11.Data(data=body)) or b""
        answer += self._http.send(h11.EndOfMessage()) or b""
        with trio.fail_after(SEND_TIMEOUT):
            await self._stream.send_all(answer)

    async def websocket(self, nursery: trio.Nursery, request: Request) -> WebSocketRequest:
        """Hand the connection to trio-websocket. Raises trio.TooSlowError where the handshake was no good."""
        # trio-websocket wants to read the handshake itself: it is given the head again, and what came behind it.
        lines = [b"GET " + request.head.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in request.head.headers]
        early, _ = self._http.trailing_data
        replay = Replay(b"\r\n".join(lines) + b"\r\n\r\n", early, self._stream)
        with trio.fail_after(5):  # a handshake without its key is answered with 400, and then nothing comes
            return await wrap_server_stream(nursery, replay)


class Replay(trio.abc.Stream):
    """A stream with a request put back in front, and a limit on how long a send may take.

    What came behind the head is given out only when the handshake has been answered: trio-websocket would lay it
    aside until something else comes, which may be never.
    """

    def __init__(self, head: bytes, early: bytes, stream: trio.SocketStream) -> None:
        self._head = head
        self._early = early
        self._answered = trio.Event()
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The head; when it is answered, what came behind it; then what the stream has."""
        if self._head:
            await trio.lowlevel.checkpoint()
            head, self._head = self._head, b""
            return head
        await self._answered.wait()
        if self._early:
            early, self._early = self._early, b""
            return early
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or raise BrokenResourceError where the peer does not read."""
        self._answered.set()
        with trio.move_on_after(SEND_TIMEOUT) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the peer does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """See trio.abc.AsyncResource."""
        await self._stream.aclose()
