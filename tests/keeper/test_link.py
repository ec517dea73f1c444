"""The door process's end of the wire; the test is the keeper."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing

from frontdoor.keeper import wire
from frontdoor.keeper.link import ChildReport, KeeperGone, Link, Refused, Reply
from keeper.watching import alive, descriptors, until


class Keeper:
    """What the link hears from and speaks to."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    async def hear(self) -> wire.Message:
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.end)
        return wire.receive(self.end)

    def say(self, fds: list[int] | None = None, /, **body: Any) -> None:
        wire.send(self.end, wire.encode(body), fds or [])


@pytest.fixture
async def both(nursery: trio.Nursery) -> AsyncIterator[tuple[Link, Keeper]]:
    ours, theirs = wire.pair()
    with ours, theirs:
        link = Link(ours)
        nursery.start_soon(link.run)
        yield link, Keeper(theirs)
        nursery.cancel_scope.cancel()


@pytest.fixture
def link(both: tuple[Link, Keeper]) -> Link:
    return both[0]


@pytest.fixture
def keeper(both: tuple[Link, Keeper]) -> Keeper:
    return both[1]


def a_file() -> int:
    return os.open("/etc/passwd", os.O_RDONLY)


class Asking:
    """A request under way."""

    def __init__(self, nursery: trio.Nursery, link: Link, op: str, **fields: Any) -> None:
        self.reply: Reply | None = None
        self.refused: Refused | None = None
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        nursery.start_soon(self._ask, link, op, fields)

    async def _ask(self, link: Link, op: str, fields: dict[str, Any]) -> None:
        with self.scope:
            try:
                self.reply = await link.request(op, **fields)
            except Refused as refused:
                self.refused = refused
        self.done.set()

    async def end(self) -> None:
        with trio.fail_after(10):
            await self.done.wait()


