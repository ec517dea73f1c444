from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from processes.house import House
from processes.house import house as open_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as it:
        yield it
