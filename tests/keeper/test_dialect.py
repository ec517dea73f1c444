"""A door process under a keeper of protocol 1; the test is the keeper."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from frontdoor.keeper import dialect, wire
from frontdoor.keeper.link import Held, Link, Refused
from keeper.test_link import Keeper


class Earlier(Keeper):
    """What the link speaks to."""

    async def refuse(self, op: str) -> wire.Body:
        """Hear that, and answer as one that does not know it."""
        body = (await self.hear()).body
        assert body["op"] == op
        if op == "hello":
            why = f"ValueError: this keeper speaks protocol 1, not {body['protocol']}"
        else:
            why = f"ValueError: no operation is called {op!r}"
        self.say(re=body["id"], error=why, errno=None)
        return body


@pytest.fixture
async def both(nursery: trio.Nursery) -> AsyncIterator[tuple[Link, Earlier, Held]]:
    """A link that has greeted, its keeper, and what that has handed out: a file, an entry without any, and a child."""
    ours, theirs = wire.pair()
    with ours, theirs, open(os.devnull) as null:  # noqa: ASYNC230 - it never blocks
        link, keeper, held = Link(ours), Earlier(theirs), list[Held]()
        nursery.start_soon(link.run)

        async def start() -> None:
            await link.ready("0.2.0")
            held.append(await link.hello())

        async with trio.open_nursery() as greeting:
            greeting.start_soon(start)
            await keeper.refuse("ready")
            assert (await keeper.refuse("hello"))["protocol"] == 2
            again = (await keeper.hear()).body
            assert (again["op"], again["protocol"]) == ("hello", 1)
            keeper.say([null.fileno()], op="held", key="file", note={"n": 1}, first=0)
            keeper.say(op="held", key="note", note=[1], first=0)
            keeper.say(op="child", key="c", pid=77, note=None, status=None, gone=False)
            keeper.say(re=again["id"], protocol=1, pid=4711, since=12.5)
        yield link, keeper, held[0]
        for _, fds in held[0].entries.values():
            for fd in fds:
                os.close(fd)


@pytest.fixture
def link(both: tuple[Link, Earlier, Held]) -> Link:
    return both[0]


@pytest.fixture
def keeper(both: tuple[Link, Earlier, Held]) -> Earlier:
    return both[1]


async def test_what_it_holds_is_understood(both: tuple[Link, Earlier, Held]) -> None:
    link, _, held = both
    assert link.protocol == 1
    assert {key: (note, len(fds)) for key, (note, fds) in held.entries.items()} == {
        "file": ({"n": 1}, 1),
        "note": ([1], 0),
    }
    assert (held.keeper, held.since, held.version) == (4711, 12.5, "")
    assert [child.pid for child in held.children] == [77]


async def test_entries_are_put_one_by_one(link: Link, keeper: Earlier, nursery: trio.Nursery) -> None:
    mine = os.pipe()
    nursery.start_soon(link.put, [("a", {"n": 1}, mine), ("b", None, []), ("c", 2, mine[:1])])
    for key, note, count in (("a", {"n": 1}, 2), ("b", None, 0), ("c", 2, 1)):
        message = await keeper.hear()
        number = message.body.pop("id")
        assert message.body == {"op": "put", "key": key, "note": note}
        assert [os.fstat(fd).st_ino for fd in message.fds] == [os.fstat(fd).st_ino for fd in mine[:count]]
        message.close()
        keeper.say(re=number)
    for fd in mine:
        os.close(fd)


async def test_when_one_of_them_is_refused_none_is_kept(link: Link, keeper: Earlier, nursery: trio.Nursery) -> None:
    refused = trio.Event()

    async def put() -> None:
        with pytest.raises(Refused) as caught:
            await link.put([("a", None, []), ("b", None, []), ("c", None, [])])
        assert caught.value.errno == errno.EMFILE
        refused.set()

    nursery.start_soon(put)
    keeper.say(re=(await keeper.hear()).body["id"])
    keeper.say(re=(await keeper.hear()).body["id"], error="no room", errno=errno.EMFILE)
    dropped = (await keeper.hear()).body
    assert (dropped["op"], dropped["keys"]) == ("drop", ["a"])
    keeper.say(re=dropped["id"], dropped=["a"])
    with trio.fail_after(10):
        await refused.wait()


async def test_posts_are_translated_or_not_sent(link: Link, keeper: Earlier) -> None:
    with open(os.devnull) as null:  # noqa: ASYNC230 - it never blocks
        assert link.post("put", [null.fileno()], entries=[["pipe/1", None, 1]])
        assert link.post("pulse", timeout=10)
        assert link.post("drop", keys=["pipe/1"])
        message = await keeper.hear()
        assert message.body == {"op": "put", "key": "pipe/1", "note": None}
        assert len(message.fds) == 1
        message.close()
        assert (await keeper.hear()).body == {"op": "drop", "keys": ["pipe/1"]}


@pytest.mark.parametrize("op", ["upgrade", "renew", "yielded", "preview"])
async def test_what_it_cannot_be_asked_is_refused_here(link: Link, keeper: Earlier, op: str) -> None:
    with pytest.raises(Refused) as caught:
        await link.request(op)
    assert caught.value.errno == errno.ENOSYS
    assert "runs the code of an earlier version" in str(caught.value)
    link.post("served")
    assert (await keeper.hear()).body == {"op": "served"}, "and nothing else was sent"


async def test_one_that_speaks_neither_is_a_refusal(nursery: trio.Nursery) -> None:
    ours, theirs = wire.pair()
    with ours, theirs:
        link, keeper = Link(ours), Earlier(theirs)
        nursery.start_soon(link.run)
        async with trio.open_nursery() as greeting:

            @greeting.start_soon
            async def hello() -> None:
                with pytest.raises(Refused, match="speaks protocol 3, not 2"):
                    await link.hello()

            for number in (2, 1):
                body = (await keeper.hear()).body
                assert body["protocol"] == number
                why = f"this keeper speaks protocol 3, not {number}"
                keeper.say(re=body["id"], error=why, errno=errno.EPROTONOSUPPORT)


def test_apart_deals_the_descriptors() -> None:
    entries: list[list[Any]] = [["a", 1, 2], ["b", None, 0], ["c", {}, 1]]
    assert list(dialect.apart(entries, [7, 8, 9])) == [
        ({"key": "a", "note": 1}, [7, 8]),
        ({"key": "b", "note": None}, []),
        ({"key": "c", "note": {}}, [9]),
    ]
