import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from frontdoor.keeper import bytecode


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has none yet."""
    monkeypatch.setattr(bytecode, "_memory", None)
    yield
    if (made := bytecode.remember()) is not None:
        os.close(made)


def test_it_is_made_once_and_no_backend_gets_it() -> None:
    assert bytecode.remember() is None
    made = bytecode.memory()
    assert made is not None
    assert bytecode.memory() == bytecode.remember() == made
    assert fcntl.fcntl(made, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert os.readlink(f"/proc/self/fd/{made}").startswith("/memfd:")


def test_a_renewed_keeper_goes_on_with_it() -> None:
    read, write = os.pipe()
    os.close(read)
    bytecode.recall(write)
    assert bytecode.memory() == write


def test_a_keeper_whose_code_knew_none_makes_it() -> None:
    bytecode.recall(None)
    assert bytecode.memory() is not None


def test_without_room_for_it_a_door_process_is_started_all_the_same() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert bytecode.memory() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert bytecode.memory() is not None, "it is tried again"
