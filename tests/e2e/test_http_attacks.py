"""What clients with other habits, and servers with other faults, have brought to light."""

import time
from collections.abc import Iterator

import pytest

from e2e.harness import Frontdoor
from e2e.shared import Shared
from e2e.wire import OK, Wire, get, http_door, request, say

LIMIT = 0.3
"""Seconds that a client may take nothing of its answer."""
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.fixture(scope="module")
def door(shared: Shared) -> Iterator[Frontdoor]:
    yield shared.anew(**http_door(http={"body_timeout": f"{LIMIT}s"}, limits={"idle_timeout": "1s"}))
    shared.leave()


@pytest.mark.parametrize("steps", [("close",), (say(b"zz\r\n"),), ("silent",)], ids=["ends", "is none", "stops"])
def test_a_client_of_http_1_0_can_tell_that_an_answer_in_chunks_is_not_whole(
    door: Frontdoor, steps: tuple[str, ...]
) -> None:
    with Wire(door.address) as wire:
        wire.say(request("GET", say(CHUNKED), "sleep=0.05", *steps, minor=0))
        assert wire.head().startswith(OK)
        assert wire.rest() == (b"hello", "reset"), "closed would say that this was all"


def test_a_client_that_reads_so_slowly_that_the_kernel_sees_no_room_gets_all(door: Frontdoor) -> None:
    size = 20_000_000
    with Wire(door.address) as wire:
        wire.say(get(say(OK + b"Content-Length: %d\r\n\r\n" % size), f"fill={size}"))
        wire.head()
        pauses = 30
        for _ in range(pauses):
            wire.some(100_000)
            time.sleep(LIMIT / 3)
        assert len(wire.some(size - pauses * 100_000)) == size - pauses * 100_000
