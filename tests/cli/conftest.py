from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A folder to type commands in. Not tmp_path: a socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        yield Shell(folder)


@pytest.fixture
async def door(shell: Shell) -> AsyncIterator[FakeDoor]:
    """A door whose control socket is where the folder's config.toml says."""
    shell.write_config()
    door = FakeDoor()
    async with control_socket(door, shell.socket):
        yield door
