"""Pages: the answers of frontdoor's own, when there is no other."""

import html
import os
import re
import stat
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

STATUSES = (400, 408, 413, 414, 431, 501, 502, 503, 504, 505)
"""What frontdoor itself may answer with."""

LARGEST = 1 << 20
"""Bytes of a file: a page is held in memory, and sent in one piece."""

_NAME = re.compile(r"([1-9][0-9][0-9])\.html")
_PLACE = re.compile(rb"\{(status|reason|message|request_id)\}")


def load(folder: str) -> dict[int, bytes]:
    """The pages in a folder, ``502.html`` and so on. Raises OSError; ValueError, with the name of what is none."""
    pages: dict[int, bytes] = {}
    for name in sorted(os.listdir(folder)):
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        status = int(found[1])
        if status not in STATUSES:
            raise ValueError(f"{name}: frontdoor answers with none of these but {', '.join(map(str, STATUSES))}")
        # Not to wait for somebody who writes, if it is a FIFO.
        with open(
            os.path.join(folder, name), "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{name} is not a file")
            pages[status] = file.read(LARGEST + 1)
        if len(pages[status]) > LARGEST:
            raise ValueError(f"{name} is larger than {LARGEST >> 20} MiB")
        try:
            pages[status].decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None
    return pages


class Pages:
    """Of one door."""

    def __init__(self, own: Mapping[int, bytes] | None = None) -> None:
        """``own``: HTML by status, with ``{status}``, ``{reason}``, ``{message}`` and ``{request_id}`` in it."""
        self._own = own or {}
        self._date = (0, b"")

    def __repr__(self) -> str:
        return f"<Pages, {len(self._own)} of the user's own>"

    def page(
        self,
        status: int,
        message: str,
        *,
        request_id: str = "",
        head: bool = False,
        close: bool,
        retry_after: int | None = None,
    ) -> bytes:
        """A whole answer. ``head``: to a HEAD; ``retry_after``: seconds (RFC 9110 §10.2.3)."""
        reason = HTTPStatus(status).phrase
        own = self._own.get(status)
        if own is None:
            kind, body = b"text/plain", _plain(status, reason, message, request_id)
        else:
            kind = b"text/html"
            values = {"status": str(status), "reason": reason, "message": message, "request_id": request_id}
            body = _PLACE.sub(lambda found: html.escape(values[found[1].decode()]).encode(errors="replace"), own)
        lines = [
            b"HTTP/1.1 %d %b" % (status, reason.encode()),
            b"Date: " + self._now(),
            b"Content-Type: %b; charset=utf-8" % kind,
            b"Content-Length: %d" % len(body),
            b"Cache-Control: no-store",
            # What is wrong with a request is said in its own words, and is not to be taken for HTML.
            b"X-Content-Type-Options: nosniff",
        ]
        if retry_after is not None:
            lines.append(b"Retry-After: %d" % retry_after)
        if close:
            lines.append(b"Connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head else body)

    def _now(self) -> bytes:
        second = int(time.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


def _plain(status: int, reason: str, message: str, request_id: str) -> bytes:
    said = f"{status} {reason}\n\n{message}\n"
    if request_id:
        said += f"\nrequest {request_id}\n"
    return said.encode(errors="replace")
