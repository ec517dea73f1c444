from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.processes import output
from frontdoor.processes.output import CHUNK, LINE, LINES, PIPE, Line, Reader, Ring
from keeper.watching import descriptors
from processes.house import until


class Pipe:
    """A process' output, and who reads it."""

    def __init__(self) -> None:
        read, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        self.told: list[Line] = []
        self.ring = Ring(self.told.append)
        self.reader = Reader(read, 4711, self.ring)

    @property
    def lines(self) -> list[str]:
        return [line.text for line in self.told]

    def write(self, data: bytes) -> None:
        assert os.write(self.write_end, data) == len(data)

    def hang_up(self) -> None:
        os.close(self.write_end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    before = descriptors()
    it = Pipe()
    yield it
    assert descriptors() == before, "the test closes both ends"


async def read_to_the_end(pipe: Pipe) -> None:
    pipe.hang_up()
    with trio.fail_after(30):
        await pipe.reader.run()
    assert pipe.reader.ended.is_set()
    pipe.reader.close()


async def test_lines_are_told_as_they_come_each_with_its_pid(pipe: Pipe, nursery: trio.Nursery) -> None:
    nursery.start_soon(pipe.reader.run)
    pipe.write(b"one\ntwo\r\nthr")
    await until(lambda: len(pipe.told) == 2)
    assert [(line.pid, line.text) for line in pipe.told] == [(4711, "one"), (4711, "two")]
    assert time.time() - 60 < pipe.told[0].time <= pipe.told[1].time <= time.time()
    assert pipe.ring.lines == pipe.told
    pipe.write(b"ee\n\n")
    await until(lambda: len(pipe.told) == 4)
    assert pipe.lines == ["one", "two", "three", ""]
    nursery.cancel_scope.cancel()
    pipe.hang_up()
    pipe.reader.close()


async def test_the_last_line_may_have_no_end(pipe: Pipe) -> None:
    pipe.write(b"first\nno end")
    await read_to_the_end(pipe)
    assert pipe.lines == ["first", "no end"]


async def test_no_output_is_no_line(pipe: Pipe) -> None:
    await read_to_the_end(pipe)
    assert pipe.lines == []


async def test_what_is_not_utf_8_is_shown_as_far_as_it_is(pipe: Pipe) -> None:
    pipe.write("Zürich \N{SNOWMAN} ".encode() + b"\xff\xfe broken \xc3\n")
    await read_to_the_end(pipe)
    assert pipe.lines == ["Zürich \N{SNOWMAN} \ufffd\ufffd broken \ufffd"]


@pytest.mark.parametrize("length", [LINE - 1, LINE, LINE + 1, 2 * LINE, 5 * LINE + 7, CHUNK])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_long_line_is_cut_and_nothing_of_it_is_lost(pipe: Pipe, length: int, end: bytes) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    pipe.write(text.encode() + end)
    await read_to_the_end(pipe)
    assert "".join(pipe.lines) == text
    assert [len(line) for line in pipe.lines[:-1]] == [LINE] * (len(pipe.lines) - 1)
    assert 0 < len(pipe.lines[-1]) <= LINE


@given(parts=st.lists(st.binary(max_size=20)), line=st.integers(1, 8))
def test_how_it_is_cut_does_not_depend_on_how_it_came(parts: list[bytes], line: int) -> None:
    def lines(pieces: list[bytes]) -> list[str]:
        found: list[str] = []
        reader = Reader(-1, 1, Ring(lambda line: found.append(line.text)))
        for piece in pieces:
            reader._take(piece)
        reader._flush()
        return found

    before, output.LINE = output.LINE, line
    try:
        assert lines(parts) == lines([b"".join(parts)])
    finally:
        output.LINE = before


async def test_what_is_left_at_the_end_is_taken(pipe: Pipe) -> None:
    pipe.write(b"never read\nuntil the end")
    pipe.reader.close()
    pipe.hang_up()
    assert pipe.lines == ["never read", "until the end"]


async def test_a_pipe_full_of_empty_lines_at_the_end_costs_no_more_than_the_ring_keeps(pipe: Pipe) -> None:
    pipe.write(b"\n" * PIPE)
    pipe.reader.close()
    pipe.hang_up()
    assert len(pipe.told) == len(pipe.ring) == LINES


def test_the_ring_is_bounded_and_keeps_the_last() -> None:
    ring = Ring()
    for number in range(LINES + 500):
        ring.add(1, f"line {number}")
    assert len(ring) == LINES
    assert ring.last(2) == ["line 1498", "line 1499"]
    assert ring.last(LINES * 2)[0] == "line 500"
    assert ring.last(0) == []


async def test_who_prints_without_a_pause_does_not_hold_up_others(pipe: Pipe, nursery: trio.Nursery) -> None:
    """Between two turns of another task there are never more than a few lines."""
    pipe.write(b"x\n" * 30_000)
    nursery.start_soon(pipe.reader.run)
    most, before = 0, 0
    while len(pipe.told) < 30_000:
        await trio.lowlevel.checkpoint()
        most, before = max(most, len(pipe.told) - before), len(pipe.told)
    assert most <= 100
    nursery.cancel_scope.cancel()
    pipe.hang_up()
    pipe.reader.close()


async def test_a_flood_is_read_to_its_end_and_does_not_fill_the_memory(pipe: Pipe) -> None:
    size = 100_000_000
    pipe.ring._told = lambda line: None
    process = await trio.lowlevel.open_process(["head", "-c", str(size), "/dev/zero"], stdout=pipe.write_end)
    before = memory()
    await read_to_the_end(pipe)
    assert await process.wait() == 0, "nobody has kept it from writing all of it"
    assert memory() - before < 20_000_000
    assert len(pipe.ring) == LINES


def memory() -> int:
    """Bytes of this process' memory, shared ones aside."""
    with open("/proc/self/statm") as file:
        words = file.read().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGESIZE")
