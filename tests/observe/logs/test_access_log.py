"""Lines on their way to a file that is moved, missing, full or slow: whoever logs never waits."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from frontdoor.observe.logs import access_log, log_file
from frontdoor.observe.logs.access_log import AccessLog
from frontdoor.observe.logs.log import Log

LINE = b'{"event":"request","path":"/"}\n'


class Complaints(list[str]):
    """What was said, and when the first was."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def __call__(self, why: str) -> None:
        self.append(why)
        self.came.set()


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def log() -> Iterator[tuple[Log, int]]:
    """The other log, and the other end of where it goes."""
    read, write = os.pipe()
    it = Log(format="json", fd=write)
    yield it, read
    it.close()
    os.close(read)
    os.close(write)


Opened = Callable[[str], AccessLog]


@pytest.fixture
def opened(log: tuple[Log, int], complaints: Complaints) -> Iterator[Opened]:
    there: list[AccessLog] = []

    def it(path: str) -> AccessLog:
        there.append(AccessLog(path, log[0].stderr, complaints))
        return there[-1]

    yield it
    for each in there:
        assert each.close(10.0)


def test_lines_come_in_their_order_behind_what_was_there(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    it = opened(str(path))
    lines = [b"%d\n" % number for number in range(20_000)]
    for line in lines:
        it.write(line)
    assert it.close(10.0)
    assert path.read_bytes() == b"before\n" + b"".join(lines)
    assert it.dropped == 0
    assert repr(it) == f"<AccessLog to {path}, 0 lines to write>"


def test_a_file_is_there_from_the_beginning_for_its_owner_and_group(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "access.log"
    umask = os.umask(0)
    try:
        assert opened(str(path)).close(10.0)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b""


def test_after_a_rotation_the_new_file_is_written_to(tmp_path: Path, opened: Opened) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    it = opened(str(path))
    it.write(b"one\n")
    it.reopen()  # nothing was moved: it goes on in the same file
    it.write(b"two\n")
    wait_for(lambda: path.exists() and path.read_bytes() == b"one\ntwo\n")
    path.rename(old)
    it.write(b"three\n")
    wait_for(lambda: old.read_bytes() == b"one\ntwo\nthree\n")
    it.reopen()
    wait_for(path.exists)
    it.write(b"four\n")
    assert it.close(10.0)
    assert (old.read_bytes(), path.read_bytes()) == (b"one\ntwo\nthree\n", b"four\n")


def test_a_file_that_cannot_be_opened_costs_lines_and_is_said_once(
    tmp_path: Path, opened: Opened, complaints: Complaints
) -> None:
    folder = tmp_path / "logs"
    it = opened(str(folder / "access.log"))
    assert complaints.came.wait(10)
    for _ in range(100):
        it.write(LINE)
    wait_for(lambda: it.dropped == 100)
    assert complaints == ["it cannot be opened: No such file or directory"]
    folder.mkdir()
    it.reopen()  # whoever has made the folder says so
    wait_for((folder / "access.log").exists)
    it.write(LINE)
    assert it.close(10.0)
    line, dropped = (folder / "access.log").read_bytes().splitlines()
    assert line + b"\n" == LINE
    said = json.loads(dropped)
    assert (said["event"], said["level"], said["count"]) == ("log.dropped", "warning", 100)


def test_a_file_that_is_tried_again_by_itself(
    tmp_path: Path, opened: Opened, complaints: Complaints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "TRY_AGAIN", 0.0)
    path = tmp_path / "logs" / "access.log"
    it = opened(str(path))
    assert complaints.came.wait(10)
    path.parent.mkdir()
    it.write(LINE)
    assert it.close(10.0)
    assert path.read_bytes().startswith(LINE)


def test_a_full_disk_costs_lines_and_is_said(tmp_path: Path, opened: Opened, complaints: Complaints) -> None:
    it = opened("/dev/full")
    it.write(LINE)
    wait_for(lambda: it.dropped == 1)
    assert complaints == [f"it cannot be written to: {os.strerror(errno.ENOSPC)}"]


def full_pipe(folder: Path) -> tuple[str, BinaryIO, int]:
    """A FIFO that has a reader, and no room: who writes there waits; and how many bytes are in it."""
    path = str(folder / "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    full = 0
    with suppress(BlockingIOError):
        while True:
            full += os.write(writer, b"x" * 4096)
    os.set_blocking(reader, True)
    os.close(writer)
    return path, os.fdopen(reader, "rb"), full


def test_whoever_logs_does_not_wait_for_a_reader_and_what_does_not_fit_is_counted(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "QUEUE", 100 * len(LINE))
    path, reader, full = full_pipe(tmp_path)
    with reader:
        it = opened(path)
        for _ in range(1000):
            it.write(LINE)
        assert it.dropped == 1000 - 101
        reader.read(full)
        assert it.close(10.0)
        lines = reader.read().splitlines()
    assert [*{*lines[:-1]}] == [LINE.rstrip()]
    assert len(lines) == 102
    assert json.loads(lines[-1])["count"] == 899


def test_the_end_does_not_wait_longer_than_it_may(tmp_path: Path, log: tuple[Log, int]) -> None:
    path, reader, full = full_pipe(tmp_path)
    with reader:
        it = AccessLog(path, log[0].stderr, Complaints())
        it.write(LINE)
        assert not it.close(0.01)
        reader.read(full)  # now it can end
        assert it.close(10.0)
        assert reader.read() == LINE


def test_on_stderr_it_goes_between_the_lines_of_the_other_log(log: tuple[Log, int], opened: Opened) -> None:
    other, read = log
    it = opened("-")
    long = b'{"event":"request","path":"/' + b"a" * 3000 + b'"}\n'
    received = bytearray()

    def take() -> None:
        while received.count(b"\n") < 400:
            received.extend(os.read(read, 1000))

    reader = threading.Thread(target=take)
    reader.start()
    for number in range(200):
        it.write(long)
        other.info("something", number=number)
    reader.join(30)
    assert it.close(10.0)
    lines = bytes(received).splitlines(keepends=True)
    assert [line for line in lines if line == long] == [long] * 200
    assert [json.loads(line)["number"] for line in lines if line != long] == [*range(200)]


def wait_for(what: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(1000):
        if what():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen within ten seconds")
