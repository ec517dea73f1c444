from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator

import pytest

from frontdoor.keeper.listeners import open_listeners
from keeper.watching import descriptors


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield path


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def answers(family: int, place: object) -> bool:
    with socket.socket(family) as client:
        client.settimeout(10)
        return client.connect_ex(place) == 0  # type: ignore[arg-type]  # a tuple whose shape follows the family


def test_port_0_picks_a_free_one() -> None:
    (one,), (other,) = open_listeners("127.0.0.1:0"), open_listeners("127.0.0.1:0")
    with one, other:
        assert one.getsockname()[0] == "127.0.0.1"
        assert 0 < port(one) != port(other) > 0
        assert answers(socket.AF_INET, one.getsockname())


def test_a_tcp_listener_is_ready_for_the_relay() -> None:
    (sock,) = open_listeners("127.0.0.1:0")
    with sock, socket.socket() as client:
        assert not sock.getblocking()
        assert not sock.get_inheritable()
        client.connect(sock.getsockname())
        sock.setblocking(True)
        accepted, _ = sock.accept()
        with accepted:
            for level, option in (
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ):
                assert accepted.getsockopt(level, option), "accepted sockets inherit it"
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_v6_stands_beside_v4_on_the_same_port() -> None:
    (four,) = open_listeners("0.0.0.0:0")
    with four:
        try:
            (six,) = open_listeners(f"[::]:{port(four)}")
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                pytest.skip("no IPv6 here")
            raise
        with six:
            assert six.family == socket.AF_INET6
            assert port(six) == port(four)
            assert answers(socket.AF_INET, ("127.0.0.1", port(four)))
            assert answers(socket.AF_INET6, ("::1", port(four)))


def test_a_port_in_use_is_refused() -> None:
    (sock,) = open_listeners("127.0.0.1:0")
    with sock, pytest.raises(OSError, match="in use") as refused:
        open_listeners(f"127.0.0.1:{port(sock)}")
    assert refused.value.errno == errno.EADDRINUSE


def test_a_port_whose_connections_wait_for_their_end_is_free() -> None:
    (sock,) = open_listeners("127.0.0.1:0")
    with sock, socket.create_connection(sock.getsockname()) as client:
        sock.setblocking(True)
        accepted, _ = sock.accept()
        accepted.close()  # our side closes first, so ours is the one in TIME_WAIT
        assert client.recv(1) == b""
        address = sock.getsockname()
    (again,) = open_listeners(f"{address[0]}:{address[1]}")
    again.close()


@pytest.mark.parametrize("address", ["127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:http", "here"])
def test_what_is_no_port_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"is no port|invalid literal"):
        open_listeners(address)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        open_listeners("192.0.2.1:0")


def test_a_host_name_gives_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.1")
    (first,) = open_listeners("127.0.0.1:0")
    free = port(first)
    first.close()
    one, other = open_listeners(f"localhost:{free}")
    with one, other:
        assert {one.getsockname(), other.getsockname()} == {("127.0.0.1", free), ("127.0.0.2", free)}
    (only,) = open_listeners("localhost:0")
    only.close()


def test_an_address_of_the_name_that_this_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # As ::1 of "localhost" in a container without IPv6.
    resolve_to(monkeypatch, "192.0.2.1", "127.0.0.1")
    (sock,) = open_listeners("localhost:0")
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_one_address_of_the_name_in_use_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    (sock,) = open_listeners("127.0.0.1:0")
    resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    with sock, pytest.raises(OSError, match="in use"):
        open_listeners(f"localhost:{port(sock)}")


def resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    def getaddrinfo(host: str, port: int, **hints: int) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(("mode", "rights"), [(0o600, 0o600), (0o660, 0o660), (None, 0o666)])
def test_a_unix_socket_has_its_rights_from_the_first_instant(
    folder: str, mode: int | None, rights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    before = os.umask(0o027)

    class Watched(socket.socket):
        def bind(self, address: object) -> None:
            super().bind(address)  # type: ignore[arg-type]  # as the socket's own
            seen.append(stat.S_IMODE(os.stat(f"{folder}/s").st_mode))  # the file is there: these are its first rights

    monkeypatch.setattr(socket, "socket", Watched)
    try:
        (sock,) = open_listeners(f"unix:{folder}/s", mode=mode)
        sock.close()
        assert os.umask(0o027) == 0o027, "the umask is what it was"
    finally:
        os.umask(before)
    assert seen == [rights]


def test_a_unix_socket_takes_connections(folder: str) -> None:
    (sock,) = open_listeners(f"unix:{folder}/s")
    with sock:
        assert not sock.getblocking()
        assert answers(socket.AF_UNIX, f"{folder}/s")


def test_a_stale_unix_socket_is_replaced(folder: str) -> None:
    (sock,) = open_listeners(f"unix:{folder}/s")
    sock.close()
    assert os.path.exists(f"{folder}/s")
    (sock,) = open_listeners(f"unix:{folder}/s")
    with sock:
        assert answers(socket.AF_UNIX, f"{folder}/s")


def test_a_live_unix_socket_is_refused_and_lives_on(folder: str) -> None:
    (sock,) = open_listeners(f"unix:{folder}/s")
    with sock:
        with pytest.raises(OSError, match="in use") as refused:
            open_listeners(f"unix:{folder}/s")
        assert refused.value.errno == errno.EADDRINUSE
        assert answers(socket.AF_UNIX, f"{folder}/s")


def test_a_live_unix_socket_with_a_full_backlog_is_not_taken_for_a_stale_one(folder: str) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(f"{folder}/s")
        busy.listen(0)
        waiting: list[socket.socket] = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            waiting.append(client)
            client.setblocking(False)
            if client.connect_ex(f"{folder}/s") == errno.EAGAIN:
                break
        with pytest.raises(OSError, match="in use"):
            open_listeners(f"unix:{folder}/s")
        assert os.path.exists(f"{folder}/s")
        for client in waiting:
            client.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_not_a_socket_is_refused_and_left_alone(folder: str, kind: str) -> None:
    path = f"{folder}/s"
    if kind == "file":
        with open(path, "w") as file:
            file.write("dear to somebody")
    elif kind == "folder":
        os.mkdir(path)
    else:
        os.symlink("/nowhere", path)
    before = os.lstat(path)
    with pytest.raises(OSError, match="not a socket"):
        open_listeners(f"unix:{path}")
    assert os.lstat(path) == before


def test_a_unix_socket_in_a_folder_that_is_not_there_is_refused(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_listeners(f"unix:{folder}/none/s")


def test_a_path_that_is_too_long_is_refused(folder: str) -> None:
    with pytest.raises(OSError, match="too long"):
        open_listeners(f"unix:{folder}/{'s' * 108}")
    assert os.listdir(folder) == []
