"""Passes of trio's loop, counted: what happens in one pass happens while no client's bytes are moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Passes(trio.abc.Instrument):
    """`number` is that of the pass which is under way."""

    def __init__(self) -> None:
        self.number = 0

    def before_io_wait(self, timeout: float) -> None:
        self.number += 1


@contextmanager
def counted() -> Iterator[Passes]:
    """Count for as long as the context is open."""
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    try:
        yield passes
    finally:
        trio.lowlevel.remove_instrument(passes)
