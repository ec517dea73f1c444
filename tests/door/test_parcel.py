from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from frontdoor.door.parcel import Joined, Left, Parcel, decode, encode
from frontdoor.keeper import wire
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.unseated import Unseated


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = wire.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def sent(parcel: Parcel, pair: tuple[socket.socket, socket.socket]) -> wire.Message:
    """As it comes at the other end."""
    body, fds, ours = encode(parcel)
    wire.send(pair[0], wire.encode(body), fds)
    for fd in ours:
        os.close(fd)
    return wire.receive(pair[1])


def socket_fd() -> int:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours.detach()


def test_all_of_it_comes_out_as_it_was_put_in(pair: tuple[socket.socket, socket.socket]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    idle, asking, became, backend = (socket_fd() for _ in range(4))
    numbers = [inode(fd) for fd in (idle, asking, became, backend)]
    long = os.urandom(1 << 20)
    parcel = Parcel(
        [
            ("main", Unseated(idle, ("127.0.0.1", 4711), ("::1", 80, 0, 0), 1.5, counted=False)),
            ("api", Unseated(asking, "", None, 2.5, read=long)),
        ],
        [Joined(("main", 3, 1), ("::1", 5, 0, 0), 3.5, (100, 200), (became, backend))],
        Counter({("main", Reason.ANSWERED): 3, ("api", Reason.CLIENT_RESET): 1}),
        {("main", 3, 0): Left(2, 10, 20)},
    )
    found = decode(sent(parcel, pair))
    assert [inode(fd) for fd in found.fds()] == numbers
    (door, first), (other, second) = found.clients
    assert (door, first.address, first.destination, first.since) == (
        "main",
        ("127.0.0.1", 4711),
        ("::1", 80, 0, 0),
        1.5,
    )
    assert (first.read, first.counted) == (b"", False)
    assert (other, second.address, second.destination, second.counted) == ("api", "", None, True)
    assert second.read == long, "more than fits into a message"
    assert found.streams == [Joined(("main", 3, 1), ("::1", 5, 0, 0), 3.5, (100, 200), found.streams[0].fds)]
    assert found.ended == parcel.ended
    assert found.left == parcel.left
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"clients": [["main", "", None, 1.0, True, True]]},
        {"clients": [["main", "", None, None, True, False]]},
        {"clients": [["main", ""]]},
        {"clients": [["main", "", None, 1.0, True, False]] * 2},
        {"streams": [["main", 1, 0, "", 1.0, 0, 0]]},
        {"ended": [["main", "no such reason", 1]]},
        {"left": [["main", "g1", 0, 1, 0, 0]]},
        {"left": 3},
        {},
    ],
)
def test_what_is_none_is_refused_and_its_descriptors_are_the_messages_still(wrong: dict[str, object]) -> None:
    message = wire.Message(
        {"clients": [], "streams": [], "ended": [], "left": [], **wrong}, [os.open("/dev/null", os.O_RDONLY)]
    )
    with pytest.raises((KeyError, TypeError, ValueError, OSError)):
        decode(message)
    assert len(message.fds) == 1
    message.close()


def test_where_there_is_no_descriptor_for_what_was_read_nothing_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    fd = socket_fd()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Too many"):
        encode(Parcel([("main", Unseated(fd, "", None, 1.0, read=b"GET"))]))
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)
