"""The folder of the reports: what is written there, what is removed, and what is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from frontdoor.door.report_folder import KEPT, LARGEST_FILE, LEFT_OVER, Folder
from frontdoor.observe.reports.encoding import as_json, encode
from frontdoor.observe.reports.report import Report
from observe.reports.records import drained

NAME = "main-000003.json"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "state" / "swaps"))


def data(**changes: object) -> bytes:
    return as_json({**encode(drained()), **changes})


def test_it_is_made_for_its_owner_alone_whatever_the_umask(folder: Folder) -> None:
    before = os.umask(0)
    try:
        folder.write("main", 3, data())
    finally:
        os.umask(before)
    assert os.stat(folder.path).st_mode & 0o777 == 0o700
    assert os.stat(f"{folder.path}/{NAME}").st_mode & 0o777 == 0o600
    assert os.listdir(folder.path) == [NAME]
    assert folder.read("main", 3) == drained()


def test_one_is_replaced_as_a_whole(folder: Folder) -> None:
    folder.write("main", 3, data())
    folder.write("main", 3, data(message="new"))
    assert folder.summaries("main").keys() == {3}
    report = folder.read("main", 3)
    assert report is not None
    assert report.message == "new"


def test_the_oldest_are_removed_and_nothing_of_others(folder: Folder) -> None:
    for number in range(1, KEPT + 4):
        folder.write("main", number, b"")
        os.utime(f"{folder.path}/main-{number:06}.json", (number, number))
    os.utime(f"{folder.path}/main-000001.json")  # the numbers have begun anew
    others = ("main-2-000001.json", "main-1.json", "main-000001.json.bak", "xmain-000001.json", "notes")
    for name in others:
        Path(folder.path, name).write_text("mine")
        os.utime(f"{folder.path}/{name}", (0, 0))
    os.mkdir(f"{folder.path}/main-000900.json")
    left, young = (Path(folder.path, f"main-{number:06}.json.new") for number in (901, 902))
    for file in (left, young):
        file.write_text("{")
    os.utime(left, (0, os.stat(young).st_mtime - LEFT_OVER - 60))

    folder.remove_old("main")
    assert {*others, "main-000900.json", young.name, "main-000001.json"} <= set(os.listdir(folder.path))
    assert not left.exists()
    assert [n for n in range(2, KEPT + 4) if not os.path.exists(f"{folder.path}/main-{n:06}.json")] == [2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 1}',
        b"\xff\xfe",
        b" " * (LARGEST_FILE + 1),
        b"[" * 100_000,
        data(number=4),
        data(schema=9),
    ],
    ids=["empty", "cut", "a list", "little", "bytes", "large", "deep", "another's", "newer"],
)
def test_a_damaged_one_is_a_problem_and_no_report(folder: Folder, content: bytes) -> None:
    folder.write("main", 3, content)
    assert folder.read("main", 3) is None
    ((path, why),) = folder.problems
    assert path.endswith(NAME)
    assert why


def test_what_is_no_file_is_not_waited_for(folder: Folder) -> None:
    folder.write("main", 1, data(number=1))
    os.mkfifo(f"{folder.path}/{NAME}")
    assert folder.read("main", 3) is None
    os.unlink(f"{folder.path}/{NAME}")
    os.symlink("main-000001.json", f"{folder.path}/{NAME}")
    assert folder.read("main", 3) is None
    assert len(folder.problems) == 2
    assert folder.summaries("main").keys() == {1}


def test_without_a_folder_there_is_nothing(folder: Folder) -> None:
    assert folder.read("main", 1) is None
    assert folder.summaries("main") == {}
    assert folder.problems == []


def test_what_has_not_changed_is_not_read_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        folder.write("main", number, data(number=number))
    folder.write("side", 1, data(number=1, door="side"))
    first = folder.summaries("main")
    read: list[int] = []
    real = folder.read

    def counted(door: str, number: int) -> Report | None:
        read.append(number)
        return real(door, number)

    monkeypatch.setattr(folder, "read", counted)
    assert folder.summaries("side")[1]["number"] == 1
    assert folder.summaries("main") == first
    assert read == [1]
    folder.write("main", 2, data(number=2, cut=9))
    assert folder.summaries("main")[2]["cut"] == 9
    assert read == [1, 2]
    os.unlink(f"{folder.path}/main-000001.json")
    assert folder.summaries("main").keys() == {2}
    assert json.loads(as_json(first[1]))["number"] == 1
