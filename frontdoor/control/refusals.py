"""What becomes of a request that is not answered as asked: always JSON, with ``error`` and ``exit_code``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .answers import refusal
from .operator import FAILED, NOT_FOUND, USAGE, Refused

# What a person finds who looks for what comes later.
_NOT_BUILT = {
    "/": "the dashboard is not built yet; GET /v1/status has the whole state",
}


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


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    HTTPException: _http_error,
    Exception: _mistake,
}
"""By what was raised; Starlette takes the nearest."""
