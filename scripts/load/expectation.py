"""Which generation a connection may be answered by, given when it was opened. Pure: no clock, no I/O."""


def matches(wanted: str, generation: str) -> bool:
    """Whether `generation` ("v2#3") is the one wanted: by its id ("v2#3") or its version ("v2")."""
    return wanted in (generation, generation.partition("#")[0])


class Expectation:
    """What the door has promised so far: a list of generations, each promised from one moment on.

    A connection remembers how long the list was when it was opened. It may be answered by the last one promised
    then, or by any one later: it may have been opened just before a switch, and accepted just after it.

    While a swap is under way, nobody has told us yet what the new generation is. So the first answer by one that
    was not promised is believed, and *is* the promise for every connection opened after it, because a switch
    is one instant for all. When the swap has returned, it must turn out to have been right.
    """

    def __init__(self, first: str | None = None) -> None:
        self._promised: list[str | None] = [first]  # None: anything goes, until the first swap has returned
        self._swapping = False
        self._believed: str | None = None

    @property
    def current(self) -> str | None:
        """What a connection that is opened now must be answered by; None: not known."""
        return self._promised[-1]

    def switching(self) -> None:
        """A swap begins: from now on its new generation may answer."""
        self._swapping = True

    def switched(self, generation: str) -> str | None:
        """The swap has returned, and `generation` (an id, or a version) is active. Returns what was wrong."""
        believed, self._believed = self._believed, None
        self._swapping = False
        if believed is None or not matches(generation, believed):
            self._promised.append(generation)
        if believed is not None and not matches(generation, believed):
            return f"{believed} answered during a swap to {generation}"
        return None

    def opened(self) -> int:
        """Call before connecting; `answered` wants the number back."""
        return len(self._promised) - 1

    def answered(self, opened: int, generation: str) -> str | None:
        """A connection got its first answer. Returns what was wrong with who gave it, or None."""
        allowed = self._promised[opened:]
        if None in allowed or any(matches(wanted, generation) for wanted in allowed if wanted is not None):
            return None
        if self._swapping and self._believed is None:
            self._believed = generation
            self._promised.append(generation)
            return None
        return f"answered by {generation}, wanted {' or '.join(str(wanted) for wanted in allowed)}"
