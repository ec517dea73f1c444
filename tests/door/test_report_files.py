"""Keeping reports: nobody waits for the disk, and what it does not take is kept in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from frontdoor.door import report_folder
from frontdoor.door.report_files import ReportFiles
from frontdoor.door.report_folder import KEPT
from frontdoor.observe.reports.report import Report
from observe.reports.records import drained


class Said:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, /, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = error


@pytest.fixture
def said() -> Said:
    return Said()


@asynccontextmanager
async def running(tmp_path: Path, said: Said) -> AsyncIterator[ReportFiles]:
    files = ReportFiles(str(tmp_path), said)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(files.run)
        yield files
        nursery.cancel_scope.cancel()


def numbered(number: int) -> Report:
    report = drained()
    report.number = number
    return report


async def put(files: ReportFiles, *numbers: int) -> None:
    for number in numbers:
        files.put(numbered(number))
        await files.settled()


async def test_one_that_was_put_is_there(tmp_path: Path, said: Said) -> None:
    async with running(tmp_path, said) as files:
        assert await files.read("main", 3) is None
        await put(files, 3)
        assert await files.read("main", 3) == numbered(3)
        assert (await files.summaries("main")).keys() == {3}
        assert os.listdir(tmp_path / "swaps") == ["main-000003.json"]
        assert said.lines == []


async def test_what_cannot_be_written_is_kept_said_once_and_written_later(tmp_path: Path, said: Said) -> None:
    (tmp_path / "swaps").write_text("in the way")
    async with running(tmp_path, said) as files:
        await put(files, *range(1, KEPT + 11))
        ((event, fields),) = said.lines
        assert (event, fields["swap"]) == ("report.not_written", 1)
        assert "swaps" in fields["error"]
        assert sorted(await files.summaries("main")) == list(range(11, KEPT + 11)), "the last hundred"
        assert await files.read("main", 50) == numbered(50)
        assert await files.read("main", 1) is None
        (tmp_path / "swaps").unlink()
        await put(files, 500)
        assert len(os.listdir(tmp_path / "swaps")) == KEPT
        assert await files.read("main", 50) == numbered(50)
        assert await files.read("main", 500) == numbered(500)
        # And when it cannot be done once more, that is said once more.
        for name in os.listdir(tmp_path / "swaps"):
            (tmp_path / "swaps" / name).unlink()
        (tmp_path / "swaps").rmdir()
        (tmp_path / "swaps").write_text("in the way again")
        await put(files, 501)
        assert [event for event, _ in said.lines] == ["report.not_written"] * 2


async def test_a_full_disk(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(report_folder, "replace", full)
    async with running(tmp_path, said) as files:
        await put(files, 1, 2)
        assert [fields["error"].rpartition(": ")[2] for _, fields in said.lines] == ["No space left on device"]
        assert (await files.summaries("main")).keys() == {1, 2}


async def test_a_hung_disk_keeps_nobody_who_puts(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    hung, written = threading.Event(), []

    def hang(path: str, data: bytes) -> None:
        hung.wait(20)
        written.append(os.path.basename(path))

    monkeypatch.setattr(report_folder, "replace", hang)
    async with running(tmp_path, said) as files:
        for number in range(1, 1000):
            files.put(numbered(number))
            await trio.lowlevel.checkpoint()
        assert not written
        hung.set()
        await files.settled()
    assert len(written) <= KEPT + 1, "what waits is bounded, and the last ones are there"
    assert written[-1] == "main-000999.json"


async def test_a_damaged_file_is_said_once(tmp_path: Path, said: Said) -> None:
    async with running(tmp_path, said) as files:
        await put(files, 1)
        (tmp_path / "swaps" / "main-000002.json").write_text("{")
        for _ in range(3):
            assert (await files.summaries("main")).keys() == {1}
            assert await files.read("main", 2) is None
        ((event, fields),) = said.lines
        assert event == "report.unusable"
        assert fields["file"].endswith("main-000002.json")


async def test_one_that_cannot_be_encoded_is_said_and_keeps_back_no_other(tmp_path: Path, said: Said) -> None:
    async with running(tmp_path, said) as files:
        bad = numbered(1)
        bad.curve.points[0] = replace(bad.curve.points[0], at=float("nan"))
        files.put(bad)
        await put(files, 2)
        ((event, fields),) = said.lines
        assert (event, fields["door"]) == ("report.broken", "main")
        assert (await files.summaries("main")).keys() == {2}
