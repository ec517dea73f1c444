"""What many ask for, and what is long, is answered bit by bit: the clients' bytes are moved in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import trio
import trio.testing

from control.fakedoor import FakeDoor, get, until
from control.passes import Passes, counted
from frontdoor.control import answers, feed
from frontdoor.control.answers import CHUNK, Lines, Listing
from frontdoor.control.feed import Event, Feed
from frontdoor.control.turns import Turns

SCOPE = {"type": "http", "method": "GET"}


class Client:
    """Takes what an answer sends: each chunk of the body, and the pass in which it came."""

    def __init__(self, passes: Passes | None = None) -> None:
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.passes: list[int] = []
        self._passes = passes

    async def receive(self) -> Any:
        await trio.sleep_forever()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["body"]:
            self.chunks.append(message["body"])
            self.passes.append(self._passes.number if self._passes else 0)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in b"".join(self.chunks).splitlines()]


def stream(number: int) -> dict[str, Any]:
    return {"id": number, "generation": "v1#1", "client": "127.0.0.1:50000", "bytes": {"up": 1, "down": 2}}


async def test_a_long_list_is_made_and_sent_in_slices() -> None:
    made: list[int] = []

    def slices() -> Iterator[list[dict[str, Any]]]:
        for start in range(0, 9000, 100):
            made.append(passes.number)
            yield [stream(number) for number in range(start, start + 100)]

    with counted() as passes:
        answer = await Listing.of("streams", slices(), Turns())
        client = Client(passes)
        await answer(SCOPE, client.receive, client.send)
    assert len(set(made)) == len(made) == 90
    assert len(set(client.passes)) == len(client.passes) >= 90
    assert max(map(len, client.chunks)) < 2 * len(json.dumps([stream(number) for number in range(8900, 9000)]))
    body = b"".join(client.chunks)
    assert client.headers["content-length"] == str(len(body))
    assert json.loads(body) == {"streams": [stream(number) for number in range(9000)]}


@pytest.mark.parametrize("slices", [[], [[]], [[], [stream(1)], [], [stream(2), stream(3)], []]])
async def test_a_slice_may_be_empty_and_there_may_be_none(slices: list[list[dict[str, Any]]]) -> None:
    client = Client()
    await (await Listing.of("streams", slices, Turns()))(SCOPE, client.receive, client.send)
    # As json.dumps would write it: what people see with curl has not changed.
    there = [one for some in slices for one in some]
    assert b"".join(client.chunks) == json.dumps({"streams": there}).encode() + b"\n"


async def test_many_streams_come_over_the_socket_as_one_object(door: FakeDoor, path: str) -> None:
    door.open_streams = [stream(number) for number in range(1, 2001)]
    assert await get(path, "/v1/streams") == (200, {"streams": door.open_streams})


async def test_what_waits_is_sent_together_and_no_more_than_some_at_once() -> None:
    bus = Feed()
    client = Client()
    async with trio.open_nursery() as nursery, bus.follow() as follower:
        answer = Lines(lambda: nullcontext(follower), Turns())
        nursery.start_soon(answer, SCOPE, client.receive, client.send)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(20):
            bus.add({"n": number})
        await trio.testing.wait_all_tasks_blocked()
        assert len(client.chunks) == 1
        for number in range(20, 400):
            bus.add({"n": number, "filler": "x" * 200})
        bus.close()
    assert 400 * 200 / CHUNK <= len(client.chunks) < 12
    assert max(map(len, client.chunks)) < CHUNK + 300
    assert [line["n"] for line in client.lines] == list(range(400))


async def test_an_event_is_encoded_once_for_all_and_sent_to_one_after_the_other(
    door: FakeDoor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Any] = []
    sent: list[int] = []
    chunk, to_json = answers.Lines._chunk, feed.to_json

    def chunk_seen(self: answers.Lines, first: Event, lines: answers.Source) -> bytes:
        sent.append(passes.number)
        return chunk(self, first, lines)

    def to_json_seen(value: Any) -> bytes:
        encoded.append(value)
        return to_json(value)

    monkeypatch.setattr(answers.Lines, "_chunk", chunk_seen)
    monkeypatch.setattr(feed, "to_json", to_json_seen)
    streams = [await trio.open_unix_socket(path) for _ in range(32)]
    for one in streams:
        await one.send_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: len(door.bus.followers) == 32, "the followers")
    with counted() as passes:
        said = door.bus.publish("paused", door="main")
        await until(lambda: len(sent) == 32, "what they are sent")
    assert len(set(sent)) == 32
    assert encoded == [said]
    for one in streams:
        seen = b""
        while b'"paused"' not in seen:
            seen += await one.receive_some()
        assert json.dumps(said).encode() in seen
        await one.aclose()
