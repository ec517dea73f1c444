"""The streams of all doors, in the words of the ledger: those that the relay moves, and the exchanges of http doors.

An exchange counts as a stream while it is under way. One that has become a WebSocket is the relay's.
"""

from collections.abc import Iterator

from frontdoor.door.predecessors import Predecessors
from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.exchanges import Exchanges
from frontdoor.policy.generation import Generation
from frontdoor.policy.ledger import Reason
from frontdoor.traffic.gate import Gate
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream


class Streams:
    """What holds a drain, what is shown of it, and how it is closed."""

    def __init__(self, relay: Relay, exchanges: Exchanges, predecessors: Predecessors) -> None:
        self._relay = relay
        self._exchanges = exchanges
        self._predecessors = predecessors

    def __repr__(self) -> str:
        return f"<Streams of {self._relay}, and {self._exchanges}>"

    def __iter__(self) -> Iterator[Stream | Exchange]:
        """Those that have a backend, the oldest first."""
        exchanges = [each for each in self._exchanges if each.seat is not None]
        if not exchanges:
            return self._relay.streams
        # Each of the two is in order, or nearly so: then this is one walk.
        streams: list[Stream | Exchange] = [*self._relay.streams, *exchanges]
        return iter(sorted(streams, key=lambda each: each.since))

    def of(self, generation: Generation) -> list[Stream | Exchange]:
        """Those of a generation, the oldest first."""
        streams: list[Stream | Exchange] = [*self._relay.of(generation)]
        exchanges = self._exchanges.of(generation)
        return sorted([*streams, *exchanges], key=lambda each: each.since) if exchanges else streams

    def at(self, gate: Gate) -> list[Stream | Exchange]:
        """Those of a door; of its exchanges those, too, that have no backend yet."""
        streams: list[Stream | Exchange] = [stream for stream in self._relay.streams if stream.gate is gate]
        return [*streams, *(each for each in self._exchanges if each.gate is gate)]

    def close(self, stream: Stream | Exchange, reason: Reason, grace: float | None = None) -> None:
        """End one before its time, in order; ``deadline`` says of it that this was done. Twice is harmless.

        ``grace``: as ``Relay.close`` has it. An exchange whose answer has begun is cut off at once.
        """
        if isinstance(stream, Stream):
            self._relay.close(stream, reason, grace)
        else:
            self._exchanges.close(stream, reason)

    def abandon(self, stream: Stream | Exchange, reason: Reason) -> None:
        """End one at once, whatever has not been delivered."""
        if isinstance(stream, Stream):
            self._relay.abandon(stream, reason)
        else:
            self._exchanges.close(stream, reason)

    def close_elsewhere(self, door: str, generation: Generation | None, reason: Reason) -> int:
        """End what door processes before this one still have there, of a generation or of any.

        How many of them had not been told so before.
        """
        return self._predecessors.close(door, generation, reason)

    def forget(self, generation: Generation) -> None:
        """No new stream goes to that generation: idle connections to it are closed."""
        self._exchanges.forget(generation)


def moved(stream: Stream | Exchange) -> tuple[int, int]:
    """Bytes so far, up and down."""
    if isinstance(stream, Stream):
        return stream.up.moved, stream.down.moved
    return stream.up_bytes, stream.down_bytes


def lives(stream: Stream | Exchange) -> bool:
    """Whether it has not ended."""
    return stream.up.live if isinstance(stream, Stream) else not stream.ended
