"""What happened: counted per client, and every failure with its reason."""

import collections
import dataclasses

FAILURES_KEPT = 20


@dataclasses.dataclass
class Row:
    """What one client saw."""

    client: str
    kind: str
    connections: int = 0  # that were answered
    rounds: int = 0  # bursts of messages echoed, or requests answered, and found right
    messages: int = 0  # WebSocket messages echoed
    moved: int = 0  # bytes, both ways, without heads and frames
    failures: int = 0
    generations: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Connections that each has answered; requests, where these go their own ways."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """One thing that must not happen."""

    client: str
    at: float  # seconds since the load began
    reason: str

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.client}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Counts:
    """The sum over the clients of one kind."""

    clients: int
    connections: int
    rounds: int
    messages: int
    moved: int
    failures: int


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a load."""

    clients: tuple[Row, ...]
    failures: tuple[Failure, ...]  # the first FAILURES_KEPT of them
    failed: int  # how many there were

    @property
    def ok(self) -> bool:
        """Nothing failed, and every client got something done: an idle load proves nothing."""
        return self.failed == 0 and bool(self.clients) and all(row.rounds for row in self.clients)

    @property
    def kinds(self) -> dict[str, Counts]:
        """The counts per kind of client."""
        rows: dict[str, list[Row]] = {}
        for row in self.clients:
            rows.setdefault(row.kind, []).append(row)
        return {kind: _sum(members) for kind, members in rows.items()}

    @property
    def total(self) -> Counts:
        """The counts of all clients together."""
        return _sum(list(self.clients))

    @property
    def generations(self) -> dict[str, int]:
        """How many connections each generation answered, the first one seen first."""
        seen: collections.Counter[str] = collections.Counter()
        for row in self.clients:
            seen.update(row.generations)
        return dict(seen)


def _sum(rows: list[Row]) -> Counts:
    return Counts(
        clients=len(rows),
        connections=sum(row.connections for row in rows),
        rounds=sum(row.rounds for row in rows),
        messages=sum(row.messages for row in rows),
        moved=sum(row.moved for row in rows),
        failures=sum(row.failures for row in rows),
    )
