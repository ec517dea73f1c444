"""The dashboard: one page, its style, its scripts. A browser makes it of what ``GET /v1/live`` tells.

All of it is read when this module is imported: the files on disk may be those of another version by the time a browser
asks for them. There is no build step, and nothing comes from another host.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_PAGE = "index.html"


class File:
    """One file of the dashboard, as it is sent."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        """Its entity tag: another content has another one (RFC 9110, section 8.8.3)."""
        self.media_type = _TYPES[os.path.splitext(name)[1]]

    async def __call__(self, request: Request) -> Response:
        """Answer GET and HEAD. A browser asks each time whether what it has still holds; that takes few bytes."""
        headers = {"etag": self.tag, "cache-control": "no-cache"}
        if self.tag in (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


def _read() -> Iterator[tuple[str, File]]:
    folder = os.path.dirname(__file__)
    for name in sorted(os.listdir(folder)):
        if os.path.splitext(name)[1] in _TYPES:
            with open(os.path.join(folder, name), "rb") as file:
                yield name, File(name, file.read())


FILES: Mapping[str, File] = dict(_read())
"""Name → content."""


def routes() -> list[Route]:
    """Return what the control API answers with them: ``/`` and ``/dashboard/FILE``."""
    return [
        Route("/", FILES[_PAGE].__call__),
        *(Route(f"/dashboard/{name}", file.__call__) for name, file in FILES.items() if name != _PAGE),
    ]
