"""The control API: the contract's calls, as a Starlette application over an :class:`Operator`.

Every answer is JSON: one object, or for what takes time one object a line (NDJSON), of which the last has
``result`` and ``exit_code``. Whatever is refused is one object with ``error`` and ``exit_code``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .asked import Fields, query, read_json
from .events import HISTORY, Event, Follower
from .operation import MILESTONES, Operation
from .operator import FAILED, NOT_FOUND, USAGE, Operator, Refused

MAX_FOLLOWERS = 128  # half of the connections: whoever follows cannot keep out whoever asks
UNAVAILABLE = 503

# What a person finds who looks for what comes later.
_NOT_BUILT = {
    "/": "the dashboard is not built yet; GET /v1/status has the whole state",
    "/metrics": "metrics are not built yet; GET /v1/status has the counters",
}


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

    def __init__(
        self,
        opened: Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
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


class Calls:
    """The calls, each a method that takes a request: checks what is asked, asks the operator, answers."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._followers = 0

    async def status(self, request: Request) -> Response:
        """GET /v1/status: the whole state."""
        query(request, ())
        return Answer(self._operator.status())

    async def streams(self, request: Request) -> Response:
        """GET /v1/streams?door=NAME&version=VERSION: the open streams, the oldest first."""
        asked = query(request, ("door", "version"))
        door = asked.get("door")
        return Answer({"streams": self._operator.streams(door and self._door(door), asked.get("version") or None)})

    async def events(self, request: Request) -> Response:
        """GET /v1/events?history=N&follow=1: the last N events, then all that come, unless follow=0."""
        asked = query(request, ("history", "follow"))
        history = asked.get("history", "0")
        if not (history.isascii() and history.isdecimal()):
            raise Refused(USAGE, f"history is a number of events, not {history!r}")
        if (follow := asked.get("follow", "1")) not in ("0", "1"):
            raise Refused(USAGE, f"follow is 0 or 1, not {follow!r}")
        count = min(int(history), HISTORY) if len(history) < 9 else HISTORY
        bus = self._operator.bus
        if follow == "1":
            return self._lines(lambda: bus.follow(count))
        past = Follower(bus.history(count), HISTORY)
        past.close()
        return self._lines(lambda: nullcontext(past))

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 while every door has an active, ready generation."""
        if self._operator.healthy():
            return Answer({"healthy": True})
        error = "frontdoor starts or stops, or a door has no process that is up; frontdoor status shows which"
        return refusal(error, FAILED, UNAVAILABLE, {"healthy": False})

    async def swap(self, request: Request) -> Response:
        """POST /v1/doors/NAME/swap: start it, and show it until the milestone ``wait``."""
        fields = Fields(await read_json(request), ("version", "wait"))
        door = self._door(request.path_params["door"])
        version, wait = fields.text("version"), fields.choice("wait", MILESTONES, "baked")
        # Before it begins: a client that cannot be told the outcome must not cause one.
        self._check_followers()
        return self._operation(self._operator.swap(door, version), wait)

    async def abort(self, request: Request) -> Response:
        """POST /v1/doors/NAME/abort: end a swap before its switch, and show what became of it."""
        fields = Fields(await read_json(request), ("swap",))
        door, swap = self._door(request.path_params["door"]), fields.number("swap", whole=True)
        return self._operation(self._operator.abort(door, int(swap)), "switched")

    async def follow_swap(self, request: Request) -> Response:
        """GET /v1/doors/NAME/swaps/N?wait=baked: a swap from its beginning, under way or done."""
        wait = query(request, ("wait",)).get("wait", "baked")
        if wait not in MILESTONES:
            raise Refused(USAGE, f"wait is one of {', '.join(MILESTONES)}, not {wait!r}")
        door = self._door(request.path_params["door"])
        return self._operation(self._operator.operation(door, request.path_params["number"]), wait)

    async def drain(self, request: Request) -> Response:
        """POST /v1/doors/NAME/drain: close a draining generation's streams, now or over so many seconds."""
        fields = Fields(await read_json(request), ("version", "over"))
        door = self._door(request.path_params["door"])
        over = fields.number("over")
        answer = self._operator.drain(door, fields.text("version"), over=over)
        return self._result("closing" if over else "closed", answer)

    async def stop(self, request: Request) -> Response:
        """POST /v1/stop: begin the graceful stop, or with ``now`` the one that cuts every stream."""
        fields = Fields(await read_json(request, empty_is={}), ("now",))
        now = fields.flag("now", default=False)
        pid = self._operator.status().get("pid")
        self._operator.stop(now=now)
        return self._result("stopping", {"pid": pid, "now": now})

    def _door(self, name: str) -> str:
        """Return the door that `name` means: ``-`` is the only one. Raises Refused, with all their names."""
        doors = list(self._operator.doors)
        if name in doors:
            return name
        named = {"doors": doors}
        if name != "-":
            raise Refused(
                USAGE, f"there is no door {name!r}; there is {', '.join(doors)}", status=NOT_FOUND, extra=named
            )
        if len(doors) != 1:
            raise Refused(USAGE, f"there are several doors: say which with --door: {', '.join(doors)}", extra=named)
        return doors[0]

    def _check_followers(self) -> None:
        if self._followers >= MAX_FOLLOWERS:
            raise Refused(
                FAILED,
                f"{MAX_FOLLOWERS} clients follow already; end one, or try again later",
                status=UNAVAILABLE,
            )

    def _lines(
        self,
        opened: Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]],
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        self._check_followers()
        return Lines(lambda: self._counted(opened()), headers)

    @asynccontextmanager
    async def _counted(
        self, source: AbstractAsyncContextManager[AsyncIterator[Event]]
    ) -> AsyncIterator[AsyncIterator[Event]]:
        self._followers += 1
        try:
            async with source as lines:
                yield lines
        finally:
            self._followers -= 1

    def _operation(self, operation: Operation, wait: str) -> Response:
        # The number is in the head: a client whose connection breaks at once can still ask for the outcome.
        headers = {"frontdoor-swap": str(operation.number)}
        return self._lines(lambda: nullcontext(operation.follow(wait)), headers)

    def _result(self, result: str, answer: Mapping[str, Any]) -> Response:
        """Return an outcome that is certain at once, in the shape of those that are waited for."""
        return Response(
            encode({"event": "result", "result": result, "exit_code": 0, **answer}),
            media_type=Lines.media_type,
        )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error.message, error.exit_code, error.status, error.extra)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    known = "this API's calls begin with /v1: see GET /v1/status"
    messages = {
        NOT_FOUND: _NOT_BUILT.get(path, f"there is nothing at {path}; {known}"),
        405: f"{request.method} is not what {path} takes",
    }
    answer = refusal(messages.get(error.status_code, error.detail), USAGE, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _mistake(request: Request, error: Exception) -> Response:
    text = "frontdoor made a mistake in answering this; what was serving still serves; its log has the details"
    return refusal(text, FAILED, 500)


def app(operator: Operator) -> Starlette:
    """Return the ASGI application for `operator`."""
    calls = Calls(operator)
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        Refused: _refused,
        HTTPException: _http_error,
        Exception: _mistake,
    }
    routes = [
        Route("/v1/status", calls.status),
        Route("/v1/streams", calls.streams),
        Route("/v1/events", calls.events),
        Route("/healthz", calls.healthz),
        Route("/v1/doors/{door}/swap", calls.swap, methods=["POST"]),
        Route("/v1/doors/{door}/abort", calls.abort, methods=["POST"]),
        Route("/v1/doors/{door}/swaps/{number:int}", calls.follow_swap),
        Route("/v1/doors/{door}/drain", calls.drain, methods=["POST"]),
        Route("/v1/stop", calls.stop, methods=["POST"]),
    ]
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    # "/v1/status/" is a 404 in JSON like any other path, not an empty redirect.
    starlette.router.redirect_slashes = False
    return starlette
