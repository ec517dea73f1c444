"""Many entries in a message: there with ``put``, back with the inventory. All of them, or none."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from frontdoor.keeper import wire
from frontdoor.keeper.link import Held, KeeperGone, Link, Refused
from keeper.stage import Puppet, Stage, entries_of
from keeper.watching import PATIENCE, descriptors

ALONE = """
import resource, socket, sys
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.keeper import Keeper

limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
keeper = Keeper("")
keeper.succession.door = DoorProcess(0, socket.socket(fileno=int(sys.argv[1])))
keeper.succession.door.running = False  # there is none that could be killed
keeper.run()
"""


class Alone:
    """A keeper without a door process: links come to its wire, one after the other."""

    def __init__(self, limit: int = 0) -> None:
        """``limit``: so many descriptors may it have open."""
        self.end, theirs = wire.pair()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-c", ALONE, str(number), str(limit)]
            self.keeper = subprocess.Popen(command, pass_fds=[number])

    def put(self, *entries: tuple[str, Any, Sequence[int]]) -> None:
        async def put(link: Link) -> None:
            await link.put(entries)

        self._with_a_link(put)

    def hello(self) -> Held:
        held: list[Held] = []

        async def hello(link: Link) -> None:
            held.append(await link.hello())

        self._with_a_link(hello)
        return held[0]

    def _with_a_link(self, what: Any) -> None:
        refused: list[OSError] = []

        async def main() -> None:
            link = Link(self.end)
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.run)
                    try:
                        await what(link)
                    except OSError as error:
                        refused.append(error)
                    nursery.cancel_scope.cancel()

        trio.run(main)
        if refused:
            raise refused[0]

    def close(self) -> None:
        self.end.close()
        self.keeper.kill()
        self.keeper.wait()


@contextmanager
def alone(limit: int = 0) -> Iterator[Alone]:
    it = Alone(limit)
    try:
        yield it
    finally:
        it.close()


@pytest.fixture
def files() -> Iterator[list[int]]:
    """253 descriptors, each of a file of its own."""
    fds = [os.memfd_create(str(number)) for number in range(wire.MAX_DESCRIPTORS)]
    for number, fd in enumerate(fds):
        os.write(fd, b"%d" % number)
    yield fds
    for fd in fds:
        os.close(fd)


def content(fd: int) -> int:
    return int(os.pread(fd, 100, 0))


def test_a_message_takes_253_descriptors_and_they_come_back_in_their_order(files: list[int]) -> None:
    before = descriptors()
    entries: list[tuple[str, Any, Sequence[int]]] = [
        (f"stream/{number}", {"n": number}, files[2 * number : 2 * number + 2]) for number in range(126)
    ]
    with alone() as keeper:
        keeper.put(*entries, ("note", [1], []), ("words", None, files[252:]))
        held = keeper.hello()
        assert list(held.entries) == [f"stream/{number}" for number in range(126)] + ["note", "words"]
        for number in range(126):
            note, fds = held.entries[f"stream/{number}"]
            assert note == {"n": number}
            assert [content(fd) for fd in fds] == [2 * number, 2 * number + 1]
        assert held.entries["note"] == ([1], [])
        (words,) = held.entries["words"][1]
        assert content(words) == 252
        for _, fds in held.entries.values():
            for fd in fds:
                os.close(fd)
    assert descriptors() == before


def test_one_descriptor_more_is_an_error_and_nothing_is_kept(files: list[int]) -> None:
    with alone() as keeper:
        before = descriptors()
        with pytest.raises(OSError, match="Invalid argument"):
            keeper.put(("a", None, files), ("b", None, files[:1]))
        assert descriptors() == before
        assert keeper.hello().entries == {}


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (0, 0), (3, 3), (-1, 4), (3, "0"), (4, None), (2, 0.5)])
def test_a_count_that_does_not_match_is_refused_and_nothing_is_kept(
    stage: Stage, door: Puppet, counts: tuple[Any, Any]
) -> None:
    mine = os.pipe2(os.O_CLOEXEC)
    assert door.put(("kept", "first", mine[:1])) == {}
    before = descriptors(stage.pid)
    kept, new = counts
    refused = door.ask("put", [*mine, mine[0]], entries=[["kept", "second", kept], ["new", None, new]]).body
    if isinstance(kept, int) and isinstance(new, int) and min(counts) >= 0:
        assert f"{kept + new} descriptors should have come, and 3 came" in refused["error"]
    else:
        assert "the counts of descriptors are [" in refused["error"]
    assert descriptors(stage.pid) == before
    held = door.greet()
    assert set(held) == {"kept"}
    assert (held["kept"][0].body["note"], len(held["kept"][0].fds)) == ("first", 1), "what was there is untouched"
    for fd in (*mine, *held["kept"][0].fds):
        os.close(fd)


def test_put_again_under_a_key_closes_what_was_there(stage: Stage, door: Puppet) -> None:
    mine = os.pipe2(os.O_CLOEXEC)
    door.put(("a", 1, mine), ("b", 1, mine))
    before = descriptors(stage.pid)
    assert door.put(("b", 2, mine), ("c", 2, [])) == {}
    assert descriptors(stage.pid) == before
    assert door.ask("drop", keys=["a", "b", "c"]).body["dropped"] == ["a", "b", "c"]
    assert len(descriptors(stage.pid)) == len(before) - 4
    for fd in mine:
        os.close(fd)


def test_thousands_of_entries_come_back_whole_in_few_messages(stage: Stage, door: Puppet) -> None:
    """As many descriptors in each message as the kernel lets through: 126 streams."""
    streams, batch = 5_000, wire.MAX_DESCRIPTORS // 2
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * streams + 100:
        pytest.skip("the hard limit of open files is too low")
    pairs = [socket.socketpair() for _ in range(7)]
    inodes = [tuple(os.fstat(sock.fileno()).st_ino for sock in pair) for pair in pairs]
    entries = [
        (f"stream/{number}", {"door": "main", "since": number}, [sock.fileno() for sock in pairs[number % 7]])
        for number in range(streams)
    ]
    for first in range(0, streams, batch):
        assert door.put(*entries[first : first + batch]) == {}

    door.say({"op": "hello", "protocol": wire.PROTOCOL, "id": 0})
    sizes: list[int] = []
    came = 0
    while (message := door.hear()).body.get("re") != 0:
        assert not message.truncated
        sizes.append(len(message.body["entries"]))
        for entry in entries_of(message):
            assert entry.body == {"key": f"stream/{came}", "note": {"door": "main", "since": came}}
            assert tuple(os.fstat(fd).st_ino for fd in entry.fds) == inodes[came % 7]
            came += 1
            entry.close()
    assert came == streams
    print(f"{came} entries of 2 descriptors in {len(sizes)} messages")
    assert sizes == [batch] * (streams // batch) + [streams % batch]
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_keeper_at_its_limit_answers_emfile_and_keeps_nothing_of_it(files: list[int]) -> None:
    with alone(limit=100) as keeper:
        keeper.put(("a", "kept", files[:30]))
        before = descriptors(keeper.keeper.pid)
        mine = descriptors()
        for _ in range(3):
            with pytest.raises(Refused, match="at its limit of open files") as refused:
                keeper.put(*((f"new/{number}", None, files[number : number + 2]) for number in range(100)))
            assert refused.value.errno == errno.EMFILE
        assert descriptors(keeper.keeper.pid) == before
        assert descriptors() == mine
        keeper.put(("b", "fits", files[:20]))
        held = keeper.hello()
        assert {key: (note, len(fds)) for key, (note, fds) in held.entries.items()} == {
            "a": ("kept", 30),
            "b": ("fits", 20),
        }
        for _, fds in held.entries.values():
            for fd in fds:
                os.close(fd)


def test_a_door_process_at_its_limit_is_told_so_and_nothing_is_sent(files: list[int]) -> None:
    with alone() as keeper:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        before = descriptors()
        top = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + 50, hard))  # trio needs a few
        try:
            with pytest.raises(Refused, match="this process is at its limit") as refused:
                keeper.put(("a", None, files))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert refused.value.errno == errno.EMFILE
        assert descriptors() == before
        assert keeper.hello().entries == {}


async def test_what_is_put_may_be_closed_by_its_owner_while_it_waits(nursery: trio.Nursery) -> None:
    """A stream may end at any time; another's descriptor has its number then."""
    ours, theirs = wire.pair()
    with ours, theirs:
        link = Link(ours)
        while link.post("note", key="n", note="x" * 1000):
            pass
        mine = os.memfd_create("mine")
        before = descriptors()
        nursery.start_soon(link.put, [("a", None, [mine])])
        await trio.testing.wait_all_tasks_blocked()
        file = os.fstat(mine).st_ino
        os.close(mine)
        another = os.memfd_create("another")
        assert another == mine
        while (message := wire.receive(theirs)).body["op"] == "note":
            await trio.testing.wait_all_tasks_blocked()
        assert [os.fstat(fd).st_ino for fd in message.fds] == [file]
        message.close()
        os.close(another)
        nursery.start_soon(_until_the_end, link)
        wire.send(theirs, wire.encode({"re": message.body["id"]}))
        await trio.testing.wait_all_tasks_blocked()
        assert len(descriptors()) == len(before) - 1, "its copy is closed, too"
        nursery.cancel_scope.cancel()


async def _until_the_end(link: Link) -> None:
    try:
        await link.run()
    except KeeperGone:
        pass  # the test is over
