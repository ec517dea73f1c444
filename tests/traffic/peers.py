"""The two ends of a stream, in the test's hands, and what a test wants of them."""

import contextlib
import errno
import os
import random
import socket
import struct
import time
from collections.abc import Callable

import trio
import trio.testing

BLOB = random.Random(20221122).randbytes(1 << 20)
"""Bytes of which no two pages are the same: one lost, doubled or out of order shows."""

Peer = trio.SocketStream


def data(count: int, start: int = 0) -> bytes:
    """``count`` bytes of the endless repetition of BLOB, from ``start`` on."""
    first = start % len(BLOB)
    return (BLOB * (1 + (first + count) // len(BLOB)))[first : first + count]


async def receive(peer: Peer, count: int) -> bytes:
    """Exactly so many bytes; fewer if the end comes before."""
    got = bytearray()
    while len(got) < count:
        piece = await peer.receive_some(count - len(got))
        if not piece:
            break
        got += piece
    return bytes(got)


async def rest(peer: Peer) -> bytes:
    """All that comes, up to the end."""
    got = bytearray()
    while piece := await peer.receive_some(1 << 16):
        got += piece
    return bytes(got)


async def pass_on(sender: Peer, receiver: Peer, count: int, start: int = 0) -> None:
    """Bytes from one end of a stream to the other, more than the way between holds, all compared."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send_all, data(count, start))
        assert await receive(receiver, count) == data(count, start)


def reset(peer: Peer) -> None:
    """Close with RST: what a crashed client's machine, or an impatient browser, sends."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for an event that nobody announces."""
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.001)


async def quiet() -> None:
    """Wait until nobody has anything to do: what was sent has gone as far as it can."""
    await trio.testing.wait_all_tasks_blocked(0.001)


async def cpu(seconds: float) -> float:
    """The share of one core that this process takes while nobody does anything."""
    before = time.process_time()
    await trio.sleep(seconds)
    return (time.process_time() - before) / seconds


async def fill_up(peer: Peer) -> int:
    """Send BLOB over and over until nothing on the whole way to the other end takes any more."""
    sent = 0
    while True:
        await quiet()
        start = sent % len(BLOB)
        try:
            sent += os.write(peer.socket.fileno(), BLOB[start : start + (1 << 16)])
        except BlockingIOError:
            return sent


async def echo(peer: Peer) -> None:
    """Send back what comes, until the end."""
    with contextlib.suppress(trio.BrokenResourceError):
        async with peer:
            while piece := await peer.receive_some(1 << 16):
                await peer.send_all(piece)
            await peer.send_eof()


def is_reset(error: BaseException) -> bool:
    """Whether a peer saw RST, and not an orderly end."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.ECONNRESET
