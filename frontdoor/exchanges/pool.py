"""The pool: connections to backends that have carried an exchange and can carry another one."""

from collections.abc import Callable

from frontdoor.exchanges.pipes import Pipes
from frontdoor.exchanges.upstream import Upstream
from frontdoor.policy.generation import Generation, Seat


class Pool:
    """Of all doors. The latest is taken first: the rest has time to grow old."""

    def __init__(self, pipes: int) -> None:
        """``pipes``: so many there may be."""
        self.idle: dict[Seat, list[Upstream]] = {}
        """The oldest first."""
        self.count = 0
        self.most = 0
        """So many may be idle."""
        self.pipes = Pipes(pipes)
        """For all that goes to backends and comes from them."""

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Pool of {self.count}>"

    def take(self, seat: Seat) -> Upstream | None:
        """A connection to that process; None: there is none."""
        idle = self.idle.get(seat)
        if not idle:
            return None
        self.count -= 1
        return idle.pop()

    def give(self, upstream: Upstream, until: float) -> None:
        """Keep it, ``until`` then at the longest (monotonic clock)."""
        upstream.kept, upstream.until = True, until
        if not upstream.reading:
            upstream.read(True)
        idle = self.idle.get(upstream.seat)
        if idle is None:
            idle = self.idle[upstream.seat] = []
        idle.append(upstream)
        self.count += 1

    def drop(self, upstream: Upstream) -> None:
        """An idle one has ended, or is to."""
        idle = self.idle.get(upstream.seat, [])
        if upstream in idle:
            idle.remove(upstream)
            self.count -= 1
        upstream.close()

    def forget(self, generation: Generation) -> None:
        """Close all that lead to that generation."""
        self.expire(lambda upstream: upstream.seat.generation is generation)

    def clear(self) -> None:
        """Close all."""
        self.expire(lambda upstream: True)

    def leave(self) -> list[int]:
        """Nobody will use them any more: their descriptors, which are to be closed."""
        left = [upstream.leave() for idle in self.idle.values() for upstream in idle]
        self.idle.clear()
        self.count = 0
        return left

    def expire(self, due: Callable[[Upstream], bool]) -> None:
        """Close those idle ones that are due."""
        for seat, idle in list(self.idle.items()):
            for upstream in idle[:]:
                if due(upstream):
                    self.drop(upstream)
            if not idle:
                del self.idle[seat]
