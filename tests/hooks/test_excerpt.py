from __future__ import annotations

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.hooks.excerpt import CHUNK, LINE, LINES, TAIL, Excerpt


class Pipe:
    """A hook's output, and who reads it."""

    def __init__(self) -> None:
        read, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        self.told: list[str] = []
        self.excerpt = Excerpt(read, self.told.append)

    def write(self, data: bytes) -> None:
        assert os.write(self.write_end, data) == len(data)

    async def read_to_the_end(self) -> None:
        os.close(self.write_end)
        with trio.fail_after(10):
            await self.excerpt.run()
        self.excerpt.close()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


async def test_a_few_lines_are_told_and_remembered(pipe: Pipe) -> None:
    pipe.write("one\r\n\nZürich \N{SNOWMAN} ".encode() + b"\xff\nno end")
    await pipe.read_to_the_end()
    assert pipe.told == ["one", "", "Zürich \N{SNOWMAN} \ufffd", "no end"]
    assert pipe.excerpt.last(99) == pipe.told
    assert pipe.excerpt.last(2) == pipe.told[-2:]


async def test_no_output_is_no_line(pipe: Pipe) -> None:
    await pipe.read_to_the_end()
    assert (pipe.told, pipe.excerpt.last(5)) == ([], [])


async def test_as_many_lines_as_there_is_room_for_are_all_told(pipe: Pipe) -> None:
    pipe.write(b"line\n" * LINES)
    await pipe.read_to_the_end()
    assert pipe.told == ["line"] * LINES


async def test_of_more_lines_the_first_are_told_the_last_remembered_and_the_rest_counted(pipe: Pipe) -> None:
    pipe.write(b"".join(b"line %d\n" % number for number in range(5000)) + b"no end")
    await pipe.read_to_the_end()
    assert pipe.told[:LINES] == [f"line {number}" for number in range(LINES)]
    assert pipe.told[LINES:] == [
        "… 4901 more lines (48.1 kB) not shown: of a hook's output the first 100 lines are",
    ]
    assert pipe.excerpt.last(3) == ["line 4998", "line 4999", "no end"]
    assert all(line.startswith("line ") for line in pipe.excerpt.last(TAIL)[:-1]), "none without its beginning"


async def test_a_line_without_an_end_is_cut(pipe: Pipe) -> None:
    pipe.write(b"x" * (LINE + 1))
    await pipe.read_to_the_end()
    assert pipe.told == ["x" * LINE, "x"]
    assert pipe.excerpt.last(9) == ["x" * (LINE + 1)]


async def test_what_is_left_at_the_end_is_taken_though_a_writer_is_left(pipe: Pipe) -> None:
    pipe.write(b"never read\n" * 20)
    pipe.excerpt.close()
    os.close(pipe.write_end)
    assert pipe.told == ["never read"] * 20


async def test_who_prints_without_a_pause_does_not_hold_up_others(pipe: Pipe, nursery: trio.Nursery) -> None:
    pipe.write(b"x\n" * (CHUNK // 2))
    nursery.start_soon(pipe.excerpt.run)
    turns = []
    while len(pipe.told) < LINES:
        await trio.lowlevel.checkpoint()
        turns.append(len(pipe.told))
    assert max(after - before for before, after in zip([0, *turns], turns, strict=False)) <= 32
    nursery.cancel_scope.cancel()
    pipe.excerpt.close()
    os.close(pipe.write_end)


@given(parts=st.lists(st.binary(max_size=40)), ends=st.integers(0, 300))
def test_what_is_shown_does_not_depend_on_how_it_came(parts: list[bytes], ends: int) -> None:
    def shown(pieces: list[bytes]) -> tuple[list[str], list[str]]:
        told: list[str] = []
        excerpt = Excerpt(os.open(os.devnull, os.O_RDONLY), told.append)
        for piece in pieces:
            excerpt._take(piece)
        excerpt.close()
        return told, excerpt.last(50)

    whole = b"a\n" * ends + b"".join(parts)
    assert shown([b"a\n"] * ends + parts) == shown([whole])
    told, _ = shown([whole])
    lines = whole.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    assert [line.encode(errors="replace") for line in told[:LINES]] == [
        line.decode(errors="replace").rstrip("\r").encode(errors="replace") for line in lines[:LINES]
    ]
    assert len(told) == min(len(lines), LINES + 1)
