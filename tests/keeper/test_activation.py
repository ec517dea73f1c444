"""Socket activation, from the side of systemd: real sockets at descriptor 3 and up, in a process of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import pytest

from frontdoor.keeper.activation import Activation, ActivationError
from keeper.watching import descriptors

AT_THREE = """
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[2].split(",") if fd]
for number, fd in enumerate(fds, 3):
    os.dup2(fd, number)
    os.close(fd)
os.closerange(3 + len(fds), 100)
os.environ["LISTEN_PID"] = sys.argv[1] or str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""
"""What systemd does before it starts a service."""

OPENS = """
import json, os, sys
from frontdoor.keeper.activation import Activation, ActivationError
activation = Activation.take(os.environ)
said = {"env": [name for name in os.environ if name.startswith("LISTEN_")], "again": repr(Activation.take(os.environ))}
said["inheritable"] = [os.get_inheritable(fd) for _, fd in activation.passed]
for name in sys.argv[1:]:
    try:
        copies = activation.open("systemd:" + name)
        said[name] = [(sock.getsockname(), sock.getblocking(), sock.get_inheritable()) for sock in copies]
    except ActivationError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def passed(sockets: Sequence[int], *names: str, pid: str = "", **env: str) -> dict[str, object]:
    """What a process says that was started with these descriptors, and opens these names."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", AT_THREE, pid, ",".join(map(str, sockets)), "-c", OPENS, *names],
        env={**given, "LISTEN_FDS": str(len(sockets)), **env},
        pass_fds=sockets,
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_socket_is_found_by_its_name(listener: socket.socket, folder: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{folder}/s")
        other.listen()
        said = passed([listener.fileno(), other.fileno()], "web", "api", LISTEN_FDNAMES="web:api")
    assert said["web"] == [[list(listener.getsockname()), False, False]], "non-blocking, and no child's"
    assert said["api"] == [[f"{folder}/s", False, False]]
    assert said["inheritable"] == [False, False]


def test_several_of_one_name_are_all_of_it(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = passed([listener.fileno(), other.fileno()], "web", LISTEN_FDNAMES="web:web")
        assert [name for name, *_ in said["web"]] == [list(listener.getsockname()), list(other.getsockname())]  # type: ignore[attr-defined]


def test_what_comes_after_exec_does_not_take_them_again(listener: socket.socket) -> None:
    said = passed([listener.fileno()], LISTEN_FDNAMES="web")
    assert said["env"] == []
    assert said["again"] == "<Activation of nothing>"


def test_without_names_they_are_called_unknown(listener: socket.socket) -> None:
    said = passed([listener.fileno()], "unknown", "web")
    assert said["unknown"] == [[list(listener.getsockname()), False, False]]
    assert said["web"] == (
        "systemd has passed no socket called 'web', but 'unknown'. "
        "FileDescriptorName= in the .socket unit is the name, else the name of that unit"
    )


def test_names_that_do_not_fit_their_number_are_no_names(listener: socket.socket) -> None:
    assert "unknown" in str(passed([listener.fileno()], "a", LISTEN_FDNAMES="a:b")["a"])


def test_those_of_another_process_are_not_taken(listener: socket.socket) -> None:
    said = str(passed([listener.fileno()], "web", pid="1", LISTEN_FDNAMES="web")["web"])
    assert said.startswith("there is no socket called 'web'. They were passed to process 1 (LISTEN_PID), and this is ")


@pytest.mark.parametrize("count", ["many", "-1", "", "999999", "٣"])
def test_garbage_in_the_environment_is_no_socket(count: str, listener: socket.socket) -> None:
    said = passed([listener.fileno()], "web", LISTEN_FDS=count)
    assert "there is no socket called 'web'" in str(said["web"])


def test_more_than_there_are_is_as_many_as_there_are(listener: socket.socket) -> None:
    said = passed([listener.fileno()], "web", LISTEN_FDS="3", LISTEN_FDNAMES="web:web:web")
    assert len(said["web"]) == 1  # type: ignore[arg-type]


def test_outside_of_systemd_it_is_said_what_is_missing() -> None:
    with pytest.raises(ActivationError) as refused:
        Activation().open("systemd:web")
    assert str(refused.value) == (
        "there is no socket called 'web'. Systemd has passed none: is there a .socket unit of this service's name?"
    )
    assert refused.value.errno is None


# -- of the wrong kind ----------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def refusal(activation: Activation) -> str:
    with pytest.raises(ActivationError) as refused:
        activation.open("systemd:web")
    return str(refused.value)


@pytest.mark.usefixtures("nothing_leaks")
def test_a_datagram_socket_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        said = refusal(Activation([("web", sock.fileno())]))
    assert said == "'web' is no stream socket: write ListenStream= in the .socket unit"


@pytest.mark.usefixtures("nothing_leaks")
def test_a_connection_is_refused() -> None:
    one, other = socket.socketpair()
    with one, other:
        said = refusal(Activation([("web", one.fileno())]))
    assert said == "'web' is a connection, and no listening socket: write Accept=no in the .socket unit"


@pytest.mark.usefixtures("nothing_leaks")
def test_what_is_no_socket_is_refused() -> None:
    read, write = os.pipe()
    said = refusal(Activation([("web", read)]))
    os.close(read)
    os.close(write)
    assert said == "what systemd has passed as 'web' is no socket: write ListenStream= in the unit"


@pytest.mark.usefixtures("nothing_leaks")
def test_one_of_several_that_is_wrong_refuses_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bad:
        assert "no stream socket" in refusal(Activation([("web", good.fileno()), ("web", bad.fileno())]))


def test_a_copy_can_be_closed_and_opened_again(listener: socket.socket) -> None:
    activation = Activation([("web", listener.fileno())])
    for _ in range(2):
        (copy,) = activation.open("systemd:web")
        with copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "accepted sockets inherit it"
            assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    with socket.create_connection(listener.getsockname(), timeout=10):
        pass  # it listens on
