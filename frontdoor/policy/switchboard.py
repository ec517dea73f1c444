"""The switchboard: which generation a new stream is given.

The invariant: at most one generation is active; a lease is only ever given on the active one, or on the canary; every
lease is released once. The switch is one assignment, and no method here awaits, so that every accept is wholly before
or wholly after it.

A canary is a generation that stands beside the active one. It gets its share of the new streams; the active one gets
all others, and those that the canary does not take.
"""

from collections.abc import Callable, Collection

from frontdoor.policy.generation import Generation, Happening, Impossible, Seat, State, step
from frontdoor.policy.share import Turns

_ACTIVE = State.ACTIVE  # one look-up for each stream, not two


class Switchboard:
    """The route of one door."""

    def __init__(
        self,
        emptied: Callable[[Generation], None] = lambda generation: None,
        passed_over: Callable[[Generation], None] = lambda generation: None,
    ) -> None:
        self.active: Generation | None = None
        self.canary: Generation | None = None
        """It has a share of the new streams, beside the active one."""
        self.share: Turns | None = None
        """The canary's; None: there is none."""
        self._emptied = emptied
        """Told when the last lease on a generation that drains is released."""
        self._passed_over = passed_over
        """Told when a stream would have been the canary's, and none of its processes was up."""

    def __repr__(self) -> str:
        return f"<Switchboard to {self.active}" + (f", and to {self.canary}>" if self.canary is not None else ">")

    def lease(self, but: Collection[Seat] = (), client: object = None) -> Seat | None:
        """A place on the active generation: that of its processes that has the fewest streams; None: none is up.

        Or one on the canary, if it is its turn. ``but``: those that were tried just now and did not take the stream;
        ``client``: its address, or whatever the turn is to go by.
        """
        active = self.active
        # When frontdoor stops, the route still points at the last generation, which takes nothing any more.
        if active is None or active.state is not _ACTIVE:
            return None
        if self.share is not None:
            return self._lease_shared(but, client)
        best: Seat | None = None
        for seat in active.seats:
            if seat.up and (best is None or seat.open < best.open) and seat not in but:
                best = seat
        if best is not None:
            best.open += 1
            active.open += 1
            active.total += 1
        return best

    def _lease_shared(self, but: Collection[Seat], client: object) -> Seat | None:
        """A place on the canary, if it is its turn and one of its processes is up; else on the active generation.

        Who has tried a process of the canary is its stream still, until it has tried them all.
        """
        canary, share = self.canary, self.share
        assert canary is not None
        assert share is not None
        tried = bool(but) and any(seat in but for seat in canary.seats)
        turn = share.take(client)  # for each lease, and each that comes to nothing is given back
        seat: Seat | None = None
        if (tried or turn) and canary.state is State.READY:
            seat = _fewest(canary, but)
            if seat is None and not tried:
                self._passed_over(canary)
        if seat is None and self.active is not None:
            seat = _fewest(self.active, but)
        if seat is None:
            share.give_back()
        else:
            seat.open += 1
            seat.generation.open += 1
            seat.generation.total += 1
        return seat

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
        """Give a place back that was never used: the dial failed. It does not count as a stream of that generation.

        If it was the canary's, its turn is used up: the client goes to the active generation, or waits for it.
        """
        seat.generation.total -= 1
        if self.share is not None:
            self.share.give_back()
        self.release(seat)

    def switch(self, generation: Generation, now: float) -> Generation | None:
        """New streams go to ``generation`` from here on; the one that was active before now drains.

        ``generation`` may be one that drains or is kept warm: it is taken back, with the streams that it still has.
        If it is the canary, that is none any more. Raises Impossible, and changes nothing, when it is not ready, the
        active one is being stopped, or another one is the canary.
        """
        old = self.active
        if self.canary not in (None, generation):
            raise Impossible(f"switch to {generation.id} while {self.canary} is the canary")
        if old is not None:
            step(old.state, Happening.REPLACED)  # may raise: before anything has changed, so that the switch is whole
        generation.happen(Happening.SWITCHED_TO, now)
        self.active = generation
        self.canary = self.share = None
        if old is not None:
            old.happen(Happening.REPLACED, now)
        return old

    def try_out(self, generation: Generation, share: Turns, now: float) -> None:
        """``generation`` is the canary from here on: it gets that share of the new streams.

        It may be one that drains or is kept warm: it is taken back, with the streams that it still has. Raises
        Impossible, and changes nothing, when it is not ready, when nothing is active that gets the rest, or when there
        is a canary.
        """
        if self.canary is not None or self.active is None:
            raise Impossible(f"{generation.id} as a canary beside {self.active}, with {self.canary} as one")
        generation.happen(Happening.TRIED, now)
        self.canary, self.share = generation, share

    def set_share(self, part: int) -> None:
        """The canary gets that share from here on, in parts of ``share.WHOLE``. Raises Impossible: there is none."""
        if self.share is None:
            raise Impossible("a share of the new streams, and no canary")
        self.share.part = part

    def withdraw(self, now: float) -> Generation:
        """The canary is none any more, and drains; if frontdoor stops, it is being stopped already.

        Raises Impossible when there is none.
        """
        canary = self.canary
        if canary is None:
            raise Impossible("a canary is withdrawn, and there is none")
        canary.happen_unless_late(Happening.WITHDRAWN, now)
        self.canary = self.share = None
        return canary

    def retire(self, now: float) -> Generation | None:
        """Nothing is active from here on: the door is being taken away. The generation that was, drains now.

        Raises Impossible, and changes nothing, when that one is being stopped.
        """
        old = self.active
        if old is not None:
            old.happen(Happening.REPLACED, now)
        self.active = None
        return old


def _fewest(generation: Generation, but: Collection[Seat]) -> Seat | None:
    """That of its processes that is up and has the fewest streams; the first of them that come first."""
    best: Seat | None = None
    for seat in generation.seats:
        if seat.up and (best is None or seat.open < best.open) and seat not in but:
            best = seat
    return best
