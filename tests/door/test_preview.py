"""Streams and pipes that are made ready while another process relays them: the kernel's parts are real."""

from __future__ import annotations

import errno
import gc
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from frontdoor.door.preview import Preview
from frontdoor.keeper.link import Kept, Link, Refused
from frontdoor.policy.generation import Generation, Happening, Seat
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.words import Words

NEVER = float("inf")
NOTE = json.dumps(["main", 1, 0, ["::1", 5, 0, 0], 1.0, 0])
"""As ``traffic.entries`` writes it."""


class Keeper:
    """Shows these messages, and then says that it was all, or why not."""

    def __init__(self, *messages: Kept | Refused) -> None:
        self._messages = list(messages)

    async def preview(self, prefixes: tuple[str, ...]) -> Kept:
        assert set(prefixes) == {"stream/", "pipe/"}
        message = self._messages.pop(0) if self._messages else {}
        if isinstance(message, Refused):
            raise message
        return message


class Old:
    """The relay of the process that still serves, with a stream of a client; the keeper has copies."""

    def __init__(self) -> None:
        self.relay = Relay(lambda streams, pipes: True, Words.create())
        switchboard = Switchboard()
        generation = Generation("v1", 1, 0.0)
        self.seat = Seat(generation, 0, "", up=True)
        generation.seats.append(self.seat)
        generation.happen(Happening.PROVED_READY, 0.0)
        switchboard.switch(generation, 1.0)
        self.gate = Gate("main", switchboard, Ledger(), Limits(100, NEVER, NEVER, NEVER, NEVER))
        self.gate.ledger.accept()
        assert switchboard.lease() is self.seat
        self.client, theirs = socket.socketpair()
        self.app, ours = socket.socketpair()
        for sock in (self.client, self.app):
            sock.settimeout(5)
        for sock in (theirs, ours):
            sock.setblocking(False)
        self.copies = [os.dup(theirs.fileno()), os.dup(ours.fileno())]
        self.stream = self.relay.join(self.gate, self.seat, "", theirs.detach(), ours.detach())
        self.stream.kept = True

    def shown(self) -> Kept:
        """As the keeper hands it out."""
        return {f"stream/{self.stream.number}": (NOTE, [os.dup(fd) for fd in self.copies])}

    def relays(self) -> None:
        self.client.sendall(b"ping")
        self.relay.turn(1)
        assert self.app.recv(100) == b"ping"
        self.app.sendall(b"pong")
        self.relay.turn(1)
        assert self.client.recv(100) == b"pong"


@pytest.fixture
def old() -> Iterator[Old]:
    old = Old()
    yield old
    old.client.close()
    old.app.close()
    for fd in old.copies:
        os.close(fd)


@pytest.fixture
def preview() -> Preview:
    return Preview(Relay(lambda streams, pipes: True))


def descriptors() -> int:
    gc.collect()  # relays of earlier tests
    return len(os.listdir("/proc/self/fd"))


async def look(preview: Preview, *messages: Kept | Refused) -> None:
    await preview.look(cast(Link, Keeper(*messages)))


async def test_nobody_notices_that_somebody_looks(old: Old, preview: Preview) -> None:
    await look(preview, old.shown())
    assert preview.holds
    old.relays()
    old.client.close()
    old.relay.turn(1)
    assert old.app.recv(100) == b"", "an end is passed on, though another process has copies"
    assert len(preview.relay) == 0
    assert preview.relay.words.last_stream == 0, "nothing is written down"


async def test_what_was_looked_at_goes_on_where_the_old_one_has_stopped(old: Old, preview: Preview) -> None:
    await look(preview, old.shown())
    old.relays()
    old.client.sendall(b"said in between")
    survivor = preview.streams["stream/1"]
    stream = survivor.expect(preview.relay)
    preview.relay.adopt(stream, old.gate, old.seat, (4, 4), {})
    preview.relay.turn(1)
    assert old.app.recv(100) == b"said in between"
    assert (stream.number, stream.client, stream.up.moved) == (1, ("::1", 5, 0, 0), 19)
    assert list(preview.relay.streams) == [stream]


async def test_what_has_gone_is_forgotten_and_costs_nobody_anything(old: Old, preview: Preview) -> None:
    before = descriptors()
    await look(preview, old.shown(), {"pipe/3": (None, list(os.pipe()))})
    assert descriptors() == before + 4
    preview.forget(["stream/1", "pipe/3", "stream/77"])
    assert descriptors() == before
    assert not preview.streams
    assert not preview.pipes
    old.relays()
    read, write = os.pipe()  # they have the numbers of those that are forgotten
    preview.relay.turn(0)
    os.write(write, b"x")
    preview.relay.turn(0)
    assert os.read(read, 1) == b"x", "and nobody watches them"
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, None])
async def test_what_cannot_be_had_whole_is_not_had_at_all(old: Old, preview: Preview, number: int | None) -> None:
    before = descriptors()
    await look(preview, old.shown(), {"stream/x": (None, [])}, Refused(number, "no"))
    assert not preview.holds
    assert (preview.streams, preview.pipes, list(preview.garbage)) == ({}, {}, [])
    assert descriptors() == before
    old.relays()


@pytest.mark.parametrize(
    ("key", "note", "fds"),
    [
        ("stream/x", NOTE, 2),
        ("stream/9", None, 2),
        ("stream/9", NOTE.replace("1.0", '"yesterday"'), 2),
        ("stream/9", NOTE, 1),
        ("pipe/4096", None, 2),
        ("pipe/1", None, 1),
    ],
)
async def test_garbage_is_closed_and_said(preview: Preview, key: str, note: Any, fds: int) -> None:
    before = descriptors()
    await look(preview, {key: (note, [os.open(os.devnull, os.O_RDWR) for _ in range(fds)])})
    assert (list(preview.garbage), descriptors()) == ([key], before)
    preview.forget([key])
    assert not list(preview.garbage), "it is something else by now"


async def test_what_cannot_be_watched_is_said_when_it_is_to_go_on(preview: Preview) -> None:
    await look(preview, {"stream/9": (NOTE, [os.open("/etc/passwd", os.O_RDONLY) for _ in range(2)])})
    survivor = preview.streams["stream/9"]
    with pytest.raises(OSError, match="not permitted"):
        survivor.expect(preview.relay)
    before = descriptors()
    preview.forget(["stream/9"])
    assert descriptors() == before - 2
