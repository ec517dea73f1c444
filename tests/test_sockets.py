import os
import socket
import tempfile
from collections.abc import Iterator

import pytest

from frontdoor import sockets


@pytest.fixture
def path() -> Iterator[str]:
    # Not tmp_path: a socket's path has 107 bytes at most, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        yield f"{folder}/app.sock"


def test_a_dial_succeeds_at_once_and_the_socket_neither_blocks_nor_is_inherited(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        fd = sockets.dial(path)
        assert fd is not None
        with socket.socket(fileno=fd), listening.accept()[0] as accepted:
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)
            accepted.sendall(b"hello")
            assert sockets.receive(fd, 5) == b"hello"
            with pytest.raises(BlockingIOError):
                sockets.receive(fd, 5)


def test_a_full_backlog_is_no_success(path: str) -> None:
    # connect(2) says EAGAIN there, and nothing is under way: who takes that for EINPROGRESS has a dead socket.
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        first = sockets.dial(path)
        assert first is not None
        before = len(os.listdir("/proc/self/fd"))
        assert sockets.dial(path) is None
        assert len(os.listdir("/proc/self/fd")) == before
        os.close(first)


def test_nobody_listens(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        sockets.dial(path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        with pytest.raises(ConnectionRefusedError):
            sockets.dial(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_fin_is_sent_and_the_descriptor_stays() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets.shut(ours.fileno())
        assert theirs.recv(1) == b""
        theirs.sendall(b"still open")
        assert ours.recv(10) == b"still open"


def test_fin_on_what_is_not_connected_is_harmless() -> None:
    with socket.socket() as never:
        sockets.shut(never.fileno())
        assert never.fileno() >= 0


def test_a_reset_is_sent_although_somebody_else_holds_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as peer:
        ours, _ = listening.accept()
        with ours, ours.dup():
            sockets.reset(ours.fileno())
            peer.settimeout(5)
            with pytest.raises(ConnectionResetError):
                peer.recv(1)


def test_a_reset_of_what_is_not_connected_is_harmless() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as never:
        sockets.reset(never.fileno())
        sockets.reset(ours.fileno())  # a Unix socket has no such thing
        theirs.sendall(b"still open")
        assert ours.recv(10) == b"still open"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("203.0.113.7", 51234), "203.0.113.7:51234"),
        (("2001:db8::1", 443, 0, 0), "[2001:db8::1]:443"),
        ("", "unix"),
        (b"", "unix"),
    ],
)
def test_an_address_for_people(address: object, shown: str) -> None:
    assert sockets.show(address) == shown
