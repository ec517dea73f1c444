"""What the control API answers with: one JSON object, or a stream of them, one a line, as things happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .feed import Event, Said, to_json
from .turns import Turns

CHUNK = 16 * 1024  # bytes of lines that are sent together, or one line more: some 80 events


class Source(Protocol):
    """Lines as they come: what a feed or an operation is followed by."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Wait for each."""

    def waiting(self) -> Event | None:
        """Return the next one if it is there already."""


Opened = Callable[[], AbstractAsyncContextManager[Source]]


def encode(value: Mapping[str, Any]) -> bytes:
    """Return `value` as one line of JSON; what was said to many is encoded once for all of them."""
    return value.line if isinstance(value, Said) else to_json(value) + b"\n"


class Answer(Response):
    """One JSON object."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the object, with a newline for those who read it with curl."""
        return encode(content)


def refusal(error: str, exit_code: int, status: int, extra: Mapping[str, Any] | None = None) -> Answer:
    """Return the answer for what was not done: `error` says why in one sentence."""
    return Answer({"error": error, "exit_code": exit_code, **(extra or {})}, status)


class Listing(Response):
    """One JSON object that is one long list, ``{"streams": […]}``, made and sent in slices: others run between them."""

    media_type = "application/json"

    def __init__(self, parts: list[bytes], turns: Turns) -> None:
        super().__init__(headers={"content-length": str(sum(map(len, parts)))})
        self._parts = parts
        self._turns = turns

    @classmethod
    async def of(cls, name: str, slices: Iterable[list[dict[str, Any]]], turns: Turns) -> Listing:
        """Take one slice in each turn, and encode it.

        All of it is made before the first byte is sent: so its length is known, and a mistake in it is an answer of its
        own, as with every other answer.
        """
        parts, between = [b'{"%s": [' % name.encode()], b""
        for items in slices:
            if items:
                parts.append(between + to_json(items)[1:-1])
                between = b", "
            await turns.take()
        return cls([*parts, b"]}\n"], turns)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts, each in a turn."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for part in self._parts:
            await self._turns.take()
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Lines(Response):
    """A stream of JSON objects, one a line, as they happen, until they end or the client has gone.

    `opened` is called for each answer, first of all: nobody comes in between who is let in, and who counts as there.
    Its context ends with the answer. Each chunk of lines is encoded and sent in one of the `turns`: one event wakes all
    who follow.
    """

    media_type = "application/x-ndjson"

    def __init__(self, opened: Opened, turns: Turns, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={**(headers or {}), "cache-control": "no-store"})
        del self.headers["content-length"]  # of the empty body that Response began with
        self._opened = opened
        self._turns = turns

    def encode(self, value: Event) -> bytes:
        """Return one of the objects, as it is sent."""
        return encode(value)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and lines: a client that went away ends it wherever it waits."""
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(head)
            await send({"type": "http.response.body", "body": b""})
            return
        gone = False

        async def watch() -> None:
            nonlocal gone
            # A body is not asked for here; reading it on is how the disconnect is seen behind it.
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            nursery.cancel_scope.cancel()

        async with self._opened() as lines:
            await send(head)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                async for line in lines:
                    await self._turns.take()
                    await send({"type": "http.response.body", "body": self._chunk(line, lines), "more_body": True})
                nursery.cancel_scope.cancel()
        if not gone:
            await send({"type": "http.response.body", "body": b""})

    def _chunk(self, first: Event, lines: Source) -> bytes:
        """Return `first`, and what waits behind it: one chunk costs as much as some thirty lines in it."""
        encoded = [self.encode(first)]
        size = len(encoded[0])
        while size < CHUNK and (line := lines.waiting()) is not None:
            encoded.append(self.encode(line))
            size += len(encoded[-1])
        return b"".join(encoded)


class ServerSent(Lines):
    """The same for a browser's EventSource: server-sent events (HTML Living Standard, section 9.2)."""

    media_type = "text/event-stream"

    def encode(self, value: Event) -> bytes:
        """Return one event: an object has no line break in it, and so is one line of data."""
        return b"data: " + encode(value) + b"\n"


class Result(Response):
    """An outcome that is certain at once, in the shape of those that are waited for: a stream of one line."""

    media_type = Lines.media_type

    def __init__(self, result: str, answer: Mapping[str, Any]) -> None:
        super().__init__(encode({"event": "result", "result": result, "exit_code": 0, **answer}))
