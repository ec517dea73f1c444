from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from control.fakedoor import FakeDoor, control_socket
from frontdoor.control import server as module
from frontdoor.control.server import Server


@pytest.fixture
def socket_path() -> Iterator[str]:
    # Not tmp_path: a socket's path has 107 bytes at most, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        yield f"{folder}/control.sock"


@pytest.fixture
def errors() -> list[Exception]:
    return []


@pytest.fixture
async def door() -> FakeDoor:
    return FakeDoor()


@pytest.fixture
async def running(
    door: FakeDoor, socket_path: str, errors: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    monkeypatch.setattr(module, "SWEEP", 0.02)
    async with control_socket(door, socket_path, errors) as server:
        yield server


@pytest.fixture
async def path(running: Server, socket_path: str) -> str:
    """The control socket's path, with a server behind it."""
    return socket_path
