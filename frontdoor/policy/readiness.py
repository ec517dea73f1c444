"""What follows from the answers of a process to its check: when it counts as ready, and when it is given up."""


class Readiness:
    """Counts the good answers in a row of a process that is to become ready."""

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


class Health:
    """Counts the bad answers in a row of a process that was ready once."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def good(self) -> None:
        """A good answer: the count begins anew."""
        self._in_a_row = 0

    def bad(self, failures: int) -> bool:
        """A bad answer, or none. True: there were ``failures`` of them in a row, and it is to be given up."""
        self._in_a_row += 1
        return self._in_a_row >= failures
