"""What the door process tells its keeper without waiting: it is told at once, in order, or not at all."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
import trio
import trio.testing

from frontdoor.keeper import wire
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.link import Link
from keeper.stage import Puppet, Stage
from keeper.watching import PATIENCE, alive, descriptors, stat, until


@pytest.fixture
def pair() -> Iterator[tuple[Link, socket.socket]]:
    """A link, and the keeper's end of its wire."""
    ours, theirs = wire.pair()
    with ours, theirs:
        yield Link(ours), theirs


def drained(sock: socket.socket) -> list[wire.Message]:
    """All that is in the wire."""
    messages = []
    while True:
        try:
            messages.append(wire.receive(sock))
        except (BlockingIOError, EOFError):
            return messages


def test_what_is_posted_is_there_at_once_and_asks_for_no_answer(pair: tuple[Link, socket.socket]) -> None:
    link, keeper = pair
    fds = os.pipe2(os.O_CLOEXEC)
    assert link.post("put", fds, entries=[("pipe/1", None, 2)])
    assert link.post("drop", keys=["pipe/1"])
    put, drop = drained(keeper)
    assert (put.body, len(put.fds)) == ({"op": "put", "entries": [["pipe/1", None, 2]]}, 2)
    assert drop.body == {"op": "drop", "keys": ["pipe/1"]}
    for fd in (*fds, *put.fds):
        os.close(fd)


