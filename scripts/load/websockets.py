"""The WebSocket client: numbered messages to /echo, each of which must come back once, unchanged, in order."""

import random

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from load.address import connect
from load.record import Row
from load.session import FAILURES, Session, WrongError, generation_of, reason

LARGEST = 20_000  # bytes of the largest message
GOODBYE = "goodbye"


async def websocket_client(
    session: Session, row: Row, rng: random.Random, *, lifetimes: tuple[int, int] | None
) -> None:
    """One WebSocket after the other until the load stops, each for a number of rounds between those two.

    None: a single one for all that time.
    """
    while not session.stopping.is_set():
        lifetime = rng.randint(*lifetimes) if lifetimes else None
        try:
            await _one_websocket(session, row, rng, lifetime)
        except* FAILURES as error:
            session.fail(row, reason(error))
        await session.rest(rng)


async def _one_websocket(session: Session, row: Row, rng: random.Random, lifetime: int | None) -> None:
    opened, closing = session.expectation.opened(), False
    with trio.fail_after(session.timeout):
        stream = HandshakeWatch(await connect(session.address))
    try:
        async with stream, trio.open_nursery() as nursery:
            with trio.fail_after(session.timeout):
                ws = await wrap_client_stream(
                    nursery,
                    stream,  # type: ignore[arg-type]  # any trio stream will do: all it uses is trio.abc.Stream
                    "load",
                    "/echo",
                )
                stream.open = True
                session.answered(row, opened, generation_of(await ws.get_message()))
            await _talk(session, row, rng, ws, lifetime)
            closing = True
            with trio.fail_after(session.timeout):
                await ws.aclose()
            nursery.cancel_scope.cancel()
    except* LocalProtocolError:
        # The server's ping has crossed our close: trio-websocket wants to answer it, and must not any more (its
        # issue 184). All that was to be said has been said by then.
        if not closing:
            raise


async def _talk(session: Session, row: Row, rng: random.Random, ws: WebSocketConnection, lifetime: int | None) -> None:
    number = 0
    while not session.stopping.is_set() and (lifetime is None or number < lifetime):
        number += 1
        with trio.fail_after(session.timeout):
            await _burst(ws, row, rng, number)
        row.rounds += 1
        await session.rest(rng)
    with trio.fail_after(session.timeout):
        # A message that comes twice would be taken for the answer to this one.
        await _exchange(ws, [GOODBYE])


async def _burst(ws: WebSocketConnection, row: Row, rng: random.Random, number: int) -> None:
    """Several messages at once, before any has come back: that is where order can be lost."""
    messages: list[str | bytes] = []
    for part in range(rng.randint(1, 4)):
        label = f"{row.client} {row.connections}.{number}.{part} "
        if rng.random() < 0.2:
            messages.append(label.encode() + rng.randbytes(rng.randint(0, LARGEST)))
        else:
            messages.append(label + "x" * rng.randint(0, 200))
    await _exchange(ws, messages)
    row.messages += len(messages)
    row.moved += 2 * sum(len(message) for message in messages)


async def _exchange(ws: WebSocketConnection, messages: list[str | bytes]) -> None:
    async with trio.open_nursery() as nursery:
        # Not one after the other: two sides that both only send fill each other's buffers, and wait for ever.
        nursery.start_soon(_send, ws, messages)
        for sent in messages:
            came = await ws.get_message()
            if came != sent:
                raise WrongError(
                    f"sent {_shown(sent)}, {_shown(came)} came back: lost, doubled, changed or out of order"
                )


async def _send(ws: WebSocketConnection, messages: list[str | bytes]) -> None:
    for message in messages:
        await ws.send_message(message)


def _shown(message: str | bytes) -> str:
    return f"{message[:30]!r}… ({len(message)})" if len(message) > 30 else repr(message)


class HandshakeWatch(trio.abc.Stream):
    """A stream that says so when it ends before the handshake has: trio-websocket would wait for ever."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.open = False
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See trio.abc.ReceiveStream. Raises WrongError where the handshake is cut short."""
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            if self.open:
                raise
            raise WrongError("reset before the WebSocket handshake was answered") from None
        if not data and not self.open:
            raise WrongError("closed before the WebSocket handshake was answered")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream. Raises WrongError where the handshake is cut short."""
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            if self.open:
                raise
            raise WrongError("reset before the WebSocket handshake was sent") from None

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """See trio.abc.AsyncResource."""
        await self._stream.aclose()
