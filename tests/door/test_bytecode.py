"""What one process has compiled, and the next one finds. Each start is a process: a module is imported once in each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdoor.keeper.bytecode import VARIABLE

START = """
import json, os, sys
from frontdoor.door.bytecode import Bytecode
bytecode = Bytecode.inherited(os.environ)
if "successor" not in sys.argv:
    bytecode.find()
found = sorted(map(os.path.basename, bytecode.found))
bytecode.install()
import shop
compiled = sorted(map(os.path.basename, bytecode.compiled))
bytecode.leave()
print(json.dumps({"answer": shop.answer, "found": found, "compiled": compiled, "rest": len(bytecode.found)}))
"""
SHOP, TILL = (f"{name}.{sys.implementation.cache_tag}.pyc" for name in ("shop", "till"))


class Starts:
    """Processes that inherit one memfd, and import a module from one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory = os.memfd_create("test")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(self, *arguments: str, **env: str) -> dict[str, Any]:
        own = {VARIABLE: str(self.memory), "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        started = subprocess.run(
            [sys.executable, "-c", START, *arguments],
            env={**os.environ, **own, **env},
            pass_fds=[self.memory],
            capture_output=True,
            text=True,
            check=False,
        )
        assert started.returncode == 0, started.stderr
        answer: dict[str, Any] = json.loads(started.stdout)
        return answer


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    starts = Starts(tmp_path)
    starts.write("till.py", "sum = 6 * 7")
    starts.write("shop.py", "import till\nanswer = till.sum")
    yield starts
    os.close(starts.memory)


def test_the_next_one_compiles_nothing(starts: Starts) -> None:
    assert starts.start() == {"answer": 42, "found": [], "compiled": [SHOP, TILL], "rest": 0}
    for _ in range(2):
        assert starts.start() == {"answer": 42, "found": [SHOP, TILL], "compiled": [], "rest": 0}


def test_a_source_that_was_changed_is_compiled_anew_and_the_others_are_not(starts: Starts) -> None:
    starts.start()
    starts.write("till.py", "sum = 100")
    changed = starts.start()
    assert (changed["answer"], changed["compiled"]) == (100, [TILL])
    again = starts.start()
    assert (again["answer"], again["found"], again["compiled"]) == (100, [SHOP, TILL], [])


def test_a_source_that_is_gone_is_not_found(starts: Starts) -> None:
    starts.start()
    os.unlink(starts.folder / "till.py")
    with pytest.raises(AssertionError, match="No module named 'till'"):
        starts.start()


def test_where_there_are_files_they_are_what_counts(starts: Starts) -> None:
    assert starts.start(PYTHONDONTWRITEBYTECODE="")["compiled"] == [SHOP, TILL]
    os.ftruncate(starts.memory, 0)
    assert starts.start() == {"answer": 42, "found": [], "compiled": [], "rest": 0}
    assert os.fstat(starts.memory).st_size == 0, "there is nothing to leave"


def test_the_new_one_in_an_upgrade_believes_nothing_that_was_left(starts: Starts) -> None:
    starts.start()
    assert starts.start("successor") == {"answer": 42, "found": [], "compiled": [SHOP, TILL], "rest": 0}


@pytest.mark.parametrize("size", [0, 4, 8, 100])
def test_what_was_not_written_to_its_end_is_not_there(starts: Starts, size: int) -> None:
    starts.start()
    os.ftruncate(starts.memory, size)
    assert starts.start() == {"answer": 42, "found": [], "compiled": [SHOP, TILL], "rest": 0}


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"\x05" + b"\0" * 11 + b"hello", b"\x0c" * 9])
def test_garbage_is_not_there(starts: Starts, garbage: bytes) -> None:
    os.pwrite(starts.memory, garbage, 0)
    assert starts.start()["compiled"] == [SHOP, TILL]
    assert starts.start()["compiled"] == []


def test_a_bit_that_was_flipped_is_seen(starts: Starts) -> None:
    starts.start()
    place = os.fstat(starts.memory).st_size - 20
    (bits,) = os.pread(starts.memory, 1, place)
    os.pwrite(starts.memory, bytes([bits ^ 1]), place)
    assert starts.start() == {"answer": 42, "found": [], "compiled": [SHOP, TILL], "rest": 0}


@pytest.mark.parametrize("number", ["", "nonsense", "-1", "9999"])
def test_without_a_memfd_all_goes_on(starts: Starts, number: str) -> None:
    for _ in range(2):
        assert starts.start(**{VARIABLE: number})["compiled"] == [SHOP, TILL]
