from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from frontdoor.cli.screen.blocks import Block, share


def block(name: str, rows: int, rank: int, sizes: tuple[int, ...] = (1,), keep: int | None = None) -> Block:
    return Block([Text(f"{name}{row}") for row in range(rows)], rank, sizes, keep)


def shown(blocks: list[Block], height: int) -> str:
    return " ".join(line.plain for line in share(blocks, height))


def test_with_room_for_all_all_are_shown_in_their_order() -> None:
    assert shown([block("a", 2, rank=2), block("b", 2, rank=1)], 9) == "a0 a1 b0 b1"


def test_who_has_the_lowest_rank_is_given_rows_first() -> None:
    blocks = [block("a", 5, rank=2, sizes=(2, 4)), block("b", 5, rank=1, sizes=(1, 2))]
    assert shown(blocks, 1) == "b0"
    assert shown(blocks, 3) == "a0 a1 b0"
    assert shown(blocks, 4) == "a0 a1 b0 b1"
    assert shown(blocks, 6) == "a0 a1 a2 a3 b0 b1"
    assert shown(blocks, 8) == "a0 a1 a2 a3 b0 b1 b2 b3"


def test_a_title_without_a_line_below_it_is_not_shown() -> None:
    blocks = [block("a", 1, rank=1), block("events", 4, rank=2, sizes=(2,))]
    assert shown(blocks, 2) == "a0"
    assert shown(blocks, 3) == "a0 events0 events1"


def test_a_small_block_is_shown_whole_though_its_first_size_is_larger() -> None:
    assert shown([block("a", 2, rank=1, sizes=(3,))], 2) == "a0 a1"


def test_the_line_that_is_kept_is_among_those_that_are_shown() -> None:
    doors = block("door", 9, rank=1, sizes=(3,), keep=7)
    assert shown([doors], 3) == "door6 door7 door8"
    assert shown([block("door", 9, rank=1, sizes=(3,), keep=0)], 3) == "door0 door1 door2"
    assert shown([doors], 1) == ""


blocks = st.builds(
    block,
    st.sampled_from("abcdef"),
    st.integers(0, 12),
    st.integers(0, 5),
    st.lists(st.integers(1, 9), min_size=1, max_size=3).map(lambda sizes: tuple(sorted(sizes))),
)


@given(st.lists(blocks, max_size=8), st.integers(0, 40))
def test_no_more_rows_than_there_are_and_none_is_wasted(blocks: list[Block], height: int) -> None:
    lines = share(blocks, height)
    assert len(lines) <= height
    if sum(len(block.lines) for block in blocks) <= height:
        assert [line.plain for line in lines] == [line.plain for block in blocks for line in block.lines]


@given(st.integers(1, 20), st.integers(0, 19), st.integers(1, 20))
def test_whatever_the_room_the_kept_line_is_there(rows: int, keep: int, height: int) -> None:
    keep = min(keep, rows - 1)
    assert f"a{keep}" in shown([block("a", rows, rank=0, keep=keep)], height).split()