def test_a_wire_that_is_full_is_said_and_nothing_was_sent(pair: tuple[Link, socket.socket]) -> None:
    link, keeper = pair
    before = descriptors()
    fds = os.pipe2(os.O_CLOEXEC)
    posted = 0
    while link.post("put", fds, entries=[(f"pipe/{posted}", None, 2)]):
        posted += 1
        assert posted < 10_000, "it is never full"
    assert posted > 100, "room for a burst"
    assert not link.post("drop", keys=["a"])
    came = drained(keeper)
    assert [message.body["entries"][0][0] for message in came] == [f"pipe/{number}" for number in range(posted)]
    for message in came:
        message.close()
    assert link.post("drop", keys=["a"]), "there is room again"
    assert [message.body for message in drained(keeper)] == [{"op": "drop", "keys": ["a"]}]
    for fd in fds:
        os.close(fd)
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS])
def test_a_kernel_without_memory_for_a_message_is_a_full_wire_too(
    pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It is asked for in the middle of the relay's loop: an error there would be the end of the door process."""
    link, keeper = pair

    def has_none(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(wire, "send", has_none)
        assert not link.post("drop", keys=["a"])
    assert link.post("drop", keys=["b"])
    assert [message.body["keys"] for message in drained(keeper)] == [["b"]]


@pytest.mark.parametrize("unread", [False, True])
def test_a_keeper_that_is_dead_is_not_a_full_wire(pair: tuple[Link, socket.socket], unread: bool) -> None:
    link, keeper = pair
    if unread:  # then the kernel says ECONNRESET first
        link.post("drop", keys=["a"])
    keeper.close()
    for _ in range(3):
        assert link.post("drop", keys=["a"])


def test_what_is_too_large_is_an_error(pair: tuple[Link, socket.socket]) -> None:
    link, keeper = pair
    with pytest.raises(ValueError, match="that fit into one packet"):
        link.post("note", key="a", note="x" * wire.REQUEST_BYTES)
    with pytest.raises(OSError, match="Bad file descriptor"):
        link.post("put", [2**20], entries=[("a", None, 1)])
    assert drained(keeper) == []


async def test_a_post_does_not_overtake_what_waits_to_be_sent(
    pair: tuple[Link, socket.socket], nursery: trio.Nursery
) -> None:
    """Else the keeper would drop a stream that it is given right after, and hold it for ever."""
    link, keeper = pair
    nursery.start_soon(link.run)
    for key in "abcde":  # the fifth waits for an answer, the wire has room
        nursery.start_soon(link.put, [(key, None, [])])
    await trio.testing.wait_all_tasks_blocked()
    assert not link.post("drop", keys=["e"])
    for message in drained(keeper):
        wire.send(keeper, wire.encode({"re": message.body["id"]}))
    await trio.testing.wait_all_tasks_blocked()
    assert link.post("drop", keys=["e"]), "its put was sent, though not yet answered"
    assert [message.body["op"] for message in drained(keeper)] == ["put", "drop"]

    while link.post("note", key="n", note="x" * 1000):
        pass
    nursery.start_soon(link.put, [("f", None, [])])
    await trio.testing.wait_all_tasks_blocked()
    wire.receive(keeper)  # room for one, and one waits
    assert not link.post("note", key="n", note="x" * 1000)
    drained(keeper)
    await trio.testing.wait_all_tasks_blocked()
    assert [message.body["entries"] for message in drained(keeper)] == [[["f", None, 0]]]
    nursery.cancel_scope.cancel()


async def test_a_request_that_is_given_up_in_the_line_is_in_nobodys_way(
    pair: tuple[Link, socket.socket], nursery: trio.Nursery
) -> None:
    link, keeper = pair
    while link.post("note", key="n", note="x" * 1000):
        pass
    with trio.CancelScope() as scope:
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)
        scope.deadline = trio.current_time() + 0.01
        await link.put([("a", None, [])])
    assert scope.cancelled_caught
    assert all(message.body["op"] == "note" for message in drained(keeper))
    assert link.post("drop", keys=["a"])
    with trio.CancelScope() as scope:
        scope.cancel()
        await link.put([("a", None, [])])
    assert [message.body["op"] for message in drained(keeper)] == ["drop"], "one that is cancelled before is not sent"


async def test_a_put_that_is_sent_at_once_is_in_no_posts_way(pair: tuple[Link, socket.socket]) -> None:
    link, keeper = pair
    async with trio.open_nursery() as nursery:
        put = link.put([("a", None, [])])
        put.send(None)  # its first step, as trio would take it
        assert link.post("drop", keys=["a"])
        put.close()
        nursery.cancel_scope.cancel()
    assert [message.body["op"] for message in drained(keeper)] == ["put", "drop"]


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS])
def test_an_answer_that_the_kernel_has_no_memory_for_is_not_lost(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whoever waits for it would wait for ever."""
    ours, theirs = wire.pair()
    door = DoorProcess(0, ours)

    def has_none(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
        raise OSError(number, os.strerror(number))

    with theirs:
        with monkeypatch.context() as patch:
            patch.setattr(wire, "send", has_none)
            door.answer(7, {"good": True})
        assert door.flush_at, "it is tried again then"
        door.flush()
        assert [message.body for message in drained(theirs)] == [{"re": 7, "good": True}]
        assert not door.flush_at
        door.hang_up()


# -- real processes -----------------------------------------------------------------------------------------------

POSTER = """
import os, signal, socket, sys
from frontdoor.keeper.link import Link

link = Link(socket.socket(fileno=int(sys.argv[1])))
for number in range(100):
    read, write = os.pipe()
    os.write(write, b"%d" % number)
    assert link.post("put", [read, write], entries=[(f"pipe/{number}", number, 2)])
    os.close(read)
    os.close(write)
assert link.post("drop", keys=["pipe/7", "pipe/8"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def stopped(pid: int) -> bool:
    return stat(pid)[2] == "T"


@pytest.mark.parametrize("keeper", ["reads", "is stopped", "has an answer that nobody takes"])
def test_what_was_posted_is_carried_out_although_the_poster_was_killed(stage: Stage, door: Puppet, keeper: str) -> None:
    """In the last two the keeper does not get to read anything before the poster and the door process are dead."""
    if keeper == "is stopped":
        stage.signal(signal.SIGSTOP)
        until(lambda: stopped(stage.pid))
    elif keeper == "has an answer that nobody takes":
        for number in range(10):
            door.ask("note", key=f"note/{number}", note="x" * 100_000)
        door.say({"op": "hello", "protocol": wire.PROTOCOL, "id": 0})
        until(lambda: select.select([door.wire], [], [], 0)[0])
    end = door.wire.fileno()
    poster = subprocess.Popen([sys.executable, "-c", POSTER, str(end)], pass_fds=[end], stderr=subprocess.PIPE)
    _, errors = poster.communicate(timeout=PATIENCE)
    assert (poster.returncode, errors) == (-signal.SIGKILL, b"")
    door.die()  # and with it goes the last descriptor of this end
    if keeper == "is stopped":
        assert not stage.errors
        stage.signal(signal.SIGCONT)
    second = stage.enter()
    held = {key: parts for key, parts in second.greet().items() if not key.startswith("note/")}
    assert set(held) == {f"pipe/{number}" for number in range(100) if number not in (7, 8)}
    for (entry,) in held.values():
        assert os.read(entry.fds[0], 100) == b"%d" % entry.body["note"], "what was in the pipe is in it"
        entry.close()
    assert alive(stage.pid)


AT_THE_LIMIT = """
import os, resource, sys
import trio
from frontdoor.keeper import wire
from frontdoor.keeper.link import Link

if os.getuid() == 0:
    os.setuid(int(sys.argv[1]))  # root may have any number under way
resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600))
ours, theirs = wire.pair()
link = Link(ours)
fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(150)]
entries = [("many", None, len(fds))]

def take():
    message = wire.receive(theirs)
    assert len(message.fds) in (0, 150) and not message.truncated, message
    message.close()
    return message.body

posted = 0
while link.post("put", fds, entries=entries):
    posted += 1
    assert posted < 100
assert posted == 5, posted  # the kernel refuses from the first message on that finds more than 600 under way
assert link.post("drop", keys=["no descriptor: there is room for it"])
assert [take()["op"] for _ in range(6)] == ["put"] * 5 + ["drop"]
try:
    wire.receive(theirs)
except BlockingIOError:
    pass  # nothing of the refused one was sent
else:
    raise AssertionError
assert link.post("put", fds, entries=entries)
take()

async def ask():
    while link.post("put", fds, entries=entries):
        pass
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            nursery.start_soon(link.put, [("asked", None, fds)])
            await trio.sleep(0.05)
            assert not link.post("drop", keys=["asked"]), "the put waits to be sent"
            for _ in range(posted):
                assert "id" not in take()
            await trio.lowlevel.wait_readable(theirs)
            body = take()
            assert body["entries"] == [["asked", None, 150]]
            wire.send(theirs, wire.encode({"re": body["id"]}))
            while len(nursery.child_tasks) > 1:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

trio.run(ask)
print("good")
"""


def test_too_many_descriptors_under_way_are_a_full_wire_too() -> None:
    # A user of its own: those that other tests have under way would count.
    user = str(60_000 + os.getpid() % 5_000)
    command = [sys.executable, "-c", AT_THE_LIMIT, user]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
    assert (done.stdout, done.stderr) == ("good\n", "")
