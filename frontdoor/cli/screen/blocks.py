"""Blocks of lines, and how the rows of a small screen are shared among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True)
class Block:
    """Lines that belong together."""

    lines: Sequence[Text]
    rank: int
    """Who has the lowest is given rows first."""
    sizes: tuple[int, ...] = (1,)
    """So many rows in the first round, so many in the next, and after the last as many as it has. With less than the
    first it is not shown at all: a title alone says nothing."""
    keep: int | None = None
    """A line that is shown in any case."""

    def cut(self, rows: int) -> list[Text]:
        """Return so many of the lines, the first ones, or those around the one that is kept."""
        start = 0 if self.keep is None else max(0, min(self.keep - rows // 2, len(self.lines) - rows))
        return list(self.lines[start : start + rows])


def share(blocks: Sequence[Block], height: int) -> list[Text]:
    """Return at most `height` lines of these blocks, in their order."""
    given = [0] * len(blocks)
    by_rank = sorted(range(len(blocks)), key=lambda at: blocks[at].rank)
    for turn in range(max((len(block.sizes) for block in blocks), default=0) + 1):
        for at in by_rank:
            block = blocks[at]
            wanted = block.sizes[turn] if turn < len(block.sizes) else len(block.lines)
            rows = min(max(wanted, given[at]), len(block.lines), given[at] + height - sum(given))
            if given[at] or rows >= min(block.sizes[0], len(block.lines)):
                given[at] = rows
    return [line for block, rows in zip(blocks, given, strict=True) for line in block.cut(rows)]
