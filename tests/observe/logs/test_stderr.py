"""A stderr that may be blocked, busy or broken."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from frontdoor.observe.logs.stderr import Stderr


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """It holds one page, so that it is full with one line."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        os.close(end)


def test_what_is_mentioned_is_a_line(pipe: tuple[int, int]) -> None:
    assert Stderr(pipe[1]).mention("a word", "error")
    assert os.read(pipe[0], 100) == b"a word\n"


def test_what_does_not_fit_is_not_mentioned(pipe: tuple[int, int]) -> None:
    stderr = Stderr(pipe[1])
    assert stderr.put(b"x" * 4096) == 4096
    assert not stderr.mention("a word", "error")
    assert os.read(pipe[0], 8192) == b"x" * 4096


def test_nothing_is_mentioned_in_the_middle_of_a_line(pipe: tuple[int, int]) -> None:
    stderr = Stderr(pipe[1])
    with stderr.turn:  # somebody writes, and waits for a reader
        assert not stderr.mention("a word", "error")


def test_a_long_word_is_cut(pipe: tuple[int, int]) -> None:
    assert Stderr(pipe[1]).mention("x" * 10_000, "error")
    assert os.read(pipe[0], 8192) == b"x" * 4095 + b"\n"


def test_to_nobody_nothing_is_written(pipe: tuple[int, int]) -> None:
    closed, broken = os.pipe()
    os.close(closed)
    stderr = Stderr(broken)
    assert (stderr.put(b"one\n"), stderr.mention("a word", "error")) == (0, False)
    os.close(broken)
    assert (stderr.put(b"one\n"), stderr.mention("a word", "error")) == (0, False)


def test_the_journal_is_told_what_matters(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    there = os.fstat(pipe[1])
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    stderr = Stderr(pipe[1])
    assert [stderr.mark("x", level) for level in ("debug", "info", "warning", "error")] == [
        "<7>x",
        "<6>x",
        "<4>x",
        "<3>x",
    ]
    assert stderr.mention("a word", "error")
    assert os.read(pipe[0], 100) == b"<3>a word\n"
    assert repr(stderr) == f"<Stderr {pipe[1]}, which the journal reads>"
