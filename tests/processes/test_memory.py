from __future__ import annotations

import subprocess

import pytest

from frontdoor.processes.memory import Memory
from keeper.watching import alive, descriptors, until


def test_the_dead_have_no_memory_even_before_somebody_has_noticed() -> None:
    before = descriptors()
    process = subprocess.Popen(["sleep", "1000"])
    memory = Memory(process.pid)
    assert not memory.is_gone()
    process.kill()
    until(lambda: not alive(process.pid))  # a zombie
    assert memory.is_gone()
    process.wait()
    assert memory.is_gone()
    memory.close()
    memory.close()
    assert descriptors() == before


def test_it_is_gone_before_its_sockets_are() -> None:
    process = subprocess.Popen(["sleep", "1000"], stdout=subprocess.PIPE)
    memory = Memory(process.pid)
    process.kill()
    assert process.stdout is not None
    with process.stdout as output:
        assert output.read() == b""  # its end was closed at this moment
    assert memory.is_gone()
    process.wait()
    memory.close()


@pytest.mark.parametrize("pid", [0, 2**30])
def test_of_who_does_not_exist_nothing_is_known(pid: int) -> None:
    assert not Memory(pid).is_gone()
