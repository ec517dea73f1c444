from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.keeper import wire
from keeper.watching import descriptors

Pair = tuple[socket.socket, socket.socket]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


def pipes(count: int) -> list[int]:
    """So many descriptors."""
    ends: list[int] = []
    while len(ends) < count:
        ends += os.pipe2(os.O_CLOEXEC)
    for fd in ends[count:]:
        os.close(fd)
    return ends[:count]


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


@given(body=st.dictionaries(st.text(), JSON, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_is_sent_arrives(body: dict[str, object]) -> None:
    ours, theirs = wire.pair()
    with ours, theirs:
        wire.send(ours, wire.encode(body))
        message = wire.receive(theirs)
        assert (message.body, message.fds, message.truncated) == (body, [], False)


def test_messages_keep_their_borders(pair: Pair) -> None:
    wire.send(pair[0], wire.encode({"n": 1}))
    wire.send(pair[0], wire.encode({"n": 2}))
    assert [wire.receive(pair[1]).body["n"] for _ in range(2)] == [1, 2]


def test_a_path_that_is_not_utf_8_arrives_as_it_was(pair: Pair) -> None:
    path = os.fsdecode(b"/tmp/\xff\xfe")
    wire.send(pair[0], wire.encode({"path": path}))
    assert os.fsencode(wire.receive(pair[1]).body["path"]) == b"/tmp/\xff\xfe"


def test_nothing_to_receive_is_said_at_once(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        wire.receive(pair[1])


def test_descriptors_arrive_close_on_exec(pair: Pair) -> None:
    read, write = os.pipe2(os.O_CLOEXEC)
    wire.send(pair[0], wire.encode({}), [write])
    message = wire.receive(pair[1])
    (copy,) = message.fds
    assert not os.get_inheritable(copy)
    os.write(copy, b"through the wire")
    assert os.read(read, 100) == b"through the wire"
    message.close()
    assert message.fds == []
    close([read, write])


def test_253_descriptors_fit_into_a_message_and_no_more(pair: Pair) -> None:
    before = descriptors()
    fds = pipes(wire.MAX_DESCRIPTORS + 1)
    with pytest.raises(OSError, match=r".") as refused:
        wire.send(pair[0], wire.encode({}), fds)
    assert refused.value.errno == errno.EINVAL
    wire.send(pair[0], wire.encode({}), fds[:-1])
    message = wire.receive(pair[1])
    assert (len(message.fds), message.truncated) == (wire.MAX_DESCRIPTORS, False)
    message.close()
    close(fds)
    assert descriptors() == before


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00garbage",
        b"GET / HTTP/1.1\r\n\r\n",
        b"null",
        b"7",
        b"[1, 2]",
        b'"a string"',
        b'{"op": "put"',
        b'{"op": "put"} and more',
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"1" * 10_000,
        b"\x00",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_garbage_is_refused_and_the_wire_goes_on(pair: Pair, data: bytes) -> None:
    before = descriptors()
    pair[0].send(data)
    with pytest.raises(wire.Garbage, match=f"^{len(data)} bytes that are no message"):
        wire.receive(pair[1])
    wire.send(pair[0], wire.encode({"op": "next"}))
    assert wire.receive(pair[1]).body == {"op": "next"}
    assert descriptors() == before


def test_descriptors_that_come_with_garbage_are_closed(pair: Pair) -> None:
    fds = pipes(4)
    before = descriptors()
    wire.send(pair[0], b"[]", fds)
    with pytest.raises(wire.Garbage):
        wire.receive(pair[1])
    wire.send(pair[0], b"", fds)  # descriptors alone, and no byte
    with pytest.raises(wire.Garbage):
        wire.receive(pair[1])
    assert descriptors() == before
    close(fds)


def test_a_body_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(ValueError, match="more than the 163840 that fit"):
        wire.encode({"note": "x" * wire.MAX_BYTES})
    with pytest.raises(ValueError, match="more than the 131072 that fit"):
        wire.encode({"note": "x" * wire.REQUEST_BYTES}, wire.REQUEST_BYTES)


def test_a_body_that_is_nested_too_deep_is_not_sent() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="recursion"):
        wire.encode({"note": nested})


def test_the_largest_body_fits(pair: Pair) -> None:
    note = "x" * (wire.MAX_BYTES - len('{"note":""}'))
    wire.send(pair[0], wire.encode({"note": note}))
    assert wire.receive(pair[1]).body == {"note": note}


def test_a_packet_that_is_too_large_is_garbage(pair: Pair) -> None:
    pair[0].send(json.dumps({"note": "x" * wire.MAX_BYTES}).encode())
    with pytest.raises(wire.Garbage):
        wire.receive(pair[1])


def fill(sock: socket.socket, data: bytes) -> None:
    while True:
        wire.send(sock, data)


def test_a_full_wire_is_said_at_once(pair: Pair) -> None:
    data = wire.encode({"note": "x" * 100_000})
    with pytest.raises(BlockingIOError):
        fill(pair[0], data)
    for _ in range(2):
        assert wire.receive(pair[1]).body == {"note": "x" * 100_000}
    wire.send(pair[0], data)


def test_the_end_is_said_after_the_last_message(pair: Pair) -> None:
    wire.send(pair[0], wire.encode({"op": "bye"}))
    pair[0].close()
    assert wire.receive(pair[1]).body == {"op": "bye"}
    with pytest.raises(EOFError):
        wire.receive(pair[1])
    with pytest.raises(BrokenPipeError):
        wire.send(pair[1], wire.encode({}))


def test_an_end_with_messages_that_nobody_read_is_an_end(pair: Pair) -> None:
    wire.send(pair[1], wire.encode({"op": "unread"}))
    pair[0].close()  # the kernel says ECONNRESET here, and not 0
    with pytest.raises(EOFError):
        wire.receive(pair[1])


def test_what_was_sent_before_an_end_is_read_although_that_side_had_messages_that_it_did_not(pair: Pair) -> None:
    fds = pipes(2)
    wire.send(pair[1], wire.encode({"op": "unread"}))
    for number in range(3):
        wire.send(pair[0], wire.encode({"n": number}), fds)
    pair[0].close()
    for number in range(3):
        message = wire.receive(pair[1])  # the kernel says ECONNRESET before the first
        assert (message.body, len(message.fds)) == ({"n": number}, 2)
        message.close()
    with pytest.raises(EOFError):
        wire.receive(pair[1])
    close(fds)


AT_THE_LIMIT = """
import os, resource
from frontdoor.keeper import wire

def count():
    return len(os.listdir("/proc/self/fd")) - 1

ours, theirs = wire.pair()
fds = [fd for _ in range(5) for fd in os.pipe()]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

def with_room_for(room):
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fds) + 1 + room, hard))

def exchange(numbers):
    wire.send(ours, wire.encode({"n": len(numbers)}), numbers)
    message = wire.receive(theirs)
    assert message.body == {"n": len(numbers)}, message
    return message.truncated, len(message.fds)

before = count()
with_room_for(3)
assert exchange(fds) == (True, 0)  # three of ten found room: they are closed again
with_room_for(0)
assert exchange(fds) == (True, 0)
assert exchange(fds[:1]) == (True, 0)
assert exchange([]) == (False, 0)  # a message without any is not affected
with_room_for(20)
after = count()
assert after == before, (before, after)
assert exchange(fds) == (False, 10)
print("good")
"""


def test_a_receiver_at_its_limit_says_so_and_leaks_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_LIMIT], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("good\n", "")
