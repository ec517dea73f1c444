"""Large bodies in both directions, at one side that is slow: every byte, and no more memory than a few buffers."""

import hashlib
import threading
import time
from collections.abc import Iterator

import pytest

from apps.raw_http import PERIOD, noise
from e2e.harness import Frontdoor
from e2e.shared import Shared
from e2e.test_http_time_limits import resident
from e2e.wire import OK, Wire, get, http_door, request, say

SIZE = 64 << 20
"""Bytes. Far more than what all buffers on the way take, and more than a process may grow by."""
GROWS = 4 << 20
"""Bytes that frontdoor may grow by meanwhile."""
CHUNK = 1 << 20
SIZED = OK + b"Content-Length: %d\r\n\r\n" % SIZE
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    """All these tests share it."""
    yield shared.anew(**http_door())
    shared.leave()


class Growth:
    """By how much memory a process has grown, at the most."""

    def __init__(self, door: Frontdoor) -> None:
        self._pid = door.status()["door_pid"]
        self._first = resident(self._pid)
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, resident(self._pid) - self._first)


def send(wire: Wire, framing: str, size: int = SIZE) -> None:
    """The body of a request."""
    for start in range(0, size, CHUNK):
        part = noise(start, CHUNK)
        wire.say(part if framing == "sized" else b"%x\r\n%b\r\n" % (CHUNK, part))
    if framing == "chunked":
        wire.say(b"0\r\n\r\n")


def sha256(length: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, length, PERIOD):
        digest.update(noise(0, min(PERIOD, length - start)))
    return digest.hexdigest()


@pytest.mark.parametrize("framing", ["sized", "chunked", "until close"])
def test_an_answer_for_a_client_who_reads_slowly(door: Frontdoor, framing: str) -> None:
    growth = Growth(door)
    steps = {
        "sized": (say(SIZED), f"fill={SIZE}"),
        "chunked": (say(CHUNKED + b"%x\r\n" % SIZE), f"fill={SIZE}", say(b"\r\n0\r\nX-Sum: 1\r\n\r\n")),
        "until close": (say(OK + b"\r\n"), f"fill={SIZE}", "close"),
    }
    with Wire(door.address, small_buffers=True) as wire:
        wire.say(get(*steps[framing]))
        wire.head()
        if framing == "chunked":
            assert wire.some(9) == b"4000000\r\n"
        digest, came = hashlib.sha256(), 0
        for _ in range(20):
            part = wire.some(50_000)  # slowly at first
            digest.update(part)
            came += len(part)
            growth.look()
            time.sleep(0.01)
        while came < SIZE:
            part = wire.some(min(CHUNK, SIZE - came))
            digest.update(part)
            came += len(part)
        growth.look()
        assert digest.hexdigest() == sha256(SIZE)
        if framing == "chunked":
            assert wire.some(17) == b"\r\n0\r\nX-Sum: 1\r\n\r\n"
        if framing == "until close":
            assert wire.rest() == (b"", "closed")
        else:
            assert wire.ask(get()).body == b"v1#1\n"
    print(f"{framing}: grew by {growth.most / 1024:.0f} KiB at the most")
    assert growth.most < GROWS


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_request_for_a_backend_that_reads_slowly(door: Frontdoor, framing: str) -> None:
    growth = Growth(door)
    size = SIZE if framing == "sized" else SIZE // 4  # the backend keeps what comes in chunks
    length = b"Content-Length: %d\r\n" % size if framing == "sized" else b"Transfer-Encoding: chunked\r\n"
    steps = (f"wait=reads-{framing}", "digest")
    with Wire(door.address) as wire:
        wire.say(request("POST", *steps, fields=length))
        sent = threading.Thread(target=send, args=(wire, framing, size))
        sent.start()
        before = moved = -1
        while before != moved or moved < CHUNK // 16:  # until it stands still, for nobody takes it
            before, moved = moved, door.generation("v1#1")["bytes"]["up"]
            growth.look()
            time.sleep(0.1)
        assert sent.is_alive(), "the client waits for the backend"
        door.touch(f"reads-{framing}")
        while sent.is_alive():
            growth.look()
            sent.join(0.01)
        told = wire.answer().json
        assert (told["length"], told["sha256"]) == (size, sha256(size))
        assert wire.ask(get()).body == b"v1#1\n"
    print(f"{framing}: grew by {growth.most / 1024:.0f} KiB at the most")
    assert growth.most < GROWS


def test_both_at_once(door: Frontdoor) -> None:
    """A backend that answers while it is asked: what comes back has to be read while the rest is sent."""
    answer = (say(SIZED), f"fill={SIZE}", "drain")
    with Wire(door.address) as wire:
        wire.say(request("POST", *answer, fields=b"Content-Length: %d\r\n" % SIZE))
        wire.head()
        sent = threading.Thread(target=send, args=(wire, "sized"))
        sent.start()
        digest = hashlib.sha256()
        for _ in range(SIZE // CHUNK):
            digest.update(wire.some(CHUNK))
        assert digest.hexdigest() == sha256(SIZE)
        sent.join()


def test_many_large_bodies_at_once(door: Frontdoor) -> None:
    """More of them than there are pipes for what is moved without being looked at."""
    count, size = 80, 1 << 20
    length = OK + b"Content-Length: %d\r\n\r\n" % size
    wires = [Wire(door.address) for _ in range(count)]
    try:
        for wire in wires:
            wire.say(get(say(length), f"fill={size}"))
        for wire in reversed(wires):  # all are under way at once, for the first asked is the last to be read
            assert wire.answer().body == noise(0, size)
    finally:
        for wire in wires:
            wire.close()
