"""When a process counts as ready: so many good answers in a row, within the deadline."""


class Readiness:
    """Counts the answers of one process to its ready check."""

    def __init__(self, successes: int) -> None:
        self._needed = successes
        self._in_a_row = 0

    def good(self) -> bool:
        """A good answer. True: it is ready now."""
        self._in_a_row += 1
        return self._in_a_row >= self._needed

    def bad(self) -> None:
        """A bad answer, or none: the count begins anew."""
        self._in_a_row = 0
