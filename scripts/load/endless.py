"""A backend whose connections need never end: what `load.crowd` visits.

    FRONTDOOR_SOCKET=/tmp/endless.sock python -I -S scripts/load/endless.py --results FOLDER

`GET /healthz`, `GET /whoami` JSON {version, generation, pid}, `POST /mirror` the body, sent back while it comes, all
with `X-Served-By`. The others have a connection for themselves:

`/echo` is a WebSocket; before each message that it sends back stand eight bytes, its own count of them. `/pour` sends
noise until its client has finished, and then, in eight bytes, how much that was. `/drink` takes what comes, as slowly
as `?rate=` (bytes a second) says, and when that has ended says its length and hash. `/swallow?id=` has finished itself
before it does the same, so it writes them into a file of that name. `/drip` says one number after the other, a line
each, also to who has finished.

The standard library alone, so that it starts quickly.
"""

import argparse
import asyncio
import base64
import functools
import hashlib
import json
import os
import urllib.parse
from dataclasses import dataclass

VERSION, GENERATION = os.environ.get("FRONTDOOR_VERSION", "v0"), os.environ.get("FRONTDOOR_GENERATION", "0")
CHUNK = 65_536
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CLOSE = 0x88  # the first byte of a whole close frame
DRIP = 0.1  # seconds

PERIOD = 1_000_003  # of the noise: prime, so that no pipe's size is a multiple of it
_NOISE = hashlib.shake_128(b"frontdoor").digest(PERIOD)
_TWICE = _NOISE + _NOISE[:CHUNK]


def noise(start: int, count: int = CHUNK) -> bytes:
    """So many bytes, a CHUNK at most, of an endless noise that both sides know."""
    start %= PERIOD
    return _TWICE[start : start + count]


def message(first: int, data: bytes, *, masked: bool = False) -> bytes:
    """A frame. A client's has a mask, as it must, but its key is 0: masking changes nothing."""
    length, mask = len(data), bytes(4 * masked)
    if length < 126:
        return bytes((first, length | masked << 7)) + mask + data
    if length < 65_536:
        return bytes((first, 126 | masked << 7)) + length.to_bytes(2, "big") + mask + data
    return bytes((first, 127 | masked << 7)) + length.to_bytes(8, "big") + mask + data


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    path: str
    query: dict[str, str]
    fields: dict[str, str]


async def request(reader: asyncio.StreamReader) -> Request:
    """The next one. Raises IncompleteReadError when there is none."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    url = urllib.parse.urlsplit(start.split(" ")[1])
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(url.path, dict(urllib.parse.parse_qsl(url.query)), fields)


async def serve(results: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, to its end."""
    try:
        while True:
            await _answer(results, await request(reader), reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has left
    finally:
        writer.close()


async def _answer(results: str, asked: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match asked.path:
        case "/echo":
            await _echo(asked, reader, writer)
        case "/mirror":
            await _mirror(int(asked.fields["content-length"]), reader, writer)
        case "/pour":
            await _pour(reader, writer)
        case "/drink":
            writer.write(await _drink(reader, float(asked.query.get("rate", "inf"))))
            raise ConnectionAbortedError
        case "/swallow":
            writer.write(_head(None))
            writer.write_eof()
            drunk = await _drink(reader)
            _write(os.path.join(results, asked.query["id"]), drunk)
        case "/drip":
            await _drip(writer)
        case _:
            body = f'{{"version": "{VERSION}", "generation": {GENERATION}, "pid": {os.getpid()}}}'.encode()
            writer.write(_head(len(body)) + body)


def _head(length: int | None) -> bytes:
    """Of an answer with a body of that length; None: all until the end is the body."""
    framing = "Connection: close" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 200 OK\r\n{framing}\r\nX-Served-By: {VERSION}#{GENERATION}\r\n\r\n".encode()


async def _mirror(length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(length))
    while length:
        data = await _some(reader, min(length, CHUNK))
        writer.write(data)
        await writer.drain()
        length -= len(data)


async def _some(reader: asyncio.StreamReader, count: int) -> bytes:
    if data := await reader.read(count):
        return data
    raise ConnectionAbortedError


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(None))
    count = 0
    while not reader.at_eof():
        writer.write(noise(count))
        count += CHUNK
        await writer.drain()
        await asyncio.sleep(0)  # drain does not let others run while there is room
    writer.write(count.to_bytes(8, "big"))
    raise ConnectionAbortedError


async def _drink(reader: asyncio.StreamReader, rate: float = float("inf")) -> bytes:
    digest, length = hashlib.sha256(), 0
    while data := await reader.read(CHUNK):
        digest.update(data)
        length += len(data)
        await asyncio.sleep(len(data) / rate)
    return json.dumps({"length": length, "sha256": digest.hexdigest()}).encode()


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(None))
    count = 0
    while True:
        count += 1
        writer.write(b"%d\n" % count)
        await writer.drain()
        await asyncio.sleep(DRIP)


def _write(path: str, data: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


# -- WebSocket -------------------------------------------------------------------------------------------------------


async def _echo(asked: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    key = asked.fields["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}X-Served-By: {VERSION}#{GENERATION}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    count = 0
    while True:
        first, data = await _frame(reader)
        count += first != CLOSE
        writer.write(message(first, data if first == CLOSE else count.to_bytes(8, "big") + data))
        await writer.drain()
        if first == CLOSE:
            raise ConnectionAbortedError


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    length &= 0x7F
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    if any(mask):
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        data = (int.from_bytes(data, "big") ^ key).to_bytes(length, "big")
    return first, data


# -- the process -----------------------------------------------------------------------------------------------------


async def main() -> None:
    """Serve on the socket that frontdoor has named, until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", default=".", help="the folder for /swallow")
    results = parser.parse_args().results
    path = os.environ["FRONTDOOR_SOCKET"]
    server = await asyncio.start_unix_server(functools.partial(serve, results), path, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
