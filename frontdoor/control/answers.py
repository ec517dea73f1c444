"""What the control API answers with: one JSON object, or a stream of them, one a line, as things happen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .feed import Event

Opened = Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]]


def encode(value: Mapping[str, Any]) -> bytes:
    """Return `value` as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class Answer(Response):
    """One JSON object."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the object, with a newline for those who read it with curl."""
        return encode(content)


def refusal(error: str, exit_code: int, status: int, extra: Mapping[str, Any] | None = None) -> Answer:
    """Return the answer for what was not done: `error` says why in one sentence."""
    return Answer({"error": error, "exit_code": exit_code, **(extra or {})}, status)


class Lines(Response):
    """A stream of JSON objects, one a line, as they happen, until they end or the client has gone.

    `opened` is called for each answer once its head was sent; its context ends with the answer.
    """

    media_type = "application/x-ndjson"

    def __init__(self, opened: Opened, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={**(headers or {}), "cache-control": "no-store"})
        del self.headers["content-length"]  # of the empty body that Response began with
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and lines: a client that went away ends it wherever it waits."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = False

        async def watch() -> None:
            nonlocal gone
            # A body is not asked for here; reading it on is how the disconnect is seen behind it.
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            nursery.cancel_scope.cancel()

        if scope["method"] != "HEAD":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                async with self._opened() as lines:
                    async for line in lines:
                        await send({"type": "http.response.body", "body": encode(line), "more_body": True})
                nursery.cancel_scope.cancel()
        if not gone:
            await send({"type": "http.response.body", "body": b""})


class Result(Response):
    """An outcome that is certain at once, in the shape of those that are waited for: a stream of one line."""

    media_type = Lines.media_type

    def __init__(self, result: str, answer: Mapping[str, Any]) -> None:
        super().__init__(encode({"event": "result", "result": result, "exit_code": 0, **answer}))
