"""A file that lines are appended to: it may be removed, moved, torn or full, and no line is lost without a word."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from frontdoor.observe.logs import log_file
from frontdoor.observe.logs.log_file import LogFile


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file can have more bytes than that: a full disk, as far as who writes can see."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, said: list[str]) -> Iterator[LogFile]:
    with closing(LogFile(str(tmp_path / "log"), said.append)) as it:
        yield it


def test_lines_are_behind_what_was_there(tmp_path: Path, file: LogFile) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    assert file.put(b"one\n") == 4
    assert (tmp_path / "log").read_bytes() == b"before\none\n"
    assert repr(file) == f"<LogFile {tmp_path}/log>"


def test_a_pipe_that_nobody_reads_is_said_and_waited_for_by_nobody(
    tmp_path: Path, file: LogFile, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "TRY_AGAIN", 0.0)
    os.mkfifo(tmp_path / "log")
    writes = threading.Thread(target=file.put, args=(b"one\n",), daemon=True)
    writes.start()
    writes.join(5.0)
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)  # frees it, if it waits for one
    try:
        assert said == ["it cannot be opened: No such device or address"]
        assert file.put(b"two\n") == 4
        assert os.read(reader, 100) == b"two\n"
        assert os.get_blocking(file.fd), "a reader who is merely slow is waited for"
    finally:
        os.close(reader)


def test_a_torn_line_is_ended_in_the_same_file_opened_anew(tmp_path: Path, file: LogFile) -> None:
    with disk_of(10):
        assert file.put(b"0123456789abcdef\n") == 10
    file.reopen()  # SIGUSR1, once there is room again, and nobody has moved the file
    assert file.put(b"two\n") == 4
    assert (tmp_path / "log").read_bytes() == b"0123456789\ntwo\n"
    with disk_of(16):
        file.put(b"three\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.reopen()
    file.put(b"four\n")
    assert (tmp_path / "log").read_bytes() == b"four\n"


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path, file: LogFile) -> None:
    file.put(b"one\n")
    (tmp_path / "log").unlink()
    assert file.put(b"two\n") == 4
    assert (tmp_path / "log").read_bytes() == b"two\n"


def test_a_folder_that_was_removed_costs_lines_until_it_is_back(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with closing(LogFile(str(folder / "log"), said.append)) as file:
        file.put(b"one\n")
        (folder / "log").unlink()
        folder.rmdir()
        assert [file.put(b"lost\n"), file.put(b"lost\n")] == [0, 0]
        assert repr(file) == f"<LogFile {folder}/log, which is not open>"
        folder.mkdir()
        assert file.put(b"lost\n") == 0, "it is not tried with each line"
        monkeypatch.setattr(log_file, "TRY_AGAIN", 0.0)
        assert file.put(b"two\n") == 4
    assert said == ["it cannot be opened: No such file or directory"]
    assert (folder / "log").read_bytes() == b"two\n"


def test_one_that_was_renamed_is_gone_on_with_until_somebody_says_so(tmp_path: Path, file: LogFile) -> None:
    file.put(b"one\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.put(b"two\n")
    file.reopen()
    file.put(b"three\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "log").read_bytes() == b"three\n"


def test_half_a_line_is_ended_before_the_next_one(tmp_path: Path, file: LogFile, said: list[str]) -> None:
    with disk_of(10):
        assert file.put(b"one\ntwo\nthree\n") == 10
        assert file.put(b"four\n") == 0
    assert file.put(b"five\n") == 5
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nth\nfive\n"
    assert said == [f"it cannot be written to: {os.strerror(errno.EFBIG)}"]


def test_the_same_is_said_once_a_minute_and_something_else_at_once(
    tmp_path: Path, file: LogFile, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.put(b"one\n")
    with disk_of(4):
        for _ in range(3):
            file.put(b"two\n")
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    for _ in range(3):
        file.put(b"two\n")
    too_large, a_folder = "it cannot be written to: File too large", "it cannot be opened: Is a directory"
    assert said == [too_large, a_folder]
    file.reopen()
    assert said == [too_large, a_folder, a_folder], "who has tried to mend it hears that it is not"
    monkeypatch.setattr(log_file, "TRY_AGAIN", 0.0)
    file.put(b"three\n")
    monkeypatch.setattr(log_file, "SAY_AGAIN", 0.0)
    file.put(b"four\n")
    assert said == [too_large, a_folder, a_folder, a_folder]
