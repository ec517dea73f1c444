from __future__ import annotations

from collections.abc import Iterator

import pytest

from keeper.stage import Puppet, Stage
from keeper.stage import stage as open_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with open_stage() as it:
        yield it


@pytest.fixture
def door(stage: Stage) -> Puppet:
    """The first door process: it has served."""
    puppet = stage.enter()
    puppet.greet()
    puppet.ask("served")
    return puppet
