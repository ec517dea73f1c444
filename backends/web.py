"""A web app to put behind frontdoor: plain ASGI, so that any ASGI server can run it.

    command = ["{python}", "backends/web.py"]                         # uvicorn, started from here
    command = ["gunicorn", "--chdir", "backends", "-k", "asgi", "-b", "unix:{socket}", "web:app"]
    command = ["hypercorn", "-b", "unix:{socket}", "backends/web.py:app"]

Routes: `/` and `/whoami` who answers; `/healthz`; `/slow?seconds=2`; `/stream?chunks=20&interval=0.1&size=1024`,
whose last line is the SHA-256 of everything before it; POST `/upload`, answered with the body's length and SHA-256;
`/echo` and `/ws`, a WebSocket that says who it is and then sends back what it gets. Every answer says which generation
gave it (`X-Served-By`).

POST `/drain?key=...`, where that is $DRAIN_KEY, asks the clients of all WebSockets to come back (close code 1012):

    [backends."*"]
    env = { DRAIN_KEY = "3f1d8a" }

    [drain]
    notify = "http:/drain?key=3f1d8a"

The key is there because this path is as public as all others: without one, anybody could send everybody away. Of a
server with several workers only the one that takes the request is told; give it one, and frontdoor several `processes`.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import math
import os
import sys
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

VERSION = os.environ.get("FRONTDOOR_VERSION", "v0")
GENERATION = int(os.environ.get("FRONTDOOR_GENERATION") or 0)
# Above what the longest client pause is likely to be: a server that closes first races with the next request.
KEEP_ALIVE = 75
DRAIN_KEY = os.environ.get("DRAIN_KEY", "")
SPREAD = 1.0  # seconds over which the clients are asked to come back
SERVICE_RESTART = 1012  # WebSocket close code (IANA registry): come back, you will meet another process

_open: dict[Send, None] = {}  # the WebSockets, each by its `send`, the oldest first
_goodbyes: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it has ended


def whoami() -> dict[str, object]:
    """Which generation of which version answers, and in which process (the pid is a worker's: ask late)."""
    return {"version": VERSION, "generation": GENERATION, "pid": os.getpid()}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one connection's request, WebSocket, or the server's start and stop (ASGI 3)."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        await request(scope, receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    """Nothing to set up, nothing to take down."""
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


async def request(scope: Scope, receive: Receive, send: Send) -> None:
    """One HTTP request."""
    query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
    if scope["path"] == "/":
        text = f"{VERSION}#{GENERATION}, pid {os.getpid()}\n"
        await answer(send, 200, "text/plain; charset=utf-8", text.encode())
    elif scope["path"] == "/whoami":
        await answer_json(send, 200, whoami())
    elif scope["path"] == "/healthz":
        await answer(send, 200, "text/plain", b"ok\n")
    elif scope["path"] == "/slow":
        await asyncio.sleep(number(query, "seconds", 2, most=300))
        await answer_json(send, 200, whoami())
    elif scope["path"] == "/stream":
        await stream(query, send)
    elif scope["path"] == "/upload" and scope["method"] == "POST":
        await upload(receive, send)
    elif scope["path"] == "/drain" and scope["method"] == "POST" and is_key(query.get("key", "")):
        await drain(receive, send)
    else:
        await answer_json(send, 404, {"error": "no such route", "see": "/ /whoami /healthz /slow /stream /upload"})


def number(query: dict[str, str], key: str, default: float, *, most: float) -> float:
    """A number of the query, between 0 and `most`; the default where there is none."""
    try:
        value = float(query.get(key, default))
    except ValueError:
        return default
    return min(max(value, 0), most) if math.isfinite(value) else default


def head(status: int, kind: str, length: int | None = None) -> dict[str, Any]:
    """The head of an answer; without a length the server frames the body itself."""
    headers = [(b"content-type", kind.encode()), (b"x-served-by", f"{VERSION}#{GENERATION}".encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


async def answer(send: Send, status: int, kind: str, body: bytes) -> None:
    """A whole answer."""
    await send(head(status, kind, len(body)))
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, status: int, value: object) -> None:
    """A whole answer, in JSON."""
    await answer(send, status, "application/json", json.dumps(value).encode() + b"\n")


async def stream(query: dict[str, str], send: Send) -> None:
    """Chunk by chunk, with pauses; the last line is the SHA-256 of all before it."""
    chunks, size = int(number(query, "chunks", 20, most=100_000)), int(number(query, "size", 1024, most=1 << 20))
    interval = number(query, "interval", 0.1, most=60)
    digest = hashlib.sha256()
    await send(head(200, "application/octet-stream"))
    for chunk in range(chunks):
        body = hashlib.sha256(str(chunk).encode()).digest() * (size // 32 + 1)
        digest.update(body[:size])
        await send({"type": "http.response.body", "body": body[:size], "more_body": True})
        await asyncio.sleep(interval)
    await send({"type": "http.response.body", "body": f"\nsha256 {digest.hexdigest()}\n".encode()})


async def upload(receive: Receive, send: Send) -> None:
    """Read a body of any length without keeping it, and say what came."""
    digest, length, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event.get("body", b""))
        length += len(event.get("body", b""))
        more = event.get("more_body", False)
    await answer_json(send, 200, {"length": length, "sha256": digest.hexdigest()})


def is_key(given: str) -> bool:
    """Whether it is the key to `/drain`; without one in the environment nothing is."""
    return bool(DRAIN_KEY) and hmac.compare_digest(given.encode(), DRAIN_KEY.encode())


async def drain(receive: Receive, send: Send) -> None:
    """Say how many clients are asked to come back, and then ask them, one after the other."""
    while (await receive()).get("more_body", False):
        pass  # answered before the request's body has come, the server closes, and who still sends it sees a failure
    asked = list(_open)
    task = asyncio.create_task(send_back(asked))
    _goodbyes.add(task)
    task.add_done_callback(_goodbyes.discard)
    await answer_json(send, 200, {"asked": len(asked)})


async def send_back(asked: list[Send]) -> None:
    """Close these WebSockets, evenly over SPREAD seconds."""
    for websocket in asked:
        if websocket in _open:
            del _open[websocket]
            with contextlib.suppress(OSError, RuntimeError):  # the client has just left
                await websocket({"type": "websocket.close", "code": SERVICE_RESTART, "reason": "service restart"})
        await asyncio.sleep(SPREAD / len(asked))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket: first who answers, then every message back as it came."""
    await receive()  # websocket.connect
    if scope["path"] not in ("/ws", "/echo"):
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(whoami())})
    _open[send] = None
    try:
        while (event := await receive())["type"] == "websocket.receive" and send in _open:
            if event.get("text") is not None:
                await send({"type": "websocket.send", "text": event["text"]})
            else:
                await send({"type": "websocket.send", "bytes": event["bytes"]})
    finally:
        _open.pop(send, None)


def main() -> None:
    """Run uvicorn on the Unix socket that frontdoor wants."""
    import uvicorn  # only here: other servers import `app` and bring themselves

    path = os.environ.get("FRONTDOOR_SOCKET")
    if not path:
        sys.exit("web: where to listen? Let frontdoor start this, or set FRONTDOOR_SOCKET to a path")
    uvicorn.run(app, uds=path, timeout_keep_alive=KEEP_ALIVE, log_level="warning")


if __name__ == "__main__":
    main()
