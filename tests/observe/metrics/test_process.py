import os
import resource
import time
from types import SimpleNamespace

import pytest

from frontdoor.observe.metrics import process


async def test_what_this_process_takes() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    used = await process.usage()
    assert used.cpu_seconds >= before.ru_utime + before.ru_stime
    assert 1 << 20 < used.resident_bytes < 1 << 34
    assert used.most_descriptors == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 0 < time.time() - used.started < 24 * 3600
    assert (await process.usage()).started == used.started, "it does not waver"


async def test_descriptors_are_counted_also_where_the_kernel_does_not_say_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = len(os.listdir("/proc/self/fd")) - 1  # one of them was that of the folder itself
    assert await process.descriptors() == there
    monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(st_size=0))
    assert await process.descriptors() == there
