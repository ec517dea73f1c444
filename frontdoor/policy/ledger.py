"""The ledger: every stream is accepted once and ends once, for one reason, and the sums always agree."""

import enum
from collections.abc import Mapping
from typing import Protocol


class Reason(enum.StrEnum):
    """Why a stream ended. The order is that of the ledger's cells: new reasons go to the end."""

    CLIENT_CLOSED = "client_closed"
    """The client ended it first."""
    BACKEND_CLOSED = "backend_closed"
    """The backend ended it first."""
    CLIENT_RESET = "client_reset"
    BACKEND_RESET = "backend_reset"
    IDLE_TIMEOUT = "idle_timeout"
    """No byte in either direction for ``limits.idle_timeout``."""
    HALF_CLOSE_TIMEOUT = "half_close_timeout"
    """One side had finished, and the other said nothing for ``limits.half_close_timeout``."""
    NO_BACKEND = "no_backend"
    """No backend took it within ``limits.hold_timeout``."""
    DRAIN_CLOSED = "drain_closed"
    """Its generation was draining, and the time was up."""
    BACKEND_GONE = "backend_gone"
    """The backend's process died."""
    SHUTDOWN = "shutdown"
    """Frontdoor itself was stopped."""
    LOST = "lost"
    """The door process died, and the stream with it: it was younger than a second, or the vault was full."""
    PROXY_HEADER = "proxy_header"
    """It came from a network of ``accept_proxy``, and began with no PROXY header, or with one that is wrong."""
    ANSWERED = "answered"
    """A request of an http door has its whole answer, whatever its status: the backend's, or a page of frontdoor's."""
    BAD_REQUEST = "bad_request"
    """A request that no backend is given: malformed, too long, or of a kind that frontdoor refuses."""


class Cells(Protocol):
    """A row of counters: a list, or memory that is shared with the keeper and so outlives the process."""

    def __getitem__(self, index: int, /) -> int:
        """The counter's value."""

    def __setitem__(self, index: int, value: int, /) -> None:
        """Set the counter."""


_REASONS = tuple(Reason)
_CELL = {reason: number for number, reason in enumerate(_REASONS, 1)}

CELLS = 1 + len(_REASONS)
"""How many cells a ledger needs: one for accepted, one for each reason."""


def no_ends() -> list[int]:
    """A row of cells like a ledger's, for what ends of one generation; the first one stays 0."""
    return [0] * CELLS


def by_reason(cells: Cells) -> dict[str, int]:
    """Reason → streams, for the reasons that occurred."""
    return {reason.value: cells[_CELL[reason]] for reason in _REASONS if cells[_CELL[reason]]}


def ends_of(counts: Mapping[str, int]) -> list[int]:
    """The cells of such counts. A reason that only a newer frontdoor knows is left out."""
    return [0, *(counts.get(reason.value, 0) for reason in _REASONS)]


class Ledger:
    """Counts the streams of one door: ``accepted == open + sum(ended)``, by construction.

    In an http door each request with its answer counts as one.
    """

    def __init__(self, cells: Cells | None = None) -> None:
        self._cells: Cells = cells if cells is not None else [0] * CELLS
        self.open = self.accepted - sum(self.ended.values())
        """Streams that have not ended."""

    def __repr__(self) -> str:
        return f"<Ledger: {self.accepted} accepted, {self.open} open, {self.ended}>"

    @property
    def accepted(self) -> int:
        """All streams so far."""
        return self._cells[0]

    @property
    def ended(self) -> dict[str, int]:
        """Reason → streams, for the reasons that occurred."""
        return by_reason(self._cells)

    def accept(self) -> None:
        """A client was accepted."""
        self._cells[0] += 1
        self.open += 1

    def end(self, reason: Reason, of: Cells | None = None) -> None:
        """A stream ended. Every stream that was accepted ends here, once.

        ``of``: what its generation counts, for which it counts as well (``no_ends``).
        """
        cell = _CELL[reason]
        self._cells[cell] += 1
        self.open -= 1
        if of is not None:
            of[cell] += 1

    def restore(self, open_: int = 0) -> int:
        """After a crash: ``open_`` streams go on. What was open besides them is lost; how many that are.

        If more go on than were open, the end of some was counted, and the keeper had not been told yet: they end once
        more, and so they count as accepted once more.
        """
        lost = self.open - open_
        if lost < 0:
            self._cells[0] -= lost
            lost = 0
        self._cells[_CELL[Reason.LOST]] += lost
        self.open = open_
        return lost
