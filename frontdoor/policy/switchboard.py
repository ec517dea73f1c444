"""The switchboard: which generation a new stream is given.

The invariant: at most one generation is active; a lease is only ever given on the active one; every lease is released
once. The switch is one assignment, and no method here awaits, so that every accept is wholly before or wholly after it.
"""

from collections.abc import Callable, Container

from frontdoor.policy.generation import Generation, Happening, Seat, State, step


class Switchboard:
    """The route of one door."""

    def __init__(self, emptied: Callable[[Generation], None] = lambda generation: None) -> None:
        self.active: Generation | None = None
        self._emptied = emptied
        """Told when the last lease on a generation that drains is released."""

    def __repr__(self) -> str:
        return f"<Switchboard to {self.active}>"

    def lease(self, but: Container[Seat] = ()) -> Seat | None:
        """A place on the active generation: that of its processes that has the fewest streams; None: none is up.

        ``but``: those that were tried just now and did not take the stream.
        """
        active = self.active
        # When frontdoor stops, the route still points at the last generation, which takes nothing any more.
        if active is None or active.state is not State.ACTIVE:
            return None
        best: Seat | None = None
        for seat in active.seats:
            if seat.up and (best is None or seat.open < best.open) and seat not in but:
                best = seat
        if best is not None:
            best.open += 1
            active.open += 1
            active.total += 1
        return best

    def retake(self, seat: Seat, streams: int = 1) -> None:
        """Give streams that live through a crash their place again: on whatever generation it was, and up or not.

        The generation's total has it already, as far as that was noted in time.
        """
        generation = seat.generation
        seat.open += streams
        generation.open += streams
        generation.total = max(generation.total, generation.open)

    def release(self, seat: Seat) -> None:
        """Give a place back."""
        generation = seat.generation
        seat.open -= 1
        generation.open -= 1
        if generation.open == 0 and generation.state is State.DRAINING:
            self._emptied(generation)

    def forgo(self, seat: Seat) -> None:
        """Give a place back that was never used: the dial failed. It does not count as a stream of that generation."""
        seat.generation.total -= 1
        self.release(seat)

    def switch(self, generation: Generation, now: float) -> Generation | None:
        """New streams go to ``generation`` from here on; the one that was active before now drains.

        ``generation`` may be one that drains or is kept warm: it is taken back, with the streams that it still has.
        Raises Impossible, and changes nothing, when it is not ready or the active one is being stopped.
        """
        old = self.active
        if old is not None:
            step(old.state, Happening.REPLACED)  # may raise: before anything has changed, so that the switch is whole
        generation.happen(Happening.SWITCHED_TO, now)
        self.active = generation
        if old is not None:
            old.happen(Happening.REPLACED, now)
        return old

    def retire(self, now: float) -> Generation | None:
        """Nothing is active from here on: the door is being taken away. The generation that was, drains now.

        Raises Impossible, and changes nothing, when that one is being stopped.
        """
        old = self.active
        if old is not None:
            old.happen(Happening.REPLACED, now)
        self.active = None
        return old
