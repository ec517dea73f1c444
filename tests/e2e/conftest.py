import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from e2e.browsers import Client, Visit, Visits
from e2e.doors import Changing, OneDoor, tcp
from e2e.harness import Frontdoor, config
from e2e.kept import Kept
from e2e.shared import Shared


@pytest.fixture
def prepare() -> Iterator[Callable[..., Frontdoor]]:
    """A folder with a config of greeters and these changes to it; nothing runs yet."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(closing(Frontdoor(config(**changes))))


@pytest.fixture
def serve(prepare: Callable[..., Frontdoor]) -> Callable[..., Frontdoor]:
    """The same, and `frontdoor serve` serves it."""

    def started(**changes: Any) -> Frontdoor:
        return prepare(**changes).start()

    return started


@pytest.fixture(scope="module")
def idle_door() -> Iterator[Frontdoor]:
    """One that all tests of a module share: they ask it for what it must refuse, and v1 serves on."""
    with closing(Frontdoor(config())) as door:
        yield door.start()


@pytest.fixture(scope="module")
def changing() -> Iterator[Changing]:
    """One that all tests of a module share, with a new door for each of them."""
    with closing(Changing()) as frontdoor:
        yield frontdoor.start()


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    """One that all tests share who ask for it `anew`. It is started by the first."""
    with closing(Shared()) as frontdoor:
        yield frontdoor


@pytest.fixture
def anew(shared: Shared) -> Iterator[Callable[..., Shared]]:
    """That frontdoor with one door, of greeters and with these changes, as if it had just been started."""
    yield shared.anew
    shared.leave()


@pytest.fixture
def only(changing: Changing) -> Iterator[Callable[..., OneDoor]]:
    """A door of its own for this test, of greeters and with these changes, in that frontdoor."""
    yield changing.only
    changing.hang_up()
    if os.path.exists(changing.path("go")):  # what a greeter may have waited for
        os.unlink(changing.path("go"))


@pytest.fixture
def visit() -> Iterator[Visit]:
    """A client with one connection, which it keeps."""
    with ExitStack() as stack:

        def comes(door: OneDoor) -> Client:
            client = stack.enter_context(closing(Client(*tcp(door.address), timeout=20)))
            client.connect()
            return client

        yield comes


@pytest.fixture
def visits() -> Iterator[Visits]:
    """Clients of http doors. Ask for it last: they leave before the door is stopped, which would wait for them."""
    visits = Visits()
    yield visits
    visits.leave()


@pytest.fixture
def kept() -> Iterator[Callable[[Frontdoor], Kept]]:
    """Opens a connection of an http door, which is kept for many requests. After the fixture that gave the door."""
    with ExitStack() as stack:
        yield lambda door: stack.enter_context(closing(Kept(door.address)))