async def test_a_request_and_its_answer(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    asking = Asking(nursery, link, "note", key="a", note=[1])
    assert (await keeper.hear()).body == {"op": "note", "id": 1, "key": "a", "note": [1]}
    keeper.say(re=1, good=True)
    await asking.end()
    assert asking.reply == Reply({"re": 1, "good": True}, [])


async def test_answers_find_their_requests_in_any_order(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    asked = [Asking(nursery, link, "note", key=key) for key in "abc"]
    numbers = {}
    for _ in asked:
        body = (await keeper.hear()).body
        numbers[body["key"]] = body["id"]
    for key in "bca":
        keeper.say(re=numbers[key], key=key)
    for key, asking in zip("abc", asked, strict=True):
        await asking.end()
        assert asking.reply is not None
        assert asking.reply.body["key"] == key


async def test_descriptors_go_there_and_come_back(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    fd = a_file()
    asking = Asking(nursery, link, "spawn", key="a", fds=[fd])
    message = await keeper.hear()
    keeper.say(message.fds, re=message.body["id"])
    await asking.end()
    assert asking.reply is not None
    (back,) = asking.reply.fds
    assert os.fstat(back).st_ino == os.fstat(fd).st_ino
    assert not os.get_inheritable(back)
    for number in (fd, back, *message.fds):
        os.close(number)


async def test_a_refusal_is_raised_with_its_reason(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    asking = Asking(nursery, link, "listen")
    await keeper.hear()
    keeper.say(re=1, error="Address already in use", errno=98)
    await asking.end()
    assert asking.refused is not None
    assert (asking.refused.strerror, asking.refused.errno) == ("Address already in use", 98)


async def test_no_more_than_four_are_under_way(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    asked = [Asking(nursery, link, "note", key=str(number)) for number in range(6)]
    numbers = [(await keeper.hear()).body["id"] for _ in range(4)]
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(BlockingIOError):
        wire.receive(keeper.end)
    keeper.say(re=numbers.pop())
    numbers.append((await keeper.hear()).body["id"])
    for number in numbers:
        keeper.say(re=number)
    keeper.say(re=(await keeper.hear()).body["id"])
    for asking in asked:
        await asking.end()


async def test_an_answer_that_nobody_waits_for_any_more_leaks_nothing(
    link: Link, keeper: Keeper, nursery: trio.Nursery
) -> None:
    before = descriptors()
    fd = a_file()
    asking = Asking(nursery, link, "listen")
    await keeper.hear()
    asking.scope.cancel()
    await asking.end()
    keeper.say([fd], re=1)
    # And one whose answer comes between the cancellation and the end of the wait.
    asking = Asking(nursery, link, "listen")
    await keeper.hear()
    asking.scope.cancel()
    link._dispatch(wire.Message({"re": 2}, [os.dup(fd)]))
    await asking.end()
    os.close(fd)
    for _ in range(2):  # an answer to nothing, and the same one once more
        keeper.say(re=99)
    await trio.testing.wait_all_tasks_blocked()
    assert link._waiting == {}
    assert descriptors() == before


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"fds": [2**20]}, OSError), ({"note": "x" * wire.REQUEST_BYTES}, Refused), ({"note": {1}}, TypeError)],
)
async def test_what_cannot_be_sent_is_raised_and_forgotten(
    link: Link, keeper: Keeper, fields: dict[str, Any], problem: type[Exception]
) -> None:
    with pytest.raises(problem):
        await link.request("put", **fields)
    assert link._waiting == {}


@contextmanager
def no_room() -> Iterator[None]:
    """Not one more descriptor can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
    filled = []
    try:
        while True:
            filled.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass  # full
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)


async def test_an_answer_whose_descriptors_find_no_room_is_a_refusal(
    link: Link, keeper: Keeper, nursery: trio.Nursery
) -> None:
    before = descriptors()
    asking = Asking(nursery, link, "spawn")
    await keeper.hear()
    fd = a_file()
    with no_room():
        keeper.say([fd], re=1, key="a", pid=4711)
        await asking.end()
    os.close(fd)
    assert asking.refused is not None
    assert asking.refused.errno == errno.EMFILE
    assert asking.refused.strerror == "this process is at its limit of open files"
    assert descriptors() == before


async def test_a_full_wire_is_waited_for(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    asked = [Asking(nursery, link, "note", note="x" * 100_000) for _ in range(4)]  # more than the buffer takes
    await trio.testing.wait_all_tasks_blocked()
    for _ in asked:
        keeper.say(re=(await keeper.hear()).body["id"])
    for asking in asked:
        await asking.end()


# -- what comes unasked -------------------------------------------------------------------------------------------


async def test_a_request_that_the_kernel_has_no_memory_for_is_sent_later(
    link: Link, keeper: Keeper, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [errno.ENOBUFS, errno.ENOMEM]
    send = wire.send

    def sometimes(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
        if tries:
            number = tries.pop(0)
            raise OSError(number, os.strerror(number))
        send(sock, data, fds)

    monkeypatch.setattr(wire, "send", sometimes)
    asking = Asking(nursery, link, "put")
    with trio.fail_after(5):
        message = await keeper.hear()
        keeper.say(re=message.body["id"])
        await asking.end()
    assert not tries


async def test_hello_collects_what_is_held(link: Link, keeper: Keeper, nursery: trio.Nursery) -> None:
    held = []

    async def hello() -> None:
        held.append(await link.hello())

    nursery.start_soon(hello)
    assert (await keeper.hear()).body == {"op": "hello", "id": 1, "protocol": wire.PROTOCOL, "shown": False}
    fd = a_file()
    other = os.open("/dev/null", os.O_RDONLY)
    keeper.say([fd] * 101, op="held", entries=[["one", None, 1], ["many", "n", 100]])
    # An entry of many descriptors comes in parts, and others beside them.
    keeper.say([*[fd] * 100, other], op="held", entries=[["many", "n", 100], ["note", {"a": 1}, 0], ["other", 2, 1]])
    keeper.say(op="child", key="c", pid=77, note=None, status=None, gone=False)
    keeper.say(re=1, protocol=2, pid=4711, since=12.5)
    with trio.fail_after(10):
        while not held:
            await trio.testing.wait_all_tasks_blocked()
    assert (held[0].keeper, held[0].since) == (4711, 12.5)
    assert held[0].children == [ChildReport("c", 77, None, None, gone=False)]
    assert held[0].take("note") == ({"a": 1}, [])
    entry = held[0].take("many")
    assert entry is not None
    assert (entry[0], len(entry[1])) == ("n", 200)
    assert held[0].take("many") is None
    ((one,), (another,)) = held[0].entries["one"][1], held[0].entries["other"][1]
    assert held[0].entries["other"][0] == 2
    assert [os.fstat(copy).st_ino for copy in (one, another)] == [os.fstat(mine).st_ino for mine in (fd, other)]
    for copy in (fd, other, one, another, *entry[1]):
        os.close(copy)


async def test_a_look_at_what_is_held_and_what_has_gone_since(
    link: Link, keeper: Keeper, nursery: trio.Nursery
) -> None:
    shown: list[tuple[Any, list[int]]] = []
    held = []

    async def ask() -> None:
        while entries := await link.preview(["stream/"]):
            shown.extend(entries.values())
        held.append(await link.hello(shown=True))

    nursery.start_soon(ask)
    fd = a_file()
    shows: list[list[list[Any]]] = [[["stream/1", "n", 2]], [["stream/2", None, 0]], []]
    for number, entries in enumerate(shows, 1):
        assert (await keeper.hear()).body == {"op": "preview", "id": number, "keys": ["stream/"]}
        keeper.say([fd] * sum(count for _, _, count in entries), re=number, entries=entries)
    assert (await keeper.hear()).body["shown"]
    keeper.say(op="gone", keys=["stream/1"])
    keeper.say(op="gone", keys=["stream/2"])
    keeper.say(op="held", entries=[["stream/2", "new", 0]])
    keeper.say(re=4, protocol=2, pid=4711, since=12.5)
    with trio.fail_after(10):
        while not held:
            await trio.testing.wait_all_tasks_blocked()
    assert [(note, len(fds)) for note, fds in shown] == [("n", 2), (None, 0)]
    assert (held[0].gone, held[0].entries) == (["stream/1", "stream/2"], {"stream/2": ("new", [])})
    for copy in (fd, *shown[0][1]):
        os.close(copy)


async def test_ends_of_children_signals_and_orders_are_passed_on(link: Link, keeper: Keeper) -> None:
    reports: list[ChildReport] = []
    signals: list[int] = []
    link.on_exit, link.on_signal = reports.append, signals.append
    orders: list[tuple[str, wire.Body]] = []
    link.on_order = lambda op, body: orders.append((op, body))
    keeper.say(op="yield")
    keeper.say(op="resume", why="it exited with 1")
    keeper.say(op="exited", key="c", pid=77, note=[1], status=-9, gone=False)
    keeper.say(op="signal", number=15)
    with trio.fail_after(10):
        while not signals:
            await trio.testing.wait_all_tasks_blocked()
    assert reports == [ChildReport("c", 77, [1], -9, gone=False)]
    assert signals == [15]
    assert orders == [("yield", {"op": "yield"}), ("resume", {"op": "resume", "why": "it exited with 1"})]


async def test_one_that_stands_still_does_nothing_until_it_is_told_to_resume(
    link: Link, keeper: Keeper, nursery: trio.Nursery
) -> None:
    happened: list[str] = []
    link.on_signal = lambda number: happened.append(f"signal {number}")
    link.on_order = lambda op, body: happened.append(f"{op}, since {body['why']}")

    async def tick() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            happened.append("a task ran")

    def speak() -> None:
        time.sleep(0.2)  # not for something to happen: what must not happen has time to
        keeper.say(op="signal", number=1)
        keeper.say(op="resume", why="it died")

    thread = threading.Thread(target=speak)
    nursery.start_soon(tick)
    thread.start()
    assert link.stand_still() == "resume"
    assert happened == ["signal 1", "resume, since it died"]
    thread.join()


async def test_one_that_stands_still_notices_the_end_of_the_keeper() -> None:
    ours, theirs = wire.pair()
    with ours:
        theirs.close()
        assert Link(ours).stand_still() == ""
    await trio.lowlevel.checkpoint()


async def test_one_that_leaves_asks_nothing_and_answers_that_it_lives(link: Link, keeper: Keeper) -> None:
    sleeper = start_sleeper()
    keeper.say(op="exited", key="a", pid=sleeper.pid, note=None, status=None, gone=False)
    keeper.say(op="leave")
    assert link.stand_still() == "leave"
    link.disown()
    link.kill_groups()
    assert link.attend(), "there is nothing to be taken"
    keeper.say(op="ping")
    keeper.say(op="signal", number=15)
    assert link.attend()
    assert (await keeper.hear()).body == {"op": "pong"}
    assert sleeper.poll() is None, "another process sees to the backends"
    sleeper.kill()
    sleeper.wait()


async def test_one_that_leaves_notices_the_end_of_the_keeper() -> None:
    ours, theirs = wire.pair()
    with ours:
        theirs.close()
        assert not Link(ours).attend()
    await trio.lowlevel.checkpoint()


async def test_the_end_of_the_wire_is_the_end_of_the_keeper() -> None:
    ours, theirs = wire.pair()
    with ours:
        link = Link(ours)
        with trio.fail_after(10), pytest.RaisesGroup(KeeperGone):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                nursery.start_soon(link.request, "note")
                await trio.testing.wait_all_tasks_blocked()
                theirs.close()
                await link.request("note")  # it does not raise: the end does


async def test_all_groups_can_be_killed_and_those_that_are_gone_are_not(
    link: Link, keeper: Keeper, nursery: trio.Nursery
) -> None:
    sleepers = {key: start_sleeper() for key in ("asked", "cancelled", "held", "gone")}
    for key in ("asked", "cancelled"):
        asking = Asking(nursery, link, "spawn", key=key)
        number = (await keeper.hear()).body["id"]
        if key == "cancelled":
            asking.scope.cancel()
            await asking.end()
        keeper.say(re=number, key=key, pid=sleepers[key].pid)
    for key in ("held", "gone"):
        keeper.say(op="child", key=key, pid=sleepers[key].pid, note=None, status=None, gone=False)
    keeper.say(op="exited", key="held", pid=sleepers["held"].pid, note=None, status=0, gone=False)
    keeper.say(op="exited", key="gone", pid=sleepers["gone"].pid, note=None, status=0, gone=True)
    await trio.testing.wait_all_tasks_blocked()
    link.kill_groups()
    for key in ("asked", "cancelled", "held"):
        until(lambda pid=sleepers[key].pid: not alive(pid), f"the end of {key}")  # type: ignore[misc]  # bound at once
    assert alive(sleepers["gone"].pid)
    for sleeper in sleepers.values():
        sleeper.kill()
        sleeper.wait()


def start_sleeper() -> subprocess.Popen[bytes]:
    sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    until(lambda: os.getpgid(sleeper.pid) == sleeper.pid)
    return sleeper
